"""The sampling loop against a virtual clock, so that every number can be stated exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.measure import MAX_STEPS_PER_SAMPLE, Sampling, Steps, measure, steps_to_fill
from harness.records import Measurement, Status
from harness.testing import FakeDevice, FakeMeter

SIX = Sampling(min_samples=6, max_samples=20, precision=0.02, budget_s=100.0, warm_up_s=1.0)


def steps_of(device: FakeDevice, *seconds: float, reset: Callable[[], None] | None = None) -> Steps:
    """Steps that take the given virtual seconds in turn."""
    count = 0

    def run() -> None:
        nonlocal count
        device.clock.advance(seconds[count % len(seconds)])
        count += 1

    return Steps(run=run, device=device, reset=reset)


def measured(
    device: FakeDevice, steps: Steps, sampling: Sampling = SIX, meter: FakeMeter | None = None
) -> Measurement:
    timer = FakeMeter(device.clock)
    return measure(steps, meter or timer, sampling, timer=timer, now=lambda: device.clock.now_s)


def test_steady_steps_stop_at_the_fewest_samples_with_the_exact_value() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 0.5))
    assert found.values == (0.5,) * 6
    assert found.steps_per_sample == 1
    assert (found.quantity, found.unit, found.meter) == ("time", "s", "virtual")
    assert not {"imprecise", "few_samples", "window_too_short"} & set(found.flags)
    assert len(found.noise) == 6


def test_steps_are_repeated_to_fill_the_meters_window_and_reported_per_step() -> None:
    device = FakeDevice()
    meter = FakeMeter(device.clock, min_window_s=2.0)
    found = measured(device, steps_of(device, 0.5), meter=meter)
    assert found.steps_per_sample == 4
    assert found.values == (0.5,) * 6


def test_energy_is_per_step_and_a_peak_is_not_divided() -> None:
    device = FakeDevice()
    device.clock.peak_bytes = 4096.0
    steps = steps_of(device, 0.5)
    energy = FakeMeter(device.clock, quantity="energy", unit="J", min_window_s=2.0)
    peak = FakeMeter(device.clock, quantity="peak_memory", unit="B", min_window_s=2.0)
    assert measured(device, steps, meter=energy).values == (5.0,) * 6
    assert measured(device, steps, meter=peak).values == (4096.0,) * 6


def test_noisy_steps_are_sampled_until_the_interval_is_narrow() -> None:
    device = FakeDevice()
    # Of these the first ten spread by 10 %, the rest agree: precision comes with more samples.
    early = [1.0, 1.1] * 5
    found = measured(device, steps_of(device, *early, *[1.05] * 30), replace(SIX, max_samples=50))
    assert 6 < len(found.values) < 50
    assert "imprecise" not in found.flags


def test_the_budget_ends_sampling_that_never_becomes_precise() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 1.0, 2.0), replace(SIX, budget_s=12.0))
    assert 6 <= len(found.values) <= 10
    assert "imprecise" in found.flags


def test_most_samples_are_never_exceeded() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 1.0, 2.0), replace(SIX, budget_s=1e9))
    assert len(found.values) == 20


def test_steps_far_slower_than_the_budget_give_few_samples_and_say_so() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 50.0), replace(SIX, budget_s=10.0))
    assert len(found.values) == 2
    assert "few_samples" in found.flags


def test_a_reset_comes_before_every_sample_and_makes_it_one_step() -> None:
    device = FakeDevice()
    resets = 0

    def reset() -> None:
        nonlocal resets
        resets += 1
        device.clock.advance(1000.0)

    meter = FakeMeter(device.clock, min_window_s=2.0)
    sampling = replace(SIX, budget_s=1e6)
    found = measured(device, steps_of(device, 0.5, reset=reset), sampling, meter)
    assert found.values == (0.5,) * 6
    assert found.steps_per_sample == 1
    assert "window_too_short" in found.flags
    assert resets >= 6


def test_the_device_is_synchronised_before_and_after_every_window() -> None:
    device = FakeDevice()
    seen: list[str] = []

    class Watched(FakeDevice):
        def synchronize(self) -> None:
            seen.append("sync")

        def end_step(self) -> None:
            seen.append("end")

    watched = Watched(device.clock)
    steps = replace(steps_of(device, 0.5), device=watched)
    steps_to_fill(steps, FakeMeter(device.clock), 0.9)
    assert seen == ["sync", "end", "sync", "sync", "end", "end", "sync"]


def test_a_step_without_any_duration_does_not_loop_for_ever() -> None:
    device = FakeDevice()
    meter = FakeMeter(device.clock, min_window_s=1.0)
    count, window_s = steps_to_fill(
        replace(steps_of(device, 0.0), run=lambda: None), FakeMeter(device.clock), 1e-3
    )
    assert window_s == 0.0
    assert count == MAX_STEPS_PER_SAMPLE
    assert meter.min_window_s == 1.0


def test_one_preempted_window_does_not_pass_for_a_full_one() -> None:
    device = FakeDevice()
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1
        device.clock.advance(1e-6 + (15e-3 if calls == 5 else 0.0))

    steps = Steps(run=run, device=device)
    count, window_s = steps_to_fill(steps, FakeMeter(device.clock), 1e-3)
    assert count >= 1000
    assert window_s < 10e-3


def test_an_unavailable_meter_gives_its_reason_and_no_values() -> None:
    device = FakeDevice()
    meter = FakeMeter(device.clock, quantity="energy", unit="J", why_not="no sensor; buy one")
    found = measured(device, steps_of(device, 0.5), meter=meter)
    assert (found.status, found.reason, found.values) == (
        Status.UNAVAILABLE,
        "no sensor; buy one",
        (),
    )


def test_a_window_the_meter_cannot_tell_makes_the_quantity_unavailable() -> None:
    device = FakeDevice()
    meter = FakeMeter(device.clock, quantity="energy", unit="J", breaks="wrapped twice")
    found = measured(device, steps_of(device, 0.5), meter=meter)
    assert (found.status, found.reason) == (Status.UNAVAILABLE, "wrapped twice")


def test_an_error_in_a_step_is_not_swallowed() -> None:
    device = FakeDevice()

    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measured(device, Steps(run=run, device=device))
