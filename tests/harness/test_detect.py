"""Steps, drifts and environment changes are found and told apart; noise alone gives nothing."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.detect import LEAST_POINTS, Detection, detect
from harness.detect_critical import FALSE_ALARMS, REFERENCES, limit
from harness.detect_scan import Alarm
from harness.errors import AssayError

Values = NDArray[np.float64]


def noise(seed: int, length: int, rho: float = 0.0, scatter: float = 0.01) -> Values:
    innovations = np.random.default_rng(seed).standard_normal(length + 200)
    correlated = lfilter([np.sqrt(1.0 - rho * rho)], [1.0, -rho], innovations)[200:]
    return np.asarray(100.0 * np.exp(scatter * correlated), np.float64)


def stepped(values: Values, at: int, size: float) -> Values:
    after = values.copy()
    after[at:] *= 1.0 + size
    return after


def nothing(found: Detection) -> bool:
    return not found.steps and not found.drifts


def test_a_step_is_found_where_it_is_with_its_size_and_direction() -> None:
    found = detect(stepped(noise(1, 120), 80, 0.05).tolist())
    [step] = found.steps
    assert step.index == 80
    assert step.regression
    assert step.found_at <= 85
    assert step.ratio.low is not None
    assert step.ratio.high is not None
    assert step.ratio.low < 1.05 < step.ratio.high
    assert not found.drifts


def test_a_step_down_is_an_improvement_unless_higher_is_better() -> None:
    values = stepped(noise(2, 120), 60, -0.05).tolist()
    assert [step.regression for step in detect(values).steps] == [False]
    assert [step.regression for step in detect(values, higher_is_better=True).steps] == [True]


def test_two_steps_are_two_steps() -> None:
    values = stepped(stepped(noise(3, 160), 60, 0.05), 110, -0.04).tolist()
    assert [(step.index, step.regression) for step in detect(values).steps] == [
        (60, True),
        (110, False),
    ]


def test_a_constant_series_has_nothing_and_a_step_between_constants_is_found() -> None:
    assert detect([3.0] * 60) == Detection((), (), (), ())
    [step] = detect([3.0] * 40 + [3.3] * 20).steps
    assert step.index == 40
    assert step.ratio.estimate == pytest.approx(1.1)


@pytest.mark.parametrize("count", [0, 1, 2, LEAST_POINTS - 1])
def test_a_short_history_says_nothing(count: int) -> None:
    assert nothing(detect([1.0, 2.0] * (count // 2) + [1.0] * (count % 2)))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_noise_gives_about_as_few_steps_as_promised(rho: float) -> None:
    found = [detect(noise(seed, 150, rho).tolist()) for seed in range(20)]
    # 3,000 points: 3 are promised; 9 would be a chance of less than 1 in 100.
    assert sum(len(d.steps) + len(d.drifts) for d in found) <= 8


def test_the_same_check_rejects_a_detector_that_is_asked_for_many_false_alarms() -> None:
    found = [detect(noise(seed, 150).tolist(), false_alarms=20.0) for seed in range(20)]
    assert sum(len(d.steps) + len(d.drifts) for d in found) > 8


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_step_of_five_percent_in_one_percent_noise_is_seen_within_five_points(rho: float) -> None:
    seen = [
        any(abs(step.index - 100) <= 5 and step.regression for step in found.steps)
        for found in (
            detect(stepped(noise(seed, 105, rho), 100, 0.05).tolist()) for seed in range(20)
        )
    ]
    assert sum(seen) >= 17


@pytest.mark.parametrize("size", [1.3, 3.0, 0.5])
def test_a_spike_is_named_and_is_no_step(size: float) -> None:
    values = noise(4, 100)
    values[70] *= size
    found = detect(values.tolist())
    assert nothing(found)
    assert [spike.index for spike in found.spikes] == [70]
    assert found.spikes[0].ratio == pytest.approx(size, rel=0.05)


def test_a_slow_drift_is_one_drift_and_not_many_steps() -> None:
    per_point = 1.003 ** np.arange(1, 51)
    values = np.concatenate([noise(6, 40), noise(7, 50) * per_point])
    found = detect(values.tolist())
    [drift] = found.drifts
    assert drift.regression
    assert abs(drift.first - 39) <= 10
    assert drift.last >= 80
    assert drift.ratio.estimate == pytest.approx(1.003, abs=0.0006)
    assert not found.steps


@pytest.mark.parametrize("length", [30, 60])
def test_a_drift_from_the_first_commit_on_is_found(length: int) -> None:
    hits = 0
    for seed in range(6):
        values = noise(seed, length) * 1.003 ** np.arange(length)
        hits += len(detect(values.tolist()).drifts) == 1
    assert hits >= 5


def test_a_new_environment_is_reported_as_such_and_not_as_code() -> None:
    values = stepped(noise(8, 120), 60, 0.2).tolist()
    found = detect(values, environments=["old"] * 60 + ["new"] * 60)
    assert nothing(found)
    [change] = found.environment_changes
    assert (change.index, change.before, change.after) == (60, "old", "new")
    assert change.ratio is not None
    assert change.ratio.estimate == pytest.approx(1.2, abs=0.01)
    assert detect(values).steps


def test_a_step_of_the_code_is_found_within_an_environment_after_another() -> None:
    values = stepped(stepped(noise(9, 140), 60, 0.2), 100, 0.05).tolist()
    found = detect(values, environments=["old"] * 60 + ["new"] * 80)
    assert 100 in [step.index for step in found.steps]
    assert 60 not in [step.index for step in found.steps]


@given(st.integers(0, 50), st.lists(st.integers(1, 99), max_size=4, unique=True))
@settings(max_examples=15, deadline=None)
def test_no_step_is_reported_where_the_environment_changes(seed: int, at: list[int]) -> None:
    values, names = noise(seed, 100), np.zeros(100, int)
    for i, index in enumerate(sorted(at)):
        values[index:] *= 1.0 + 0.1 * (-1) ** i
        names[index:] += 1
    found = detect(values.tolist(), environments=[str(name) for name in names])
    assert [change.index for change in found.environment_changes] == sorted(at)
    assert not {step.index for step in found.steps} & set(at)


@given(st.integers(0, 50), st.floats(1e-9, 1e9))
@settings(max_examples=15, deadline=None)
def test_the_unit_changes_nothing(seed: int, factor: float) -> None:
    values = stepped(noise(seed, 90), 60, 0.04)
    found, scaled = detect(values.tolist()), detect((values * factor).tolist())
    assert [(s.index, s.found_at) for s in found.steps] == [
        (s.index, s.found_at) for s in scaled.steps
    ]
    assert [s.ratio.estimate for s in found.steps] == pytest.approx(
        [s.ratio.estimate for s in scaled.steps]
    )


@given(st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_the_inverse_of_a_series_has_the_same_steps_the_other_way(seed: int) -> None:
    values = stepped(noise(seed, 90), 60, 0.04)
    found, inverse = detect(values.tolist()), detect((1.0 / values).tolist())
    assert [(s.index, not s.regression) for s in found.steps] == [
        (s.index, s.regression) for s in inverse.steps
    ]


@given(st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_reversing_time_turns_a_clear_regression_into_an_improvement(seed: int) -> None:
    values = stepped(noise(seed, 120), 60, 0.08)
    forward, backward = detect(values.tolist()), detect(values[::-1].tolist())
    assert [s.regression for s in forward.steps if abs(s.index - 60) <= 2] == [True]
    assert [s.regression for s in backward.steps if abs(s.index - 60) <= 2] == [False]


def test_a_clear_step_is_not_taken_for_a_drift() -> None:
    found = [detect(stepped(noise(seed, 120), 60, 0.06).tolist()) for seed in range(20)]
    assert sum(bool(d.drifts) for d in found) <= 1


@given(st.integers(0, 50), st.sampled_from([0.0, 0.6]))
@settings(max_examples=8, deadline=None)
def test_a_longer_history_takes_no_step_back(seed: int, rho: float) -> None:
    values = stepped(noise(seed, 130, rho), 70, 0.05).tolist()
    whole = detect(values)
    for seen in (75, 90, 110):
        early = detect(values[:seen])
        if not whole.drifts and not early.drifts:
            expected = [s.found_at for s in whole.steps if s.found_at <= seen]
            assert [s.found_at for s in early.steps] == expected


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_of_a_ratio_mostly_holds_the_true_ratio(rho: float) -> None:
    inside = total = 0
    for seed in range(40):
        for step in detect(stepped(noise(seed, 120, rho), 70, 0.10).tolist()).steps:
            if abs(step.index - 70) <= 1:
                assert step.ratio.low is not None
                assert step.ratio.high is not None
                inside += step.ratio.low <= 1.10 <= step.ratio.high
                total += 1
    assert total >= 30
    # Of 95 %: a step is found sooner where noise adds to it, and correlation is estimated.
    assert inside / total >= (0.75 if rho else 0.85)


def test_small_changes_are_left_out_on_request() -> None:
    values = stepped(stepped(noise(10, 160), 60, 0.04), 110, 0.2).tolist()
    assert [s.index for s in detect(values, min_change=0.1).steps] == [110]


def test_more_false_alarms_and_more_reference_points_mean_lower_limits() -> None:
    for reference in REFERENCES:
        limits = [limit(reference, rate) for rate in FALSE_ALARMS]
        assert limits == sorted(limits, reverse=True)
    assert limit(200, 1.0) < limit(30, 1.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_value_that_is_no_positive_number_is_refused_by_its_place(bad: float) -> None:
    with pytest.raises(AssayError, match="value 2 of the history"):
        detect([1.0, 1.0, bad])


@pytest.mark.parametrize("ends", [(1e300, 1e-300), (1e-300, 1e300)])
def test_a_change_beyond_all_ratios_is_told_as_the_largest_one(ends: tuple[float, float]) -> None:
    levels = [ends[0]] * 30 + [ends[1]] * 30
    [step] = detect(levels).steps
    [change] = detect(levels, environments=["old"] * 30 + ["new"] * 30).environment_changes
    for ratio in (step.ratio, change.ratio):
        assert ratio is not None
        assert math.isfinite(ratio.estimate)
        assert abs(math.log(ratio.estimate)) > 690.0
    spike = [ends[0]] * 30 + [ends[1]] + [ends[0]] * 30
    scattered = (np.array(spike) * noise(1, 61)).tolist()
    [spiked] = [one for one in detect(scattered).spikes if one.index == 30]
    assert 0.0 < spiked.ratio < math.inf


def test_a_drift_beyond_all_ratios_is_told() -> None:
    values = np.exp(np.linspace(-690.0, 690.0, 60) + np.log(noise(2, 60))).tolist()
    [drift] = detect(values, min_change=0.1).drifts
    assert math.isfinite(drift.ratio.estimate)


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(AssayError, match="2 values but 1 environments"):
        detect([1.0, 2.0], environments=["a"])
    with pytest.raises(AssayError, match="false_alarms is 50"):
        detect([1.0], false_alarms=50.0)
    with pytest.raises(AssayError, match="min_change is -1"):
        detect([1.0], min_change=-1.0)


@pytest.mark.parametrize(("points", "bound_s"), [(200, 0.05), (1000, 1.0)])
def test_detection_is_fast_enough_for_a_dashboard(points: int, bound_s: float) -> None:
    values = noise(11, points).tolist()
    spent = []
    for _ in range(5):
        started = time.process_time()
        detect(values)
        spent.append(time.process_time() - started)
    assert min(spent) < bound_s


@pytest.mark.parametrize("before", [12, 16, 20, 24, 30])
def test_a_large_step_of_a_short_history_is_found(before: int) -> None:
    values = np.exp(0.01 * np.random.default_rng(before).standard_normal(before + 12))
    values[before:] *= 1.12
    [step] = detect(values.tolist()).steps
    assert abs(step.index - before) <= 1
    assert step.regression


def test_a_level_without_any_scatter_steps_at_once() -> None:
    [step] = detect([1.0] * 15 + [1.001] * 6).steps
    assert (step.index, step.regression) == (15, True)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(20, 160),
    st.integers(0, 3),
    st.floats(0.0, 1.0),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_reading_on_from_any_point_finds_the_same(
    seed: int, points: int, steps: int, share: float, bumped: bool
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(0.0, 0.01, points)
    for _ in range(steps):
        y[rng.integers(0, points) :] += rng.normal(0.0, 0.2)
    values = np.exp(y).tolist()
    environments = ["old" if i < points // 2 or not bumped else "new" for i in range(points)]
    first = int(share * points)
    earlier = detect(values[:first], environments=environments[:first]).reading
    assert earlier.points == first
    whole = detect(values, environments=environments)
    resumed = detect(values, environments=environments, earlier=earlier)
    assert resumed == whole
    assert resumed.reading == whole.reading


def test_a_reading_of_other_points_is_left_aside() -> None:
    values = np.exp(np.random.default_rng(3).normal(0.0, 0.01, 80)).tolist()
    earlier = detect(values[:60]).reading
    lie = replace(earlier, alarms=(Alarm(30, 35, 9.0),))
    assert detect(values, earlier=lie).steps  # of the same points it is believed
    values[10] *= 1.001
    assert detect(values, earlier=lie) == detect(values)
