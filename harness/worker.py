"""The child process: prepare, verify, warm up, measure one case, answer over its own pipe, end.

Started by `harness.isolate` as `python -m harness.worker ANSWER_FD`, with the task on stdin.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from harness import limits, measure, protocols, ranks
from harness.errors import AssayError, UnknownNameError, unknown
from harness.meters.host_memory import HostMemory, release_memory, resident_bytes
from harness.protocols import Backend, Device, Group, Meter, Workload
from harness.records import Case, Measurement, Outcome, Result, Status, Variant, Verification, Work
from harness.registry import installed, resolve
from harness.runtime import runtime_environment
from harness.task import (
    BAD_INPUT,
    NOT_REGISTERED,
    PROTOCOL,
    Message,
    Task,
    decode_message,
    decode_task,
    encode,
    protocol_of,
)
from harness.validity import flaw

_TRACEBACK_LINES = 30


def main() -> None:
    """Read the task from standard input, work on it, and answer on the descriptor in argv."""
    answer = int(sys.argv[1])
    body = sys.stdin.buffer.read()

    def send(message: Message) -> None:
        line = encode(message)
        while line:
            line = line[os.write(answer, line) :]

    if protocol_of(body) != PROTOCOL:
        # The parent reads the version off any line and says which side to upgrade.
        send(Message())
        return
    task = decode_task(body)
    if task.parent_pid:
        limits.die_with_parent(task.parent_pid)
    result = _run(task, lambda phase: send(Message(phase=phase)))
    send(Message(result=storable(task, result)))


def open_alone(backend: Backend, index: int) -> tuple[Device, Group]:
    """Open the device of that index for this process alone."""
    return backend.open(index), ranks.Alone()


def run_case(
    task: Task,
    enter: Callable[[str], None],
    open_: Callable[[Backend, int], tuple[Device, Group]] = open_alone,
) -> Result:
    """Work on one case in this process and return its result, whatever happens to it.

    Args:
        task: the case and how to measure it.
        enter: called with the name of each phase as it begins.
        open_: opens the device of an index; a rank joins the others when it does. All of them
            return the same verification and samples, and each its own spans and counters.
    """
    progress = _Progress(enter)
    try:
        return _measured(task, progress, open_)
    # A workload may end in any way at all, sys.exit() included; each becomes a result.
    except BaseException as error:
        # Only what a workload refuses to prepare is input; a device that does not open is no input.
        bad_input = isinstance(error, AssayError) and progress.phase == "prepare"
        not_registered = isinstance(error, UnknownNameError) and progress.phase == "look up"
        return Result(
            case=task.case,
            process=task.process,
            outcome=Outcome.OUT_OF_MEMORY if _is_out_of_memory(error) else Outcome.FAILED,
            reason=str(error) if isinstance(error, AssayError) else _one_line(error),
            phase=progress.phase,
            flags=(BAD_INPUT,) * bad_input + (NOT_REGISTERED,) * not_registered,
            spans=progress.spans,
            environment={**task.environment, "runtime": runtime_environment()},
            traceback=_tail(error),
        )


def storable(task: Task, result: Result) -> Result:
    """Return the result, or the failure that names what in it cannot be stored or shown."""
    try:
        decode_message(encode(Message(result=result)))
        if (wrong := flaw(result)) is not None:
            raise ValueError(wrong)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        return Result(
            case=result.case,
            process=result.process,
            outcome=Outcome.FAILED,
            phase=result.phase,
            reason=f"the workload or device reported a value that cannot be stored: {error}; "
            "report finite Python numbers and strings, and more than no work",
            environment=dict(task.environment),
        )
    return result


def _run(task: Task, enter: Callable[[str], None]) -> Result:
    if ranks.world_size(task.case.params) == 1:
        return run_case(task, enter)
    # What it imports is no part of any other case.
    from harness.ranks_launch import run_on_ranks

    return run_on_ranks(task, enter)


def _plugins(task: Task) -> tuple[Workload[Any], Backend, Variant]:
    """Return what the task's import paths name, or what is registered here under its names."""
    case = task.case
    if task.variant is not None:
        return resolve(task.workload), resolve(task.backend), task.variant
    registry = installed()
    workload = registry.workload(case.workload)
    variants = {variant.name: variant for variant in registry.variants_of(workload)}
    if case.variant not in variants:
        raise unknown(f"variant of {case.workload}", case.variant, variants)
    for name in case.params:
        if name not in workload.parameters:
            raise unknown(f"parameter of {case.workload}", name, workload.parameters)
    return workload, registry.backend(case.backend), variants[case.variant]


class _Progress:
    """Knows which phase runs and how long each took."""

    def __init__(self, enter: Callable[[str], None]) -> None:
        self.phase = ""
        self.spans: dict[str, float] = {}
        self._enter = enter

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self.phase = phase
        self._enter(phase)
        started = time.perf_counter()
        yield
        self.spans[phase] = time.perf_counter() - started


def _measured(
    task: Task,
    progress: _Progress,
    open_: Callable[[Backend, int], tuple[Device, Group]],
) -> Result:
    case = task.case
    with progress("limits"):
        limits.no_core_dumps()
        limits.prefer_as_oom_victim()
    with progress("look up"):
        workload, backend, variant = _plugins(task)
    with progress("import"):
        resolve(variant.run)
        # Another commit's workload may be of another version than the parent asked for.
        case = replace(case, version=workload.version)
        device, group = open_(backend, case.device_index)
    if task.memory_limit_bytes is not None:
        # After the imports: a library that cannot be mapped is an ImportError, not a MemoryError.
        limits.limit_memory(task.memory_limit_bytes)
    release_memory()
    before = _canary(device, "before", progress, group)
    base_bytes = resident_bytes()
    with progress("prepare"):
        state = _prepared(workload, device, variant, case, group)
        device.synchronize()
    steps = _steps(workload, device, state)
    meters = _meters(device, group, base_bytes)
    timer = meters[0]
    with progress("first call"):
        first = measure.first_call(steps, timer)
    with progress("verify"):
        verification = ranks.worst(group.gather(workload.verify(state)))
    result = Result(
        case=case,
        process=task.process,
        outcome=Outcome.OK,
        phase="done",
        verification=verification,
        work=workload.work(state) if isinstance(workload, protocols.DeclaresWork) else Work(),
        inputs=workload.inputs(state) if isinstance(workload, protocols.DescribesInputs) else {},
        environment={
            **task.environment,
            "runtime": runtime_environment(),
            "device": device.environment(),
            **({"ranks": group.environment()} if group.size > 1 else {}),
        },
    )
    if not verification.passed:
        return replace(
            result,
            outcome=Outcome.FAILED,
            phase="verify",
            reason=_rejection(verification),
            spans=progress.spans,
        )
    measurements = _all_quantities(task, steps, meters, sum(first.values), progress, group)
    with progress("quality"):
        quality = (
            workload.quality(state)
            if isinstance(workload, protocols.MeasuresQuality)
            and task.process == 0
            and not task.quantities
            else None
        )
    after = _canary(device, "after", progress, group)
    own_spans = workload.spans(state) if isinstance(workload, protocols.ReportsSpans) else {}
    counters = workload.counters(state) if isinstance(workload, protocols.ReportsCounters) else {}
    return replace(
        result,
        measurements=(*measurements, first, *_compile_time(own_spans), *before, *after),
        quality=quality,
        spans={**progress.spans, **own_spans},
        counters=counters,
    )


def _prepared(
    workload: Workload[Any], device: Device, variant: Variant, case: Case, group: Group
) -> Any:
    if group.size == 1:
        return workload.prepare(device, variant, case.params, case.seed)
    if not isinstance(workload, protocols.RunsOnRanks):
        raise AssayError(
            f"workload {case.workload} runs on one device only (it has no prepare_rank); "
            f"leave {ranks.WORLD_SIZE} at 1"
        )
    return workload.prepare_rank(device, variant, case.params, case.seed, group)


def _meters(device: Device, group: Group, base_bytes: int) -> Sequence[Meter]:
    barrier_s = ranks.barrier_s(group)
    return [
        ranks.agreed_meter(_from_base(meter, base_bytes), group, barrier_s)
        for meter in device.meters()
    ]


def _steps(workload: Workload[Any], device: Device, state: Any) -> measure.Steps:
    reset = (
        partial(workload.before_sample, state)
        if isinstance(workload, protocols.ResetsBeforeSample)
        and (not isinstance(workload, protocols.ResetsSomeCases) or workload.resets(state))
        else None
    )
    return measure.Steps(run=partial(workload.step, state), device=device, reset=reset)


def _all_quantities(
    task: Task,
    steps: measure.Steps,
    meters: Sequence[Meter],
    ran_s: float,
    progress: _Progress,
    group: Group,
) -> tuple[Measurement, ...]:
    found: list[Measurement] = []
    for meter in meters:
        if task.quantities and meter.quantity not in task.quantities:
            continue
        with progress(meter.quantity):
            release_memory()
            sampled = measure.measure(
                steps,
                meter,
                _sampling(task, meter),
                timer=meters[0],
                ran_s=ran_s,
                now=ranks.agreed_clock(group),
            )
            found += ranks.apart(sampled) if meter.quantity == "time" else [sampled]
    return tuple(found)


def _compile_time(spans: Mapping[str, float]) -> tuple[Measurement, ...]:
    """Return what the workload says of compiling as a quantity, beside the first call's time."""
    if "compile" not in spans:
        return ()
    seconds = (float(spans["compile"]),)
    found = Measurement("compile_time", "s", "process", "workload", phase="compile", values=seconds)
    return (found,)


def _canary(
    device: Device, when: str, progress: _Progress, group: Group
) -> tuple[Measurement, ...]:
    """Run the device's reference kernel, which no change of the code under test makes slower.

    On rank 0 alone: ranks that share a host would disturb each other.
    """
    if not isinstance(device, protocols.RunsCanary) or group.rank != 0:
        return ()
    canary = Measurement(
        quantity="canary", unit="s", scope="device", meter=device.canary_name, phase=when
    )
    with progress("canary"):
        try:
            return (replace(canary, values=tuple(device.canary())),)
        # What is measured must not be lost to a kernel that only puts it into proportion.
        except Exception as error:
            return (replace(canary, status=Status.UNAVAILABLE, reason=_one_line(error)),)


def _from_base(meter: Meter, base_bytes: int) -> Meter:
    return meter.with_base(base_bytes) if isinstance(meter, HostMemory) else meter


def _sampling(task: Task, meter: Meter) -> measure.Sampling:
    if meter.quantity.startswith("peak_"):
        # A peak hardly varies from step to step: few samples, so that slow steps cost little.
        few = 1 if task.process else task.sampling.min_samples
        return replace(
            task.sampling,
            min_samples=1,
            max_samples=few,
            budget_s=task.sampling.budget_s / 3,
            warm_up_s=0.0,
        )
    if meter.quantity != "time" and task.process:
        # Slow meters: once in each further process, since processes tell more than samples.
        return replace(task.sampling, min_samples=1, max_samples=1)
    return task.sampling


def _rejection(verification: Verification) -> str:
    detail = f"; {verification.detail}" if verification.detail else ""
    error = "not finite" if verification.error is None else f"{verification.error:.3g}"
    return (
        f"verification rejected the output: error {error}, over the tolerance "
        f"{verification.tolerance:.3g}, against {verification.reference}{detail}"
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    # torch is not imported here: its errors are known by their names and words.
    names = {kind.__name__ for kind in type(error).__mro__}
    words = str(error).lower()
    return "OutOfMemoryError" in names or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in words or "out of memory" in words)
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _tail(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(lines[-_TRACEBACK_LINES:])


if __name__ == "__main__":
    main()
