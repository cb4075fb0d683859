"""The clock's step is measured, and a window is the difference of two reads."""

from __future__ import annotations

import itertools
import time

import pytest

from harness.meters.wall_clock import WallClock, clock_step_ns, shortest_window_s
from harness.protocols import Meter


def test_the_step_of_a_fine_clock_is_the_cost_of_a_read() -> None:
    assert clock_step_ns(itertools.count(0, 70).__next__) == 70


def test_the_step_of_a_coarse_clock_is_its_resolution() -> None:
    reads = itertools.count()
    assert clock_step_ns(lambda: next(reads) // 50 * 15_000_000) == 15_000_000


def test_one_preempted_read_does_not_change_the_step() -> None:
    reads = itertools.count()
    preempted_once = lambda: (n := next(reads)) * 60 + (15_000_000 if n > 41 else 0)  # noqa: E731
    assert clock_step_ns(preempted_once) == 60


def test_a_fine_clock_still_gets_a_window_of_a_millisecond() -> None:
    assert shortest_window_s(50) == pytest.approx(1e-3)


def test_a_coarse_clock_gets_a_window_of_a_thousand_steps() -> None:
    assert shortest_window_s(15_000_000) == pytest.approx(15.0)


def test_a_window_lies_within_the_reads_around_it() -> None:
    meter: Meter = WallClock()
    before = time.perf_counter_ns()
    token = meter.start()
    opened = time.perf_counter_ns()
    time.sleep(0.01)
    closing = time.perf_counter_ns()
    seconds = meter.stop(token)
    after = time.perf_counter_ns()
    assert (closing - opened) * 1e-9 <= seconds <= (after - before) * 1e-9


def test_the_meter_says_what_it_reads_and_is_always_there() -> None:
    meter = WallClock()
    assert (meter.quantity, meter.unit, meter.scope, meter.name) == (
        "time",
        "s",
        "process",
        "perf_counter",
    )
    assert meter.min_window_s >= 1e-3
    assert meter.unavailable() is None
