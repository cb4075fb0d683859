"""One run from its plan to its stored results: rounds of isolated processes, stored at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, Protocol

from harness import ceilings, limits, rounds, store
from harness.case_run import CaseRun, case_runs
from harness.disk import disk_ceiling
from harness.environment import host_environment, source_digest, with_settings
from harness.errors import AssayError
from harness.fingerprint import of_run, source_packages
from harness.isolate import run_isolated
from harness.plan import Plan, PlannedCase
from harness.probe import measure_ceilings
from harness.protocols import ReadsDisk, SetsWorkerEnv, Workload
from harness.records import Case, Ceiling, Facts, Outcome, Result
from harness.registry import resolve
from harness.runtime import recorded_variables
from harness.task import BAD_INPUT, Task

CEILINGS_TIMEOUT_S = 120.0
"""Many times what the probe of a device takes."""

Bounds = Mapping[str, tuple[Ceiling, ...]]
"""What each case's device and disk do at most, by the case's key."""

_MAX_PADDING = 4096
"""Bytes: the layout of the stack repeats with the page."""

OVER_BUDGET = "the budget of the run was used up before its turn; raise --budget"


@dataclass(frozen=True, slots=True)
class Settings:
    """How workers are started; part of what a resumed run must share.

    Attributes:
        threads: threads a worker may use; None for what the libraries choose.
        pin: CPUs the workers run on; empty for all.
        memory_limit_bytes: private memory a worker may use; None for no limit.
        budget_s: wall time, from the first process on, after which no further one is started.
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

    def warn(self, message: str) -> None:
        """Say what the user should know of before reading the numbers."""
        ...

    def case_started(self, planned: PlannedCase, process: int) -> None:
        """Say that a worker is started for this repetition of the case, counted from 0."""
        ...

    def phase(self, name: str) -> None:
        """Say that the worker enters a phase."""
        ...

    def process_done(self, planned: PlannedCase, result: Result, last: bool) -> None:
        """Say that a process has ended, its result is stored, and whether it was the last."""
        ...


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The id of the run and its cases in the order of the plan."""

    run: str
    cases: tuple[CaseRun, ...]


def run_plan(
    plan: Plan,
    settings: Settings,
    root: Path,
    *,
    observer: Observer,
    force: bool = False,
    directory: Path | None = None,
) -> RunOutcome:
    """Measure every planned case until it is precise and store each process's result at once.

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
        host_environment(directory or Path.cwd(), modules=modules), settings_facts(settings)
    )
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
        left = [p for p in plan.cases if not rounds.finished(p, run.of(p.case))]
        bounds = device_ceilings(plan, left, settings, observer.phase, observer.warn)
        # The plan shared the budget out among the cases: what bounds them does not come off it.
        started = time.monotonic()
        for number in count():
            pending = [p for p in plan.cases if not rounds.finished(p, run.of(p.case))]
            measured = False
            for planned in rounds.shuffled(pending, run.header.id, number):
                done = run.of(planned.case)
                left_s = _left_s(settings, time.monotonic() - started)
                if done and left_s < sum(result.duration_s for result in done) / len(done):
                    continue
                measured = True
                observer.case_started(planned, rounds.next_process(done))
                skip = planned.skip or (OVER_BUDGET if left_s < 0 else None)
                rejection = rejected.get(_input_of(planned))
                if skip is not None:
                    result = _not_run(planned, Outcome.SKIPPED, skip, environment)
                elif rejection is not None:
                    result = _not_run(planned, Outcome.FAILED, rejection, environment, (BAD_INPUT,))
                else:
                    result = _run(plan, planned, settings, environment, done, observer.phase)
                    result = _with_true_source(bounded(result, bounds), modules)
                    if BAD_INPUT in result.flags:
                        rejected[_input_of(planned)] = result.reason
                run.append(result)
                observer.process_done(
                    planned, result, last=rounds.finished(planned, run.of(planned.case))
                )
            if not measured:
                break
        run.finish()
        return RunOutcome(
            run.header.id, tuple(case_runs((run.header.id, result) for result in run.results))
        )


def _left_s(settings: Settings, spent_s: float) -> float:
    return inf if settings.budget_s is None else settings.budget_s - spent_s


def settings_facts(settings: Settings) -> dict[str, Any]:
    """Return what of the settings makes an environment of its own."""
    return {
        "threads": settings.threads,
        "pin": list(settings.pin),
        "memory_limit": settings.memory_limit_bytes,
        "variables": recorded_variables(),
    }


def device_ceilings(
    plan: Plan,
    cases: Sequence[PlannedCase],
    settings: Settings,
    on_phase: Callable[[str], None],
    warn: Callable[[str], None],
) -> Bounds:
    """Measure what bounds each device, and each disk, that one of the cases uses."""
    running = [planned.case for planned in cases if planned.skip is None]
    devices: dict[tuple[str, int], tuple[Ceiling, ...]] = {}
    for backend, index in dict.fromkeys((case.backend, case.device_index) for case in running):
        on_phase(f"ceilings of {backend}")
        probe = measure_ceilings(
            plan.backends[backend],
            device_index=index,
            pin=settings.pin,
            env=_shared_env(settings),
            timeout_s=CEILINGS_TIMEOUT_S,
        )
        if probe.reason:
            warn(f"no ceilings of {backend}: {probe.reason}")
        devices[backend, index] = probe.ceilings
    disks: dict[Path, tuple[Ceiling, ...]] = {}
    found = {}
    for case in running:
        workload = resolve(plan.workloads[case.workload])
        found[case.key] = devices[case.backend, case.device_index]
        if isinstance(workload, ReadsDisk):
            try:
                folder = workload.disk_folder(case.params)
            except AssayError as error:
                # Its own worker meets the same, and says so in its result.
                warn(f"no ceiling of the disk: {error}")
                continue
            if folder not in disks:
                on_phase(f"disk of {folder}")
                disk = disk_ceiling(folder)
                if disk is None:
                    warn(f"no ceiling of the disk: no file can be written and read in {folder}")
                disks[folder] = () if disk is None else (disk,)
            found[case.key] += disks[folder]
    return found


def bounded(result: Result, bounds: Bounds) -> Result:
    """Return the result with the ceilings of its case, flagged where it lies beyond them."""
    if result.outcome is not Outcome.OK or result.work is None:
        return result
    measured = [_of_all(ceiling, result) for ceiling in bounds.get(result.case.key, ())]
    held = replace(result, ceilings=ceilings.relevant(measured, result.work))
    if ceilings.impossible(held) is None:
        return held
    return replace(held, flags=(*held.flags, ceilings.IMPOSSIBLE))


def _of_all(ceiling: Ceiling, result: Result) -> Ceiling:
    """Return what all devices of the result's ranks do together, where each has its own."""
    devices = len(set(result.environment.get("ranks", {}).get("devices", [0])))
    if devices == 1 or ceiling.quantity == "disk_rate":
        return ceiling
    return replace(
        ceiling,
        values=tuple(devices * value for value in ceiling.values),
        size_bytes=None if ceiling.size_bytes is None else devices * ceiling.size_bytes,
        method=f"{ceiling.method}, x {devices} devices",
    )


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
    done: Sequence[Result],
    on_phase: Callable[[str], None],
) -> Result:
    case = planned.case
    task = Task(
        case=case,
        process=rounds.next_process(done),
        backend=plan.backends[case.backend],
        workload=plan.workloads[case.workload],
        variant=planned.variant,
        sampling=rounds.sampling_for(planned, done),
        environment=environment,
        pin=settings.pin,
        memory_limit_bytes=settings.memory_limit_bytes,
    )
    return run_isolated(
        task,
        timeout_s=planned.timeout_s,
        env=worker_env(resolve(task.workload), case, settings),
        on_phase=on_phase,
    )


def worker_env(workload: Workload[Any], case: Case, settings: Settings) -> Mapping[str, str]:
    """Return the variables that a worker of this case is started with.

    The size of the environment shifts the stack, and with it the time of some code by percents
    (Mytkowicz et al., Producing Wrong Data Without Doing Anything Obviously Wrong!, ASPLOS 2009).
    It is drawn anew for each process, so that this luck is variance and not bias.
    """
    own = workload.worker_env(case) if isinstance(workload, SetsWorkerEnv) else {}
    padding = "x" * random.randrange(_MAX_PADDING)
    return {**_shared_env(settings), "ASSAY_PADDING": padding, **own}


def _shared_env(settings: Settings) -> Mapping[str, str]:
    # A fixed hash seed: the order of sets must not differ from worker to worker.
    fixed = {"PYTHONHASHSEED": "0"}
    return (
        fixed if settings.threads is None else fixed | limits.thread_environment(settings.threads)
    )
