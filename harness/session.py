"""One run from its plan to its stored results: resume, isolate each case, store at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness import limits, store
from harness.environment import host_environment, source_digest, with_settings
from harness.fingerprint import of_run, source_packages
from harness.isolate import run_isolated
from harness.plan import Plan, PlannedCase
from harness.protocols import SetsWorkerEnv, Workload
from harness.records import Case, Facts, Outcome, Result
from harness.registry import resolve
from harness.runtime import recorded_variables
from harness.task import BAD_INPUT, Task

OVER_BUDGET = "the budget of the run was used up before its turn; raise --budget"


@dataclass(frozen=True, slots=True)
class Settings:
    """How workers are started; part of what a resumed run must share.

    Attributes:
        threads: threads a worker may use; None for what the libraries choose.
        pin: CPUs the workers run on; empty for all.
        memory_limit_bytes: private memory a worker may use; None for no limit.
        budget_s: wall time after which no further case is started.
    """

    threads: int | None = None
    pin: tuple[int, ...] = ()
    memory_limit_bytes: int | None = None
    budget_s: float | None = None


class Observer(Protocol):
    """Is told what a run does, to show it; each call returns at once."""

    def started(self, run: store.Run, plan: Plan) -> None:
        """Say that the run is open; `run.resumed` and `run.messages` tell what was found."""
        ...

    def case_started(self, planned: PlannedCase) -> None:
        """Say that a worker is started for this case."""
        ...

    def phase(self, name: str) -> None:
        """Say that the worker enters a phase."""
        ...

    def case_done(self, planned: PlannedCase, result: Result) -> None:
        """Say that the case has ended and its result is stored."""
        ...


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The id of the run and its results in the order of the plan."""

    run: str
    results: tuple[Result, ...]


def run_plan(
    plan: Plan,
    settings: Settings,
    root: Path,
    *,
    observer: Observer,
    force: bool = False,
    directory: Path | None = None,
) -> RunOutcome:
    """Measure every planned case that has no result yet and store each result at once.

    Args:
        plan: what to measure.
        settings: how workers are started.
        root: the results folder.
        observer: is told of the progress.
        force: start anew instead of resuming an unfinished run of the same plan.
        directory: where to look for the commit; the current folder by default.

    Raises:
        AssayError: the results folder cannot be written.
    """
    modules = source_packages(plan)
    environment = with_settings(
        host_environment(directory or Path.cwd(), modules=modules),
        {
            "threads": settings.threads,
            "pin": list(settings.pin),
            "memory_limit": settings.memory_limit_bytes,
            "variables": recorded_variables(),
        },
    )
    started = time.monotonic()
    rejected: dict[tuple[object, ...], str] = {}
    with store.open_run(
        root,
        [planned.case for planned in plan.cases],
        fingerprint=of_run(plan, asdict(settings), environment),
        settings=asdict(settings),
        environment=environment,
        force=force,
    ) as run:
        observer.started(run, plan)
        for planned in plan.cases:
            if run.has(planned.case):
                continue
            observer.case_started(planned)
            over = settings.budget_s is not None and time.monotonic() - started > settings.budget_s
            skip = planned.skip or (OVER_BUDGET if over else None)
            rejection = rejected.get(_input_of(planned))
            if skip is not None:
                result = _not_run(planned, Outcome.SKIPPED, skip, environment)
            elif rejection is not None:
                result = _not_run(planned, Outcome.FAILED, rejection, environment, (BAD_INPUT,))
            else:
                result = _run(plan, planned, settings, environment, observer.phase)
                result = _with_true_source(result, modules)
                if BAD_INPUT in result.flags:
                    rejected[_input_of(planned)] = result.reason
            run.append(result)
            observer.case_done(planned, result)
        run.finish()
        return RunOutcome(run.header.id, tuple(run.results))


def _input_of(planned: PlannedCase) -> tuple[object, ...]:
    """What decides the input: another variant would reject the same file for the same reason."""
    case = planned.case
    return (case.workload, tuple(case.params.items()), case.seed, case.backend, case.device_index)


def _with_true_source(result: Result, modules: Sequence[str]) -> Result:
    """Mark a result dirty where the source changed since the commit was read."""
    before = result.environment.get("source_digest")
    after = source_digest(modules)
    if before is None or after == before:
        return result
    changed = {"dirty": True, "dirty_files": ["changed during the run"], "source_digest": after}
    return replace(result, environment={**result.environment, **changed})


def _not_run(
    planned: PlannedCase,
    outcome: Outcome,
    reason: str,
    environment: Facts,
    flags: tuple[str, ...] = (),
) -> Result:
    return Result(
        case=planned.case,
        outcome=outcome,
        reason=reason,
        started_at=time.time(),
        environment=environment,
        flags=flags,
    )


def _run(
    plan: Plan,
    planned: PlannedCase,
    settings: Settings,
    environment: Facts,
    on_phase: Callable[[str], None],
) -> Result:
    case = planned.case
    task = Task(
        case=case,
        backend=plan.backends[case.backend],
        workload=plan.workloads[case.workload],
        variant=planned.variant,
        sampling=planned.sampling,
        environment=environment,
        pin=settings.pin,
        memory_limit_bytes=settings.memory_limit_bytes,
    )
    return run_isolated(
        task,
        timeout_s=planned.timeout_s,
        env=_worker_env(resolve(task.workload), case, settings),
        on_phase=on_phase,
    )


def _worker_env(workload: Workload[Any], case: Case, settings: Settings) -> Mapping[str, str]:
    # A fixed hash seed: the order of sets must not differ from worker to worker.
    env = {"PYTHONHASHSEED": "0"}
    if settings.threads is not None:
        env |= limits.thread_environment(settings.threads)
    if isinstance(workload, SetsWorkerEnv):
        env |= workload.worker_env(case)
    return env
