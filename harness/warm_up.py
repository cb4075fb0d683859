"""Runs steps untimed until their own series says that they are warm, and tells when it moves on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from harness.protocols import Meter
from harness.window import MAX_STEPS_PER_SAMPLE, Steps, more_steps, read_window

LOOK_BACK = 12
"""Windows that a look takes at least: 12 ms where a window is 1 ms, longer than a tick of the
scheduler, and three times the fewest values that have a box of their own."""

LEAST = 6
"""Readings without which no change of level is claimed: two thirds of three."""

_CERTAIN = 7.0
"""Simulated: a gap of 7 / third box heights is passed by at most about 3 % of steady series of
any length, even where neighbours correlate with 0.6, one in ten is a spike, or modes alternate."""

_SETTLED_SHARE = 0.5
"""Of the change that the samples are judged by later: what is left over must not add up to it."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a warm-up went.

    Attributes:
        steady: False where the level was still moving when the time ran out; too few windows to
            tell, as of slow steps, are no evidence of that.
        step_s: what a step took in the later windows, in s; 0 where none was run.
        windows: s a step, one a window that the timer resolves.
        spent_s: how long it all took.
    """

    steady: bool
    step_s: float
    windows: tuple[float, ...]
    spent_s: float


def warm_up(
    steps: Steps,
    timer: Meter,
    *,
    at_most_s: float,
    precision: float = 0.02,
    now: Callable[[], float] = time.monotonic,
) -> WarmUp:
    """Run windows of steps until the later half of them shows neither trend nor jump.

    A fixed number of steps is too few for some code and wasted on the rest, and some code never
    settles (Barrett et al., Virtual Machine Warmup Blows Hot and Cold, OOPSLA 2017; Traini et al.,
    Towards effective assessment of steady state performance in Java software, 2022). As windows
    pass, the half that is looked at grows, so that noise averages out and slow changes come into
    view.

    Args:
        steps: what to run.
        timer: the device's meter for "time"; short steps are grouped to fill its window.
        at_most_s: no window is begun that would probably end later; a first one always is, unless
            this is 0.
        precision: changes of level of half this share do not matter.
        now: seconds on the clock that `at_most_s` is taken from.

    Raises:
        MeterError: the timer cannot tell a window.
    """
    windows: list[float] = []
    count, step_s, spent_s, round_s = 1, 0.0, 0.0, 0.0
    started = now()
    while spent_s + round_s < at_most_s and not _settled(windows, precision):
        if steps.reset is not None:
            steps.reset()
        window_s = read_window(steps, timer, count)
        step_s = window_s / count
        full = window_s >= timer.min_window_s or count >= MAX_STEPS_PER_SAMPLE
        if full or steps.reset is not None:
            windows.append(step_s)
        else:
            count = more_steps(count, window_s, timer.min_window_s)
        round_s, spent_s = now() - started - spent_s, now() - started
    later = windows[len(windows) // 2 :]
    return WarmUp(
        steady=_settled(windows, precision) or not level_changed(later, precision),
        step_s=median(later) if later else step_s,
        windows=tuple(windows),
        spent_s=spent_s,
    )


def level_changed(values: Sequence[float], precision: float) -> bool:
    """Return whether a series has certainly not kept its level, by a jump or by a drift.

    The first third is held against the last: their medians must differ by more than `precision`,
    and the boxes that hold the middle three fifths of each must lie apart, the further the fewer
    values there are. Boxes neither move with a few spikes nor part between two modes that
    alternate. Fewer than six values never tell.

    Args:
        values: in the order in which they were taken.
        precision: the share of the level that a change must exceed.
    """
    if len(values) < LEAST:
        return False
    third = max(3, len(values) // 3)
    return _apart(values, third, precision, _CERTAIN / third)


def _settled(windows: Sequence[float], precision: float) -> bool:
    """Return whether the boxes of the first and last third of the later half overlap."""
    if len(windows) < LOOK_BACK:
        return False
    recent = windows[-max(LOOK_BACK, len(windows) // 2) :]
    return not _apart(recent, len(recent) // 3, _SETTLED_SHARE * precision, 0.0)


def _apart(values: Sequence[float], third: int, precision: float, heights: float) -> bool:
    first, last = values[:third], values[-third:]
    low, *_, high = quantiles(first, n=5, method="inclusive")
    last_low, *_, last_high = quantiles(last, n=5, method="inclusive")
    gap = max(last_low - high, low - last_high)
    before, after = median(first), median(last)
    return (
        abs(after - before) > precision * min(before, after)
        and gap > heights * (high - low + last_high - last_low)
    )  # fmt: skip
