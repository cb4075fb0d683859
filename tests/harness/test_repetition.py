"""Intervals over processes hold what they promise, also when one stops as soon as they suffice."""

from __future__ import annotations

from math import exp, inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.repetition import (
    PILOT,
    Components,
    enough,
    half_width,
    process_interval,
    processes_needed,
    samples_worth_taking,
    smallest_detectable_effect,
    variance_components,
)
from harness.statistics import Interval, median_interval
from harness.verdict import ratio_of_groups

Groups = list[list[float]]

processes = st.lists(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5), min_size=2, max_size=25
)


def measured(generator: np.random.Generator, count: int, sd: float, samples: int = 15) -> Groups:
    """Lognormal processes about 1; inside, samples are skewed and each is like the one before."""
    noise = np.log(generator.gamma(4.0, size=(count, samples))) * 0.02
    for i in range(1, samples):
        noise[:, i] = 0.6 * noise[:, i - 1] + 0.8 * noise[:, i]
    noise -= np.log(np.median(np.exp(noise)))
    effects = sd * generator.standard_normal((count, 1))
    return np.exp(effects + noise).tolist()  # type: ignore[no-any-return]


def covers(interval: Interval, truth: float = 1.0) -> bool:
    return (
        interval.low is not None
        and interval.high is not None
        and (interval.low <= truth <= interval.high)
    )


def test_the_headline_is_the_geometric_mean_of_the_processes_medians() -> None:
    interval = process_interval([[1.0, 2.0, 30.0], [8.0], [4.0, 4.0]])
    assert interval.estimate == pytest.approx(4.0)
    assert interval.confidence == 0.95


def test_one_process_has_a_headline_without_an_interval() -> None:
    assert process_interval([[3.0, 5.0, 4.0]]) == Interval(4.0, None, None, 0.0)
    assert half_width(process_interval([[3.0]])) is None
    assert smallest_detectable_effect([[3.0]]) is None


def test_equal_processes_have_an_interval_of_no_width() -> None:
    interval = process_interval([[2.0, 2.0]] * 5)
    assert interval.low == pytest.approx(2.0)
    assert half_width(interval) == pytest.approx(0.0)
    assert enough([[2.0]] * PILOT, precision=1e-6)


def test_one_slow_process_in_ten_neither_moves_nor_widens_the_headline() -> None:
    steady = [[1.0 + 0.001 * i] for i in range(10)]
    disturbed = [*steady[:9], [3.0]]
    assert process_interval(disturbed).estimate == pytest.approx(
        process_interval(steady).estimate, rel=1e-3
    )
    assert half_width(process_interval(disturbed)) == pytest.approx(
        half_width(process_interval(steady)), rel=0.3
    )


@pytest.mark.parametrize("groups", [[], [[1.0], []], [[1.0], [0.0]], [[1.0], [-2.0]]])
def test_what_is_not_a_time_is_refused(groups: Groups) -> None:
    for function in (process_interval, variance_components, smallest_detectable_effect):
        with pytest.raises(ValueError, match="process"):
            function(groups)


@given(processes, st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_the_interval_scales_with_its_unit(groups: Groups, factor: float) -> None:
    interval = process_interval(groups)
    scaled = process_interval([[factor * value for value in group] for group in groups])
    assert scaled.estimate == pytest.approx(factor * interval.estimate)
    assert half_width(scaled) == pytest.approx(half_width(interval), rel=1e-6, abs=1e-9)


@given(processes, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_neither_the_order_of_processes_nor_of_samples_matters(
    groups: Groups, shuffler: st.DataObject
) -> None:
    expected = process_interval(groups)
    mixed = [sorted(group) for group in groups]
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    interval = process_interval(mixed)
    assert interval.estimate == pytest.approx(expected.estimate)
    assert half_width(interval) == pytest.approx(half_width(expected), rel=1e-6, abs=1e-9)


@given(processes, st.floats(0.5, 0.9), st.floats(0.91, 0.999))
@settings(max_examples=100, deadline=None)
def test_more_confidence_is_wider_and_always_holds_the_estimate(
    groups: Groups, less: float, more: float
) -> None:
    narrow, wide = process_interval(groups, less), process_interval(groups, more)
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high


@pytest.mark.parametrize("count", [3, 5, 10, 30])
def test_the_interval_covers_the_truth_as_often_as_it_says(count: int) -> None:
    generator = np.random.default_rng(count)
    tries = 800
    hits = sum(covers(process_interval(measured(generator, count, 0.02))) for _ in range(tries))
    assert 0.93 - 0.01 <= hits / tries <= 0.97 + 0.01  # a standard error and a half


def test_pooling_the_samples_of_all_processes_would_promise_too_much() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        pooled = [value for group in measured(generator, 10, 0.02) for value in group]
        hits += covers(median_interval(pooled))
    assert hits / 200 < 0.7


def stopped(generator: np.random.Generator, sd: float, precision: float, most: int) -> Groups:
    groups = [[exp(value)] for value in sd * generator.standard_normal(most)]
    count = PILOT
    while count < most and not enough(groups[:count], precision):
        count += 1
    return groups[:count]


@pytest.mark.parametrize("sd", [0.01, 0.02, 0.03])
def test_the_interval_covers_the_truth_under_the_rule_that_stops_when_it_is_narrow(
    sd: float,
) -> None:
    generator = np.random.default_rng(17)
    tries = 500
    hits = sum(
        covers(process_interval(stopped(generator, sd, 0.02, most=30))) for _ in range(tries)
    )
    assert 0.93 - 0.015 <= hits / tries <= 0.97 + 0.015


@pytest.mark.soak
@pytest.mark.parametrize("sd", [0.002, 0.01, 0.014, 0.018, 0.022, 0.028, 0.036, 0.048])
def test_the_stopping_rule_keeps_its_promise_whatever_the_noise(sd: float) -> None:
    generator = np.random.default_rng(18)
    tries = 4000
    hits = sum(
        covers(process_interval(stopped(generator, sd, 0.02, most=40))) for _ in range(tries)
    )
    assert 0.93 - 0.008 <= hits / tries <= 0.97 + 0.008  # two standard errors


@pytest.mark.soak
@pytest.mark.parametrize("count", [3, 4, 5, 6, 8, 10, 15, 20, 30])
def test_the_coverage_of_the_interval_at_length(count: int) -> None:
    generator = np.random.default_rng(count)
    tries = 4000
    hits = sum(covers(process_interval(measured(generator, count, 0.02))) for _ in range(tries))
    assert 0.93 - 0.008 <= hits / tries <= 0.97 + 0.008


def test_a_pilot_is_never_enough_by_luck_of_two() -> None:
    assert not enough([[1.0], [1.0]], precision=0.5)


def test_the_number_of_processes_grows_with_the_square_of_the_precision() -> None:
    generator = np.random.default_rng(5)
    pilot = measured(generator, 8, 0.05)
    coarse, fine = processes_needed(pilot, 0.01), processes_needed(pilot, 0.005)
    assert fine == pytest.approx(4 * coarse, rel=0.1)
    assert processes_needed(pilot, 0.5) == len(pilot)


def test_as_many_processes_as_were_called_for_are_usually_enough() -> None:
    generator = np.random.default_rng(6)
    widths = []
    for _ in range(100):
        count = processes_needed(measured(generator, 8, 0.03), 0.02)
        widths.append(half_width(process_interval(measured(generator, count, 0.03))))
    assert np.median(np.array(widths, dtype=float)) == pytest.approx(0.02, rel=0.15)


def test_one_process_cannot_plan_for_more() -> None:
    with pytest.raises(ValueError, match="one process"):
        processes_needed([[1.0, 1.1]], 0.02)
    with pytest.raises(ValueError, match="precision"):
        processes_needed([[1.0], [1.1]], 0.0)


def test_variance_components_of_a_table_worked_by_hand() -> None:
    groups = [[exp(0.0), exp(2.0)], [exp(4.0), exp(6.0)]]
    # Means 1 and 5: between means 8; within 2; so the process level is 8 - 2 / 2.
    found = variance_components(groups)
    assert found.within == pytest.approx(2.0)
    assert found.between == pytest.approx(7.0)


def test_variance_components_are_unbiased_for_unequal_processes() -> None:
    generator = np.random.default_rng(7)
    found = []
    for _ in range(500):
        effects = 0.05 * generator.standard_normal(6)
        found.append(
            variance_components(
                [
                    np.exp(effect + 0.02 * generator.standard_normal(size)).tolist()
                    for effect, size in zip(effects, (3, 20, 5, 9, 2, 12), strict=True)
                ]
            )
        )
    assert np.mean([c.between for c in found]) == pytest.approx(0.05**2, rel=0.1)
    assert np.mean([c.within for c in found]) == pytest.approx(0.02**2, rel=0.05)


def test_processes_less_unlike_than_their_samples_suggest_have_no_variance_of_their_own() -> None:
    assert variance_components([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]).between == 0.0


def test_single_samples_cannot_tell_the_levels_apart() -> None:
    with pytest.raises(ValueError, match="two samples"):
        variance_components([[1.0], [2.0]])


def test_samples_are_taken_where_they_pay() -> None:
    components = Components(between=0.01, within=0.04)
    assert samples_worth_taking(components, process_cost_s=9.0, sample_cost_s=1.0) == 6
    assert samples_worth_taking(components, process_cost_s=0.01, sample_cost_s=1.0) == 1
    assert samples_worth_taking(Components(0.01, 0.0), 9.0, 1.0) == 1
    assert samples_worth_taking(Components(0.0, 0.01), 9.0, 1.0) == 1000
    with pytest.raises(ValueError, match="costs"):
        samples_worth_taking(components, 0.0, 1.0)


def test_no_other_number_of_samples_gives_a_narrower_interval_for_the_same_time() -> None:
    components, process_s, sample_s = Components(0.02**2, 0.1**2), 4.0, 0.1

    def error_of(samples: int) -> float:
        processes_in_an_hour = 3600 / (process_s + samples * sample_s)
        return sqrt((components.between + components.within / samples) / processes_in_an_hour)

    best = samples_worth_taking(components, process_s, sample_s)
    assert min(range(1, 500), key=error_of) == pytest.approx(best, abs=1)


def test_the_smallest_detectable_effect_is_detected_four_times_in_five() -> None:
    generator = np.random.default_rng(8)
    sd, count, tries = 0.02, 10, 400
    effects = [smallest_detectable_effect(measured(generator, count, sd)) for _ in range(200)]
    effect = float(np.mean(np.array(effects, dtype=float)))
    found = 0
    for _ in range(tries):
        base = measured(generator, count, sd)
        slower = measured(generator, count, sd)
        shifted = [[(1 + effect) * value for value in group] for group in slower]
        low = ratio_of_groups(base, shifted).low
        found += low is not None and log(low) > 0
    assert found / tries == pytest.approx(0.8, abs=0.07)


def test_processes_that_differ_beyond_all_numbers_still_have_an_interval() -> None:
    interval = process_interval([[1e-150], [1e150], [1.0]])
    assert interval.low is not None
    assert interval.high is not None
    assert 0.0 <= interval.low < 1.0 < interval.high < inf
    assert (smallest_detectable_effect([[1e-150], [1e150], [1.0]]) or 0.0) > 1.0
