"""Wall time of a window, by Python's monotonic high-resolution clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_STEPS_A_WINDOW = 1000
"""A window ends up to one clock step early and one late: 1000 steps keep that under 0.2 %."""

_MIN_WINDOW_NS = 1_000_000
"""A timer interrupt takes up to some 10 us: 1 % of 1 ms, and ever more of a shorter window."""

_LOOKS = 101
"""Odd, so that the median is a step that was seen; 101 reads take about 10 us."""


def clock_step_ns(read_ns: Callable[[], int]) -> int:
    """Return the smallest difference in ns that two reads in a row can show.

    It is the clock's resolution or the cost of a read, whichever is coarser; the median over many
    looks, since a read can be preempted for milliseconds.

    Args:
        read_ns: a monotonic clock in ns.
    """
    steps = []
    for _ in range(_LOOKS):
        first = read_ns()
        while (then := read_ns()) == first:
            pass
        steps.append(then - first)
    return int(statistics.median(steps))


def shortest_window_s(step_ns: int) -> float:
    """Return the shortest window in s that a clock of this step resolves."""
    return max(_STEPS_A_WINDOW * step_ns, _MIN_WINDOW_NS) / 1e9


def _measured_window_s() -> float:
    return shortest_window_s(clock_step_ns(time.perf_counter_ns))


@dataclass(frozen=True, slots=True)
class WallClock:
    """Reads elapsed wall time in s; the clock's own step is measured when the meter is made."""

    quantity: str = field(default="time", init=False)
    unit: str = field(default="s", init=False)
    scope: str = field(default="process", init=False)
    name: str = field(default="perf_counter", init=False)
    min_window_s: float = field(default_factory=_measured_window_s, init=False)

    def unavailable(self) -> str | None:
        """Return None: Python has this clock everywhere."""
        return None

    def start(self) -> int:
        """Return the clock's reading in ns."""
        return time.perf_counter_ns()

    def stop(self, token: int) -> float:
        """Return the s since `token`."""
        return (time.perf_counter_ns() - token) / 1e9
