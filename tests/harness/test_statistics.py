"""Intervals are exact where theory is, and cover the truth as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import median_interval

positive = st.floats(1e-9, 1e9, allow_nan=False)
samples = st.lists(positive, min_size=1, max_size=40)


def test_the_interval_of_six_samples_is_their_extremes_at_97_percent() -> None:
    interval = median_interval([6.0, 1.0, 3.0, 2.0, 5.0, 4.0])
    assert (interval.low, interval.estimate, interval.high) == (1.0, 3.5, 6.0)
    assert interval.confidence == pytest.approx(1 - 2 / 2**6)


def test_ten_samples_allow_the_second_from_each_end() -> None:
    interval = median_interval([float(i) for i in range(10)])
    assert (interval.low, interval.high) == (1.0, 8.0)
    assert interval.confidence == pytest.approx(1 - 2 * 11 / 2**10)


def test_too_few_samples_say_how_little_they_promise() -> None:
    assert median_interval([1.0, 2.0, 3.0]).confidence == pytest.approx(0.75)
    alone = median_interval([2.0])
    assert (alone.estimate, alone.low, alone.high, alone.confidence) == (2.0, None, None, 0.0)


def test_no_samples_have_no_median() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])


@given(samples)
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_estimate_and_ignores_order(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval == median_interval(values[::-1])
    if interval.low is not None and interval.high is not None:
        assert interval.low <= interval.estimate <= interval.high


@given(st.lists(positive, min_size=2, max_size=40), st.integers(-20, 20))
@settings(max_examples=100, deadline=None)
def test_scaling_by_a_power_of_two_scales_the_interval(values: list[float], power: int) -> None:
    interval, scaled = median_interval(values), median_interval([v * 2.0**power for v in values])
    assert interval.low is not None
    assert scaled.low == interval.low * 2.0**power
    assert scaled.estimate == interval.estimate * 2.0**power


@pytest.mark.parametrize("count", [6, 15, 40])
def test_the_median_interval_covers_the_true_median_at_least_as_often_as_it_says(
    count: int,
) -> None:
    generator = np.random.default_rng(count)
    hits = 0
    for _ in range(2000):
        interval = median_interval(generator.lognormal(size=count).tolist())
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 1.0 <= interval.high
    # Three standard errors of a share near 0.95 in 2,000 tries are 0.015.
    assert hits / 2000 >= 0.95 - 0.015
