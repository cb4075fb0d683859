"""One run from its plan to its stored results: resume, isolate each case, store at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from harness import limits, store
from harness.environment import host_environment
from harness.isolate import run_isolated
from harness.plan import Plan, PlannedCase
from harness.protocols import SetsWorkerEnv
from harness.records import Facts, Outcome, Result
from harness.registry import Registry
from harness.task import Task

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
    registry: Registry,
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
        registry: where workloads and backends come from.
        plan: what to measure.
        settings: how workers are started.
        root: the results folder.
        observer: is told of the progress.
        force: start anew instead of resuming an unfinished run of the same plan.
        directory: where to look for the commit; the current folder by default.

    Raises:
        AssayError: the results folder cannot be written.
    """
    environment = host_environment(
        directory or Path.cwd(), modules=_source_packages([*registry.backends.values(),
                                                           *registry.workloads.values()]),
    )  # fmt: skip
    started = time.monotonic()
    with store.open_run(
        root,
        [planned.case for planned in plan.cases],
        fingerprint=_fingerprint(plan, settings, environment),
        settings=asdict(settings),
        environment=environment,
        force=force,
    ) as run:
        observer.started(run, plan)
        for planned in plan.cases:
            if run.has(planned.case):
                continue
            over = settings.budget_s is not None and time.monotonic() - started > settings.budget_s
            if over and planned.skip is None:
                planned = replace(planned, skip=OVER_BUDGET)
            observer.case_started(planned)
            result = _result(registry, planned, settings, environment, observer.phase)
            run.append(result)
            observer.case_done(planned, result)
        run.finish()
        return RunOutcome(run.header.id, tuple(run.results))


def _result(
    registry: Registry,
    planned: PlannedCase,
    settings: Settings,
    environment: Facts,
    on_phase: Callable[[str], None],
) -> Result:
    case = planned.case
    if planned.skip is not None:
        return Result(
            case=case,
            outcome=Outcome.SKIPPED,
            reason=planned.skip,
            started_at=time.time(),
            environment=environment,
        )
    task = Task(
        case=case,
        backend=registry.backends[case.backend],
        workload=registry.workloads[case.workload],
        variant=planned.variant,
        sampling=planned.sampling,
        environment=environment,
        pin=settings.pin,
        memory_limit_bytes=settings.memory_limit_bytes,
    )
    return run_isolated(
        task,
        timeout_s=planned.timeout_s,
        env=_worker_env(registry, planned, settings),
        on_phase=on_phase,
    )


def _worker_env(registry: Registry, planned: PlannedCase, settings: Settings) -> Mapping[str, str]:
    # A fixed hash seed: the order of sets must not differ from worker to worker.
    env = {"PYTHONHASHSEED": "0"}
    if settings.threads is not None:
        env |= limits.thread_environment(settings.threads)
    workload = registry.workload(planned.case.workload)
    if isinstance(workload, SetsWorkerEnv):
        env |= workload.worker_env(planned.case)
    return env


def _fingerprint(plan: Plan, settings: Settings, environment: Facts) -> str:
    return store.fingerprint(
        [
            [planned.case.key, planned.variant.run, planned.skip, asdict(planned.sampling)]
            for planned in plan.cases
        ],
        asdict(settings),
        {key: environment[key] for key in ("id", "source_digest", "commit", "dirty")},
    )


def _source_packages(paths: Sequence[str]) -> Sequence[str]:
    """The top-level packages whose source decides what is measured."""
    return sorted({"harness", *(path.partition(":")[0].partition(".")[0] for path in paths)})
