"""The only sampling loop: every quantity of every workload on every device is sampled here.

One sample is: reset, synchronise, open the meter, n x (step, end of step), synchronise, close the
meter. Each quantity has its own pass, so that a pass that traces memory never reports time.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from harness import noise
from harness.protocols import ComparesRanks, Meter, MeterError
from harness.ranks import SKEW
from harness.records import Measurement, Status
from harness.units import format_si
from harness.warm_up import level_changed, warm_up
from harness.window import MAX_STEPS_PER_SAMPLE, SHORT_S, Steps, read_window, steps_to_fill

__all__ = [
    "MAX_STEPS_PER_SAMPLE",
    "Sampling",
    "Steps",
    "first_call",
    "measure",
    "steps_to_fill",
    "unavailable",
]

HARD_LIMIT_FACTOR = 10.0
"""Fewer than `min_samples` are accepted only where they would take this many budgets."""

MAX_HARNESS_SHARE = 0.1
"""Of a step's time. The harness adds the same to both sides of a comparison, so that a difference
reads smaller by at most this share of itself. A step of 1 us passes where the harness keeps to its
100 ns."""

_EMPTY_WINDOWS = 5
"""The fastest counts, so that a preemption does not."""

_REWARM_S = 0.02
"""The time pass has warmed everything but what releasing memory since has made cold again."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many samples one process takes of one quantity.

    The number does not depend on the samples themselves: stopping where they happen to agree takes
    them from one moment, whose level the next does not share, and makes their variance look small.

    Attributes:
        min_samples: fewest samples, where `max_samples` allows and they do not take ten budgets;
            asv's comparison needs six a side for its Mann-Whitney test.
        max_samples: most samples.
        precision: a level that changes by more than this share while it is sampled is not steady.
        budget_s: stop after this long, once `min_samples` are there.
        warm_up_s: the most that is spent on untimed steps before the first pass.
    """

    min_samples: int = 6
    max_samples: int = 50
    precision: float = 0.02
    budget_s: float = 1.5
    warm_up_s: float = 0.5


def first_call(steps: Steps, timer: Meter) -> Measurement:
    """Time the first step of this process: compilation, allocation and cold caches included.

    Args:
        steps: what to run, never run before; a reset runs first, untimed.
        timer: the device's meter for "time".
    """
    try:
        sample = _take(steps, timer, 1)
    except MeterError as error:
        found = unavailable(timer, str(error))
    else:
        found = replace(_about(timer), values=(sample.value,), noise=(sample.noise,))
    return replace(found, quantity="first_call", phase="first_call")


def measure(
    steps: Steps,
    meter: Meter,
    sampling: Sampling,
    *,
    timer: Meter,
    ran_s: float = 0.0,
    now: Callable[[], float] = time.monotonic,
) -> Measurement:
    """Sample one quantity as often as `sampling` says; time, which comes first, after a warm-up.

    Args:
        steps: what to run; with a reset, a sample is exactly one step.
        meter: what to read.
        sampling: how much.
        timer: the device's meter for "time", which sizes warm-up and window.
        ran_s: how long the first call took. Where that was long and the next step is too, the step
            is slow by itself: that next step is then the first sample, not a warm-up.
        now: seconds on the clock that budgets are taken from.

    Returns:
        The measurement; with status `unavailable` and the reason where the meter cannot tell, or
        `unresolvable` where the time of a step is too short for any timer or beside the harness's
        own. The flag `no_steady_state` says that the time of a step still changed when the warm-up
        ended, or while it was sampled.
    """
    reason = meter.unavailable()
    if reason is not None:
        return unavailable(meter, reason)
    timing = meter.quantity == "time"
    try:
        start = _ready(steps, meter, sampling, timer, ran_s if timing else 0.0, now)
        if timing and start.count >= MAX_STEPS_PER_SAMPLE and start.window_s < meter.min_window_s:
            return _unresolvable(meter, _nothing_to_time(start))
        samples = _samples(steps, meter, start, sampling, now)
        values = tuple(sample.value for sample in samples)
        if timing and (why := _hidden(steps, timer, start.count, median(values))) is not None:
            return _unresolvable(meter, why)
    except MeterError as error:
        return unavailable(meter, str(error))
    flags = _noise_flags(samples)
    if start.window_s < meter.min_window_s:
        flags.append("window_too_short")
    if len(values) < min(sampling.min_samples, sampling.max_samples):
        flags.append("few_samples")
    if timing and not (start.steady and not level_changed(values, sampling.precision)):
        flags.append("no_steady_state")
    return replace(
        _about(meter),
        values=values,
        steps_per_sample=start.count,
        noise=tuple(sample.noise for sample in samples),
        status=getattr(meter, "status", Status.MEASURED),
        flags=tuple(flags),
    )


def unavailable(meter: Meter, reason: str) -> Measurement:
    """Return the measurement that says why there is none."""
    return replace(_about(meter), status=Status.UNAVAILABLE, reason=reason)


def _unresolvable(meter: Meter, reason: str) -> Measurement:
    return replace(_about(meter), status=Status.UNRESOLVABLE, reason=reason)


def _about(meter: Meter) -> Measurement:
    return Measurement(
        quantity=meter.quantity, unit=meter.unit, scope=meter.scope, meter=meter.name
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    value: float
    real_s: float
    noise: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Ready:
    """What sampling starts from; `first` holds the first sample where it is there already."""

    count: int
    window_s: float
    steady: bool
    first: tuple[_Sample, ...] = ()


def _ready(
    steps: Steps,
    meter: Meter,
    sampling: Sampling,
    timer: Meter,
    ran_s: float,
    now: Callable[[], float],
) -> _Ready:
    if ran_s >= SHORT_S:
        sample = _take(steps, timer, 1)
        if sample.value >= max(SHORT_S, timer.min_window_s):
            return _Ready(1, sample.value, True, (sample,))
    warmed = warm_up(
        steps,
        timer,
        at_most_s=min(sampling.warm_up_s, math.inf if meter.quantity == "time" else _REWARM_S),
        precision=sampling.precision,
        now=now,
    )
    if steps.reset is not None:
        # A sample with a reset is one step, which may take minutes: nothing is spent on sizing it.
        return _Ready(1, warmed.step_s, warmed.steady)
    count, window_s = steps_to_fill(steps, timer, meter.min_window_s, step_s=warmed.step_s)
    return _Ready(count, window_s, warmed.steady)


def _samples(
    steps: Steps, meter: Meter, start: _Ready, sampling: Sampling, now: Callable[[], float]
) -> list[_Sample]:
    samples = list(start.first)
    started = now() - sum(sample.value for sample in samples)
    while not _enough(len(samples), now() - started, sampling):
        samples.append(_take(steps, meter, start.count))
    return samples


def _take(steps: Steps, meter: Meter, count: int) -> _Sample:
    if steps.reset is not None:
        steps.reset()
    began, before = time.perf_counter(), noise.snapshot()
    value = read_window(steps, meter, count)
    disturbed = noise.delta(before, noise.snapshot())
    if meter.quantity == "time" and isinstance(meter, ComparesRanks):
        disturbed[SKEW] = meter.skew / count
    # A peak is the same however often the step is repeated; sums are reported per step.
    per = 1 if meter.quantity.startswith("peak_") else count
    return _Sample(value / per, time.perf_counter() - began, disturbed)


def _enough(taken: int, spent_s: float, sampling: Sampling) -> bool:
    if taken == 0:
        return False
    if taken >= sampling.max_samples or spent_s >= HARD_LIMIT_FACTOR * sampling.budget_s:
        return True
    return taken >= sampling.min_samples and spent_s >= sampling.budget_s


def _hidden(steps: Steps, timer: Meter, count: int, step_s: float) -> str | None:
    """Return why the harness's own cost hides the step, told by timing an empty one likewise."""
    empty = Steps(run=partial(_nothing, None), device=steps.device)
    windows_s = [read_window(empty, timer, count) for _ in range(_EMPTY_WINDOWS)]
    harness_s = min(windows_s) / count
    if step_s > 0 and harness_s <= MAX_HARNESS_SHARE * step_s:
        return None
    least_s = harness_s / MAX_HARNESS_SHARE
    return (
        f"a step reads {format_si(step_s, 's')}, of which the harness itself takes about "
        f"{format_si(harness_s, 's')}; let a step do more work, {format_si(least_s, 's')} or more"
    )


def _nothing(state: object) -> None:
    """A step that does no work, bound and called as any other."""


def _nothing_to_time(start: _Ready) -> str:
    return (
        f"{start.count} steps together take {format_si(start.window_s, 's')}, less than the timer "
        "resolves; let a step do more work"
    )


def _noise_flags(samples: Sequence[_Sample]) -> list[str]:
    return list(
        noise.noisy_flags(
            [sample.noise for sample in samples],
            [sample.real_s for sample in samples],
            cpus=len(os.sched_getaffinity(0)),
        )
    )
