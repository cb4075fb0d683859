"""Warm-ups end when the series says so, and a series that moves is told from one that is noisy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.testing import FakeDevice, FakeMeter
from harness.warm_up import LEAST, WarmUp, level_changed, warm_up
from harness.window import Steps

Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]


def warmed(
    seconds: Iterable[float], at_most_s: float, *, min_window_s: float = 1e-3, reset_s: float = 0.0
) -> tuple[WarmUp, int]:
    """The warm-up of steps that take these virtual seconds, and how many of them it ran."""
    device = FakeDevice()
    durations = iter(seconds)
    found = warm_up(
        Steps(
            run=lambda: device.clock.advance(next(durations)),
            device=device,
            reset=(lambda: device.clock.advance(reset_s)) if reset_s else None,
        ),
        FakeMeter(device.clock, min_window_s=min_window_s),
        at_most_s=at_most_s,
        now=lambda: device.clock.now_s,
    )
    return found, device.clock.ended_steps


def test_steps_of_constant_cost_are_warm_after_some_tens_of_milliseconds() -> None:
    for step_s in (1e-6, 40e-6, 1e-3, 2e-3):
        found, _ = warmed(repeat(step_s), 10.0)
        assert found.steady
        assert found.step_s == pytest.approx(step_s)
        assert 0.01 < found.spent_s < 0.05


def test_noisy_steps_are_warm_in_a_few_more_windows() -> None:
    generator = np.random.default_rng(1)
    spent_s = [
        warmed(1e-3 * (1 + 0.05 * correlated(generator, 3000)), 2.0)[0].spent_s for _ in range(100)
    ]
    assert np.median(spent_s) < 0.03
    assert np.quantile(spent_s, 0.95) < 0.2


def test_a_warm_up_goes_on_while_the_steps_get_faster() -> None:
    falling = (1e-3 * (1 + 3 * 0.97**n) for n in range(10_000))
    found, ran = warmed(falling, 10.0)
    assert found.steady
    assert ran > 120  # where the next steps are within 10 % of the last
    assert found.step_s == pytest.approx(1e-3, rel=0.05)


def test_it_also_goes_on_while_they_get_slower() -> None:
    rising = (1e-3 * (2 - 0.97**n) for n in range(10_000))
    found, ran = warmed(rising, 10.0)
    assert found.steady
    assert ran > 80


def test_code_that_is_compiled_after_a_while_is_warm_only_after_that() -> None:
    found, ran = warmed(chain(repeat(8e-3, 9), repeat(1e-3)), 10.0)
    assert found.steady
    assert found.step_s == pytest.approx(1e-3)
    assert 9 + 8 <= ran < 60


def test_steps_that_never_settle_use_up_the_time_and_say_so() -> None:
    slower = (1e-3 * 1.01**n for n in range(10_000))
    found, _ = warmed(slower, 0.5)
    assert not found.steady
    assert 0.4 < found.spent_s <= 0.5


def test_a_slow_step_is_run_once_and_is_no_evidence_against_a_steady_state() -> None:
    found, ran = warmed(repeat(0.6), 0.5)
    assert ran == 1
    assert found == WarmUp(True, 0.6, (0.6,), 0.6)


def test_no_window_is_begun_that_would_end_too_late() -> None:
    found, ran = warmed(repeat(0.2), 0.5)
    assert ran == 2
    assert found.spent_s == pytest.approx(0.4)


def test_no_time_means_no_steps() -> None:
    assert warmed(repeat(1.0), 0.0) == (WarmUp(True, 0.0, (), 0.0), 0)


def test_short_steps_are_grouped_until_a_window_is_resolved() -> None:
    found, ran = warmed(repeat(1e-6), 1.0)
    assert len(found.windows) == 12
    assert ran > 12 * 1000


def test_a_reset_comes_before_each_step_and_its_time_is_part_of_the_limit() -> None:
    found, ran = warmed(repeat(1e-6), 1.0, reset_s=0.3)
    assert ran == 3
    assert len(found.windows) == 3
    assert found.spent_s == pytest.approx(0.9, rel=1e-4)


def independent(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    return generator.standard_normal(count)


def correlated(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """AR(1) with coefficient 0.6 and variance 1."""
    shocks = generator.standard_normal(count)
    values = np.empty(count)
    values[0] = shocks[0]
    for i in range(1, count):
        values[i] = 0.6 * values[i - 1] + 0.8 * shocks[i]
    return values


def spiky(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    spikes = generator.random(count) < 0.1
    return correlated(generator, count) + spikes * np.abs(generator.standard_cauchy(count)) * 10


def two_modes(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    return 0.1 * independent(generator, count) + 3.0 * (generator.random(count) < 0.5)


STEADY: dict[str, Noise] = {
    "independent": independent,
    "correlated": correlated,
    "spiky": spiky,
    "two_modes": two_modes,
}


@pytest.mark.parametrize("kind", STEADY)
def test_steady_series_are_seldom_said_to_change(kind: str) -> None:
    # 5 % noise: far above the precision, so that the boxes alone decide.
    generator = np.random.default_rng(7)
    told = [
        level_changed(list(1 + 0.05 * STEADY[kind](generator, count)), 0.02)
        for count in (10, 20, 50, 100)
        for _ in range(500)
    ]
    assert np.mean(told) <= 0.02


@pytest.mark.parametrize("kind", STEADY)
@pytest.mark.soak
def test_steady_series_of_any_length_are_seldom_said_to_change(kind: str) -> None:
    generator = np.random.default_rng(8)
    for count in (8, 10, 12, 15, 20, 30, 50, 100, 300):
        told = [
            level_changed(list(1 + 0.05 * STEADY[kind](generator, count)), 0.02)
            for _ in range(10_000)
        ]
        assert np.mean(told) <= 0.035, count


def noisy(generator: np.random.Generator, level: NDArray[np.float64]) -> list[float]:
    """The level with 1 % of correlated noise and, one in ten, spikes of ten times that and more."""
    return list(level * (1 + 0.01 * spiky(generator, len(level))))


def series(level: NDArray[np.float64]) -> Iterator[list[float]]:
    generator = np.random.default_rng(9)
    yield from (noisy(generator, level) for _ in range(100))


def test_a_drift_is_told_from_noise() -> None:
    drift = np.linspace(1.0, 1.2, 50)
    assert np.mean([level_changed(values, 0.02) for values in series(drift)]) >= 0.95


@pytest.mark.parametrize("at", [16, 25, 34])
def test_a_jump_to_another_level_is_told_from_noise(at: int) -> None:
    jump = np.where(np.arange(50) < at, 1.1, 1.0)
    assert np.mean([level_changed(values, 0.02) for values in series(jump)]) >= 0.95


def test_a_change_within_the_precision_does_not_matter() -> None:
    assert not level_changed([1.0] * 10 + [1.019] * 10, 0.02)
    assert level_changed([1.0] * 10 + [1.021] * 10, 0.02)


def test_too_few_values_tell_nothing() -> None:
    assert not level_changed([1.0, 2.0, 3.0, 4.0, 5.0], 0.02)
    assert level_changed([2.0] * 3 + [1.0] * 3, 0.02)


VALUES = st.lists(st.floats(0.1, 10.0), min_size=0, max_size=60)


@given(VALUES, st.floats(1e-9, 1e9))
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    # Powers of two, so that scaling is exact and no comparison is decided by rounding.
    scale = 2.0 ** round(np.log2(factor))
    assert level_changed(values, 0.02) == level_changed([scale * v for v in values], 0.02)


@given(VALUES)
def test_the_direction_of_time_does_not_matter(values: list[float]) -> None:
    assert level_changed(values, 0.02) == level_changed(values[::-1], 0.02)


@given(st.floats(1e-9, 1e9), st.integers(0, 60))
def test_a_constant_never_changes(value: float, count: int) -> None:
    assert not level_changed([value] * count, 0.0)


def test_a_series_of_the_fewest_values_that_can_tell_needs_a_clear_jump() -> None:
    assert not level_changed([float(n) for n in range(1, LEAST + 1)], 0.02)
    assert level_changed([2.00, 2.01, 1.99, 1.00, 1.01, 0.99], 0.02)
