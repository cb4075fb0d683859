"""The window that every reading comes from, and how many steps fill it."""

from __future__ import annotations

import gc
from dataclasses import replace

from harness.testing import FakeDevice, FakeMeter
from harness.window import MAX_STEPS_PER_SAMPLE, Steps, more_steps, read_window, steps_to_fill


def test_the_device_is_synchronised_before_and_after_the_steps() -> None:
    device = FakeDevice()
    seen: list[str] = []

    class Watched(FakeDevice):
        def synchronize(self) -> None:
            seen.append("sync")

        def end_step(self) -> None:
            seen.append("end")

    steps = Steps(run=lambda: seen.append("step"), device=Watched(device.clock))
    read_window(steps, FakeMeter(device.clock), 2)
    assert seen == ["sync", "step", "end", "step", "end", "sync"]


def test_no_garbage_is_collected_inside_a_window_and_the_collector_is_left_as_it_was() -> None:
    device = FakeDevice()
    seen: list[bool] = []
    steps = Steps(run=lambda: seen.append(gc.isenabled()), device=device)
    read_window(steps, FakeMeter(device.clock), 1)
    assert seen == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        read_window(steps, FakeMeter(device.clock), 1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_steps_are_counted_until_they_fill_the_window() -> None:
    device = FakeDevice()
    steps = Steps(run=lambda: device.clock.advance(0.5), device=device)
    assert steps_to_fill(steps, FakeMeter(device.clock), 1.9) == (4, 2.0)


def test_a_known_slow_step_is_not_run_to_find_out_that_it_is_slow() -> None:
    device = FakeDevice()
    steps = Steps(run=lambda: device.clock.advance(60.0), device=device)
    assert steps_to_fill(steps, FakeMeter(device.clock), 1.0, step_s=60.0) == (1, 60.0)
    assert device.clock.ended_steps == 0


def test_a_wrong_guess_of_the_steps_time_is_corrected() -> None:
    device = FakeDevice()
    steps = Steps(run=lambda: device.clock.advance(1e-3), device=device)
    count, window_s = steps_to_fill(steps, FakeMeter(device.clock), 0.1, step_s=0.05)
    assert count >= 100
    assert 0.1 <= window_s < 0.2


def test_a_step_without_any_duration_does_not_loop_for_ever() -> None:
    device = FakeDevice()
    steps = Steps(run=lambda: None, device=device)
    count, window_s = steps_to_fill(steps, FakeMeter(device.clock), 1e-3)
    assert (count, window_s) == (MAX_STEPS_PER_SAMPLE, 0.0)


def test_one_preempted_window_does_not_pass_for_a_full_one() -> None:
    device = FakeDevice()
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1
        device.clock.advance(1e-6 + (15e-3 if calls == 5 else 0.0))

    count, window_s = steps_to_fill(Steps(run=run, device=device), FakeMeter(device.clock), 1e-3)
    assert count >= 1000
    assert window_s < 10e-3


def test_the_reset_is_left_to_the_caller() -> None:
    device = FakeDevice()

    def reset() -> None:
        raise AssertionError("a window has no reset in it")

    steps = Steps(run=lambda: device.clock.advance(1.0), device=device)
    assert read_window(replace(steps, reset=reset), FakeMeter(device.clock), 3) == 3.0


def test_the_next_count_grows_at_most_tenfold_and_never_beyond_the_limit() -> None:
    assert more_steps(1, 1e-9, 1.0) == 10
    assert more_steps(4, 0.5, 1.0) == 8
    assert more_steps(4, 0.999, 1.0) == 5
    assert more_steps(MAX_STEPS_PER_SAMPLE, 0.0, 1.0) == MAX_STEPS_PER_SAMPLE
