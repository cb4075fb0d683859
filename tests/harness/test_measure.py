"""The sampling loop against a virtual clock, so that every number can be stated exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import chain, cycle, repeat

import numpy as np
import pytest

from harness.measure import Sampling, Steps, first_call, measure
from harness.meters.wall_clock import WallClock
from harness.records import Measurement, Status
from harness.testing import FakeDevice, FakeMeter

SIX = Sampling(min_samples=6, max_samples=6, budget_s=100.0, warm_up_s=1.0)


def steps_of(device: FakeDevice, *seconds: float, reset: Callable[[], None] | None = None) -> Steps:
    """Steps that take the given virtual seconds in turn."""
    return steps_in(device, cycle(seconds), reset)


def steps_in(
    device: FakeDevice, seconds: Iterable[float], reset: Callable[[], None] | None = None
) -> Steps:
    durations = iter(seconds)
    return Steps(run=lambda: device.clock.advance(next(durations)), device=device, reset=reset)


def measured(
    device: FakeDevice,
    steps: Steps,
    sampling: Sampling = SIX,
    meter: FakeMeter | None = None,
    ran_s: float = 0.0,
) -> Measurement:
    timer = FakeMeter(device.clock)
    return measure(
        steps,
        meter or timer,
        sampling,
        timer=timer,
        ran_s=ran_s,
        now=lambda: device.clock.now_s,
    )


def test_steady_steps_give_the_exact_value_as_often_as_asked() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 0.5))
    assert found.values == (0.5,) * 6
    assert found.steps_per_sample == 1
    assert (found.quantity, found.unit, found.meter) == ("time", "s", "virtual")
    assert not {"few_samples", "window_too_short", "no_steady_state"} & set(found.flags)
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


def test_the_number_of_samples_does_not_depend_on_how_well_they_agree() -> None:
    for seconds in ((1.0,), (1.0, 2.0)):
        device = FakeDevice()
        found = measured(device, steps_of(device, *seconds), replace(SIX, max_samples=20))
        assert len(found.values) == 20


def test_the_budget_ends_sampling_once_the_fewest_samples_are_there() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 1.0), replace(SIX, max_samples=50, budget_s=9.0))
    assert len(found.values) == 9
    device = FakeDevice()
    found = measured(device, steps_of(device, 1.0), replace(SIX, max_samples=50, budget_s=3.0))
    assert len(found.values) == 6
    assert "few_samples" not in found.flags


def test_steps_far_slower_than_the_budget_give_few_samples_and_say_so() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 50.0), replace(SIX, budget_s=10.0))
    assert len(found.values) == 2
    assert "few_samples" in found.flags


def test_fewer_samples_are_no_flaw_where_no_more_were_asked_for() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 0.5), replace(SIX, max_samples=3))
    assert len(found.values) == 3
    assert "few_samples" not in found.flags


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
    assert resets == device.clock.ended_steps - EMPTY_STEPS == 7


EMPTY_STEPS = 5
"""Of one step each, by which the harness's own cost is told."""


def test_a_slow_step_is_warmed_up_once_and_not_run_again_to_count_steps() -> None:
    device = FakeDevice()
    meter = FakeMeter(device.clock, min_window_s=0.01)
    found = measured(device, steps_of(device, 2.0), meter=meter)
    assert found.values == (2.0,) * 6
    assert device.clock.now_s == 7 * 2.0


def test_a_step_as_slow_as_the_first_call_is_not_warmed_up_at_all() -> None:
    device = FakeDevice()
    found = measured(device, steps_of(device, 2.0), ran_s=2.0)
    assert found.values == (2.0,) * 6
    assert device.clock.now_s == 6 * 2.0


def test_a_first_call_that_compiled_does_not_spare_quick_steps_their_warm_up() -> None:
    device = FakeDevice()
    compiled_late = chain(repeat(5e-3, 6), repeat(1e-3))
    found = measured(device, steps_in(device, compiled_late), ran_s=30.0)
    assert found.values == pytest.approx((1e-3,) * 6)
    assert "no_steady_state" not in found.flags


def test_only_the_time_pass_warms_up_for_long() -> None:
    device = FakeDevice()
    getting_faster = (1e-3 * (1 + 0.99**n) for n in range(10_000))
    energy = FakeMeter(device.clock, quantity="energy", unit="J")
    measured(device, steps_in(device, getting_faster), meter=energy)
    assert device.clock.now_s < 0.05


def noise(seed: int) -> Iterable[float]:
    """Independent, with spikes of five times that in one step of ten."""
    generator = np.random.default_rng(seed)
    while True:
        spike = 0.5 * (generator.random() < 0.1)
        yield abs(1.0 + 0.02 * generator.standard_normal() + spike)


def flagged(levels: Callable[[int], float]) -> float:
    """The share of 40 noisy measurements that carry `no_steady_state`; a step takes some ms."""
    count = 0
    for seed in range(40):
        device = FakeDevice()
        seconds = (5e-3 * levels(n) * value for n, value in enumerate(noise(seed)))
        sampling = Sampling(budget_s=10.0)
        found = measured(device, steps_in(device, seconds), sampling)
        assert len(found.values) == 50
        count += "no_steady_state" in found.flags
    return count / 40


def test_noisy_steps_are_steady() -> None:
    assert flagged(lambda n: 1.0) == 0.0


def test_steps_that_drift_while_they_are_sampled_have_no_steady_state() -> None:
    assert flagged(lambda n: 1.01**n) >= 0.9


def test_steps_that_are_compiled_while_they_are_sampled_have_no_steady_state() -> None:
    assert flagged(lambda n: 2.0 if n < 40 else 1.0) >= 0.9


def test_steps_that_never_settled_have_no_steady_state_however_steady_their_samples() -> None:
    device = FakeDevice()
    seconds = (1e-3 * 1.02 ** min(n, 56) for n in range(100_000))
    found = measured(device, steps_in(device, seconds), replace(SIX, warm_up_s=0.1))
    assert "no_steady_state" in found.flags


def test_energy_is_not_asked_for_a_steady_state() -> None:
    device = FakeDevice()
    energy = FakeMeter(device.clock, quantity="energy", unit="J")
    found = measured(device, steps_in(device, (1.1**n for n in range(1000))), meter=energy)
    assert "no_steady_state" not in found.flags


def test_the_first_call_is_timed_alone_and_is_a_quantity_of_its_own() -> None:
    device = FakeDevice()
    resets: list[float] = []
    steps = steps_of(device, 3.0, 1.0, reset=lambda: resets.append(device.clock.now_s))
    found = first_call(steps, FakeMeter(device.clock))
    assert (found.quantity, found.phase, found.unit) == ("first_call", "first_call", "s")
    assert (found.values, found.steps_per_sample, len(found.noise)) == ((3.0,), 1, 1)
    assert resets == [0.0]
    assert device.clock.synchronized == 2


def test_a_first_call_that_cannot_be_told_says_why() -> None:
    device = FakeDevice()
    found = first_call(steps_of(device, 3.0), FakeMeter(device.clock, breaks="the clock stopped"))
    assert (found.quantity, found.status) == ("first_call", Status.UNAVAILABLE)
    assert found.reason == "the clock stopped"


def work_for(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


QUICK = Sampling(max_samples=6, warm_up_s=0.05)


def test_a_step_that_does_next_to_nothing_is_unresolvable_and_gets_no_number() -> None:
    clock = WallClock()
    steps = Steps(run=lambda: None, device=FakeDevice())
    found = measure(steps, clock, QUICK, timer=clock)
    assert (found.status, found.values, found.noise) == (Status.UNRESOLVABLE, (), ())
    assert "let a step do more work" in found.reason
    assert "\n" not in found.reason


def test_a_step_of_three_microseconds_is_resolved() -> None:
    clock = WallClock()
    steps = Steps(run=partial(work_for, 3e-6), device=FakeDevice())
    found = measure(steps, clock, QUICK, timer=clock)
    assert found.status is Status.MEASURED
    assert min(found.values) >= 3e-6


def test_a_device_whose_end_of_step_is_dear_hides_short_steps() -> None:
    class Lazy(FakeDevice):
        def end_step(self) -> None:
            self.clock.advance(4e-6)

    device = Lazy()
    found = measured(
        device, steps_of(device, 6e-6), meter=FakeMeter(device.clock, min_window_s=1e-3)
    )
    assert found.status is Status.UNRESOLVABLE
    assert "10.0 µs, of which the harness itself takes about 4.00 µs" in found.reason
    assert "40.0 µs or more" in found.reason
    longer = measured(device, steps_of(device, 60e-6))
    assert longer.status is Status.MEASURED


def test_steps_that_never_fill_the_timers_window_are_unresolvable() -> None:
    device = FakeDevice()
    steps = Steps(run=lambda: None, device=device)
    timer = FakeMeter(device.clock, min_window_s=1e-3)
    found = measure(steps, timer, replace(SIX, warm_up_s=0.0), timer=timer)
    assert found.status is Status.UNRESOLVABLE
    assert "less than the timer resolves; let a step do more work" in found.reason


def test_energy_of_short_steps_is_not_held_against_the_harness() -> None:
    class Lazy(FakeDevice):
        def end_step(self) -> None:
            self.clock.advance(4e-6)

    device = Lazy()
    energy = FakeMeter(device.clock, quantity="energy", unit="J", min_window_s=1e-3)
    assert measured(device, steps_of(device, 6e-6), meter=energy).status is Status.MEASURED


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
