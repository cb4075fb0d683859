"""The only sampling loop: every quantity of every workload on every device is sampled here.

One sample is: reset, synchronise, open the meter, n x (step, end of step), synchronise, close the
meter. Each quantity has its own pass, so that a pass that traces memory never reports time.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import noise
from harness.protocols import Device, Meter, MeterError
from harness.records import Measurement, Status
from harness.statistics import median_interval

MAX_STEPS_PER_SAMPLE = 1 << 22
"""A step that needs more repetitions than this to fill a window does nothing that can be timed."""

_SHORT_S = 0.5
"""Preemptions of 15 ms were seen between two readings of a clock: a few percent of this."""

HARD_LIMIT_FACTOR = 10.0
"""Fewer than `min_samples` are accepted only where they would take this many budgets."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many samples are taken of one quantity.

    Attributes:
        min_samples: fewest samples; asv's comparison needs six a side for its Mann-Whitney test.
        max_samples: most samples.
        precision: stop where the interval's half-width is at most this share of the median.
        budget_s: stop after this long, once `min_samples` are there.
        warm_up_s: untimed steps first, for at least this long.
    """

    min_samples: int = 6
    max_samples: int = 50
    precision: float = 0.02
    budget_s: float = 1.5
    warm_up_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Steps:
    """What is sampled: a step bound to its state, and the untimed reset before each sample."""

    run: Callable[[], None]
    device: Device
    reset: Callable[[], None] | None = None


def measure(
    steps: Steps,
    meter: Meter,
    sampling: Sampling,
    *,
    timer: Meter,
    now: Callable[[], float] = time.monotonic,
) -> Measurement:
    """Sample one quantity until it is precise or the budget ends.

    Args:
        steps: what to run; with a reset, a sample is exactly one step.
        meter: what to read.
        sampling: when to stop.
        timer: the device's meter for "time", which sizes warm-up and window.
        now: seconds on the clock that the budget is taken from.

    Returns:
        The measurement, with status `unavailable` and the reason where the meter cannot tell.
    """
    reason = meter.unavailable()
    if reason is not None:
        return unavailable(meter, reason)
    try:
        window_s = _warm_up(steps, timer, sampling.warm_up_s)
        count = 1
        # A sample with a reset is one step, which may take minutes: nothing is spent on sizing it.
        if steps.reset is None:
            count, window_s = steps_to_fill(steps, timer, meter.min_window_s)
        samples = _sample(steps, meter, count, sampling, now)
    except MeterError as error:
        return unavailable(meter, str(error))
    values = [sample.value for sample in samples]
    disturbances = tuple(sample.noise for sample in samples)
    flags = list(
        noise.noisy_flags(
            disturbances,
            [sample.real_s for sample in samples],
            cpus=len(os.sched_getaffinity(0)),
        )
    )
    if window_s < meter.min_window_s:
        flags.append("window_too_short")
    if len(values) < sampling.min_samples:
        flags.append("few_samples")
    if not _precise(values, sampling.precision):
        flags.append("imprecise")
    return Measurement(
        quantity=meter.quantity,
        unit=meter.unit,
        scope=meter.scope,
        meter=meter.name,
        values=tuple(values),
        steps_per_sample=count,
        noise=disturbances,
        status=getattr(meter, "status", Status.MEASURED),
        flags=tuple(flags),
    )


def unavailable(meter: Meter, reason: str) -> Measurement:
    """Return the measurement that says why there is none."""
    return Measurement(
        quantity=meter.quantity,
        unit=meter.unit,
        scope=meter.scope,
        meter=meter.name,
        status=Status.UNAVAILABLE,
        reason=reason,
    )


def steps_to_fill(steps: Steps, timer: Meter, min_window_s: float) -> tuple[int, float]:
    """Return how many steps fill a window of `min_window_s`, and how long that many took in s."""
    count = 1
    while True:
        window_s = _window(steps, timer, count)
        if min_window_s <= window_s < _SHORT_S:
            # A short window may have been filled by a preemption: the faster of two counts.
            window_s = min(window_s, _window(steps, timer, count))
        if window_s >= min_window_s or count >= MAX_STEPS_PER_SAMPLE:
            return count, window_s
        # At most tenfold a round: a first window may hold one slow step that is not typical.
        needed = count * min_window_s / window_s if window_s > 0 else math.inf
        count = min(max(count + 1, math.ceil(min(needed, count * 10))), MAX_STEPS_PER_SAMPLE)


def _warm_up(steps: Steps, timer: Meter, warm_up_s: float) -> float:
    """Run single steps for `warm_up_s`; return how long the last one took in s, 0 without any."""
    spent_s = step_s = 0.0
    while spent_s < warm_up_s:
        step_s = _window(steps, timer, 1)
        # The least a window can count, so that a timer that reads 0 still ends the warm-up.
        spent_s += max(step_s, warm_up_s / 10_000)
    return step_s


@dataclass(frozen=True, slots=True)
class _Sample:
    value: float
    real_s: float
    noise: Mapping[str, float]


def _sample(
    steps: Steps, meter: Meter, count: int, sampling: Sampling, now: Callable[[], float]
) -> list[_Sample]:
    # A peak is the same however often the step is repeated; sums are reported per step.
    per = 1 if meter.quantity.startswith("peak_") else count
    samples: list[_Sample] = []
    started = now()
    while not _enough([sample.value for sample in samples], now() - started, sampling):
        if steps.reset is not None:
            steps.reset()
        began, before = time.perf_counter(), noise.snapshot()
        value = _window(steps, meter, count, reset=False) / per
        disturbed = noise.delta(before, noise.snapshot())
        samples.append(_Sample(value, time.perf_counter() - began, disturbed))
    return samples


def _enough(values: list[float], spent_s: float, sampling: Sampling) -> bool:
    if not values:
        return False
    if len(values) >= sampling.max_samples or spent_s >= HARD_LIMIT_FACTOR * sampling.budget_s:
        return True
    if len(values) < sampling.min_samples:
        return False
    return spent_s >= sampling.budget_s or _precise(values, sampling.precision)


def _precise(values: list[float], precision: float) -> bool:
    interval = median_interval(values)
    if interval.low is None or interval.high is None:
        return False
    return interval.high - interval.low <= 2 * precision * abs(interval.estimate)


def _window(steps: Steps, meter: Meter, count: int, reset: bool = True) -> float:
    if reset and steps.reset is not None:
        steps.reset()
    run, end_step = steps.run, steps.device.end_step
    repeats = range(count)
    collecting = gc.isenabled()
    gc.disable()
    try:
        steps.device.synchronize()
        token = meter.start()
        for _ in repeats:
            run()
            end_step()
        # Before the window closes: work that a device still has to do belongs to the sample.
        steps.device.synchronize()
        return meter.stop(token)
    finally:
        if collecting:
            gc.enable()
