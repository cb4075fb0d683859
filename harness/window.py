"""Runs a step some times inside one open meter: the window that every reading comes from."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

from harness.protocols import Device, Meter

MAX_STEPS_PER_SAMPLE = 1 << 22
"""A step that needs more repetitions than this to fill a window does nothing that can be timed."""

SHORT_S = 0.5
"""Preemptions of 15 ms were seen between two readings of a clock: a few percent of this."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is sampled: a step bound to its state, and the untimed reset before each window."""

    run: Callable[[], None]
    device: Device
    reset: Callable[[], None] | None = None


def read_window(steps: Steps, meter: Meter, count: int) -> float:
    """Synchronise, open the meter, run `count` steps, synchronise, and read the meter.

    The reset is the caller's to run, since it belongs to no window.

    Raises:
        MeterError: the meter cannot tell this window.
    """
    run, end_step = steps.run, steps.device.end_step
    repeats = repeat(None, count)
    collecting = gc.isenabled()
    gc.disable()
    try:
        steps.device.synchronize()
        token = meter.start()
        for _ in repeats:
            run()
            end_step()
        # Before the window closes: work that a device still has to do belongs to it.
        steps.device.synchronize()
        return meter.stop(token)
    finally:
        if collecting:
            gc.enable()


def steps_to_fill(
    steps: Steps, timer: Meter, min_window_s: float, *, step_s: float = 0.0
) -> tuple[int, float]:
    """Return how many steps fill a window of `min_window_s`, and how long that many took in s.

    Args:
        steps: what to run, without its reset.
        timer: the device's meter for "time".
        min_window_s: the window to fill.
        step_s: about what a step takes, 0 where that is not known. Where one such step is long
            and fills the window, nothing is run to find out.
    """
    if min_window_s <= 0 or step_s >= max(min_window_s, SHORT_S):
        return 1, step_s
    count = _at_most(min_window_s / step_s) if step_s > 0 else 1
    while True:
        window_s = read_window(steps, timer, count)
        if min_window_s <= window_s < SHORT_S:
            # A short window may have been filled by a preemption: the faster of two counts.
            window_s = min(window_s, read_window(steps, timer, count))
        if window_s >= min_window_s or count >= MAX_STEPS_PER_SAMPLE:
            return count, window_s
        count = more_steps(count, window_s, min_window_s)


def more_steps(count: int, window_s: float, min_window_s: float) -> int:
    """Return how many steps to try next, where `count` steps took less than `min_window_s`.

    At most tenfold: a first window may hold one slow step that is not typical.
    """
    needed = count * min_window_s / window_s if window_s > 0 else math.inf
    return max(_at_most(min(needed, count * 10)), min(count + 1, MAX_STEPS_PER_SAMPLE))


def _at_most(count: float) -> int:
    return math.ceil(min(max(count, 1), MAX_STEPS_PER_SAMPLE))
