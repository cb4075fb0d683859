"""Equal sides are hardly ever called different, and a slower side nearly always is."""

from __future__ import annotations

import json
from itertools import product
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.errors import AssayError
from harness.statistics import Interval
from harness.verdict import (
    Judgement,
    Verdict,
    judge,
    looks,
    p_value_of_groups,
    ratio_of_groups,
    ratio_of_rounds,
)

Sides = NDArray[np.float64]  # shape (rounds, 2): log medians of base and candidate
Groups = list[list[float]]

SLOWER = log(1.05)
times = st.floats(1e-3, 1e3)
paired = st.lists(st.tuples(times, times), min_size=5, max_size=20)
unpaired = st.lists(st.lists(times, min_size=1, max_size=3), min_size=2, max_size=15)


def normal(generator: np.random.Generator, rounds: int) -> Sides:
    return generator.standard_normal((rounds, 2))


def heavy_tailed(generator: np.random.Generator, rounds: int) -> Sides:
    return generator.standard_t(3, (rounds, 2))


def bimodal(generator: np.random.Generator, rounds: int) -> Sides:
    return generator.choice([-1.0, 1.0], (rounds, 2)) + 0.3 * normal(generator, rounds)


def drifting(generator: np.random.Generator, rounds: int) -> Sides:
    """AR(.9) over the processes as they ran, with the order in each round by a coin."""
    series = generator.standard_normal(2 * rounds)
    for i in range(1, len(series)):
        series[i] = 0.9 * series[i - 1] + 0.44 * series[i]
    return in_random_order(generator, series)


def ramping(generator: np.random.Generator, rounds: int) -> Sides:
    """A machine that slows down by half a standard deviation from process to process."""
    return in_random_order(
        generator, 0.5 * np.arange(2 * rounds) + 0.3 * generator.standard_normal(2 * rounds)
    )


NOISES = [normal, heavy_tailed, bimodal, drifting, ramping]


def in_random_order(generator: np.random.Generator, series: NDArray[np.float64]) -> Sides:
    sides = series.reshape(-1, 2).copy()
    swapped = generator.random(len(sides)) < 0.5
    sides[swapped] = sides[swapped, ::-1]
    return sides


def groups_of(logs: NDArray[np.float64]) -> Groups:
    return [[exp(value)] for value in logs]


def sequence(sides: Sides, at: tuple[int, ...], slower: float = 0.0) -> Judgement:
    """Judge as a run does: at each look in turn, until decided."""
    for look, rounds in enumerate(at):
        judgement = judge(
            groups_of(sides[:rounds, 0]),
            groups_of(sides[:rounds, 1] + slower),
            look=look,
            looks=at,
        )
        if judgement.verdict is not Verdict.UNDECIDED:
            break
    return judgement


def verdicts(judgements: list[Judgement]) -> tuple[float, float]:
    """Return the shares of regressions and of improvements."""
    found = [judgement.verdict for judgement in judgements]
    total = len(found)
    return found.count(Verdict.REGRESSION) / total, found.count(Verdict.IMPROVEMENT) / total


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def covers(interval: Interval, truth: float) -> bool:
    low, high = ends(interval)
    return low <= truth <= high


def times_all(factor: float, groups: Groups) -> Groups:
    return [[factor * value for value in group] for group in groups]


def split(rounds: list[tuple[float, float]]) -> tuple[Groups, Groups]:
    return [[base] for base, _ in rounds], [[candidate] for _, candidate in rounds]


def machine(
    folder: Path, generator: np.random.Generator, repeats: int, every: int
) -> tuple[int, int, int]:
    """Judge recorded A/A series as they are and 5 % slower: false alarms, regressions, runs."""
    rows = [json.loads(line) for line in (folder / "aa_series.jsonl").read_text().splitlines()]
    wrong = found = total = 0
    for kernel in ("py", "mm", "copy", "spmv", "sort"):
        series = np.log([row[kernel]["med"] for row in rows])
        for start in range(0, len(series) - 59, 60 * every):
            for _ in range(repeats):
                sides = in_random_order(generator, series[start : start + 60])
                equal, slower = sequence(sides, looks(30)), sequence(sides, looks(30), SLOWER)
                wrong += equal.verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT)
                found += slower.verdict is Verdict.REGRESSION
                total += 1
    return wrong, found, total


def inverted(interval: Interval) -> Interval:
    assert interval.low is not None
    assert interval.high is not None
    return Interval(1 / interval.estimate, 1 / interval.high, 1 / interval.low, interval.confidence)


def assert_alike(one: Interval, other: Interval) -> None:
    assert one.estimate == pytest.approx(other.estimate, rel=1e-6)
    assert one.low == pytest.approx(other.low, rel=1e-6)
    assert one.high == pytest.approx(other.high, rel=1e-6)


def test_looks_come_as_often_as_they_pay_and_end_where_the_rounds_do() -> None:
    assert looks(30) == (9, 14, 21, 30)
    assert looks(9) == (9,)
    assert looks(8) == (8,)
    assert looks(30, alpha=0.05)[0] == 7


def test_too_few_rounds_to_ever_decide_are_refused_at_the_start() -> None:
    with pytest.raises(AssayError, match="at least 8"):
        looks(7)


def test_no_pattern_of_signs_is_called_different_more_often_than_alpha() -> None:
    # Eight fair coins have 256 outcomes, half of them mirror images; sizes as unequal as real ones.
    sizes = np.array([0.021, 0.027, 0.032, 0.045, 0.05, 0.06, 0.07, 0.5])
    called = 0
    for signs in product((1,), *[(-1, 1)] * 7):
        candidate = groups_of(sizes * np.array(signs))
        bounds = judge([[1.0]] * 8, candidate, look=0, looks=looks(8)).bounds
        called += not covers(bounds, 1.0)
    assert called == 1
    assert called / 128 <= 0.01


@pytest.mark.parametrize("noise", NOISES)
def test_equal_sides_are_hardly_ever_called_different(noise) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(31)
    judged = [sequence(0.03 * noise(generator, 14), looks(14)) for _ in range(40)]
    assert sum(verdicts(judged)) <= 0.03


def test_a_slowdown_of_5_percent_is_a_regression_within_30_rounds_at_2_percent_noise() -> None:
    generator = np.random.default_rng(32)
    judged = [sequence(0.02 * normal(generator, 30), looks(30), SLOWER) for _ in range(100)]
    assert verdicts(judged)[0] >= 0.95
    assert np.mean([one.rounds for one in judged]) < 13


def test_quiet_equal_sides_are_unchanged_and_not_merely_undecided() -> None:
    generator = np.random.default_rng(34)
    judged = [sequence(0.01 * normal(generator, 30), looks(30)) for _ in range(20)]
    assert {(one.verdict, one.more_rounds_needed) for one in judged} == {(Verdict.UNCHANGED, None)}


def test_looking_after_every_round_at_a_fixed_95_percent_would_not_be_silent() -> None:
    generator = np.random.default_rng(35)
    wrong = 0
    for _ in range(25):
        sides = 0.03 * normal(generator, 20)
        wrong += any(
            not covers(ratio_of_rounds(groups_of(sides[:n, 0]), groups_of(sides[:n, 1])), 1.0)
            for n in range(5, 21, 2)
        )
    assert wrong / 25 > 0.1


def test_noise_beyond_the_rounds_is_undecided_and_says_how_many_more_it_takes() -> None:
    sides = 0.04 * normal(np.random.default_rng(36), 30)
    judgement = sequence(sides, looks(30))
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.rounds == 30
    assert 5 <= (judgement.more_rounds_needed or 0) <= 500
    assert 0.02 < (judgement.smallest_detectable_effect or 0.0) < 0.1


def test_a_certain_difference_below_the_threshold_is_not_worth_a_regression() -> None:
    slower = [[1.005 + 0.0001 * i] for i in range(9)]
    judgement = judge([[1.0]] * 9, slower, look=0, looks=looks(30))
    assert not covers(judgement.bounds, 1.0)
    assert judgement.verdict is Verdict.UNCHANGED
    sharper = judge([[1.0]] * 9, slower, look=0, looks=looks(30), threshold=0.002)
    assert sharper.verdict is Verdict.REGRESSION


def test_steady_samples_are_judged_by_their_ratio_alone() -> None:
    def verdict(candidate: float) -> Verdict:
        return judge([[1.0]] * 9, [[candidate]] * 9, look=0, looks=looks(30)).verdict

    assert verdict(1.0) is Verdict.UNCHANGED
    assert verdict(1.05) is Verdict.REGRESSION
    assert verdict(0.95) is Verdict.IMPROVEMENT


def test_rounds_lost_to_failures_leave_the_verdict_cautious() -> None:
    judgement = judge([[1.0]] * 7, [[1.5]] * 7, look=0, looks=looks(30))
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.bounds.low is judgement.smallest_detectable_effect is None
    assert judgement.more_rounds_needed == 2  # as many as the first look asks for


def test_two_rounds_have_a_ratio_without_bounds() -> None:
    ratio = ratio_of_rounds([[1.0], [1.0]], [[1.1], [1.1]])
    assert ratio.estimate == pytest.approx(1.1)
    assert ratio.low is None


@pytest.mark.parametrize(
    ("base", "candidate"),
    [([[1.0]], [[1.0], [1.0]]), ([], []), ([[1.0]], [[0.0]]), ([[-1.0]], [[1.0]]), ([[]], [[1.0]])],
)
def test_rounds_that_do_not_pair_up_or_hold_no_times_are_refused(
    base: Groups, candidate: Groups
) -> None:
    with pytest.raises(ValueError, match=r"rounds|process"):
        ratio_of_rounds(base, candidate)


def test_a_look_or_share_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="look 1"):
        judge([[1.0]], [[1.0]], look=1, looks=(9,))
    with pytest.raises(ValueError, match="threshold"):
        judge([[1.0]], [[1.0]], look=0, looks=(9,), threshold=0.0)


@given(paired, st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_a_common_factor_does_not_matter(rounds: list[tuple[float, float]], factor: float) -> None:
    base, candidate = split(rounds)
    scaled = split([(factor * b, factor * c) for b, c in rounds])
    assert_alike(ratio_of_rounds(*scaled), ratio_of_rounds(base, candidate))


@given(paired, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rounds_does_not_matter(
    rounds: list[tuple[float, float]], shuffler: st.DataObject
) -> None:
    expected = ratio_of_rounds(*split(rounds))
    shuffler.shuffle(rounds)  # type: ignore[attr-defined]
    assert ratio_of_rounds(*split(rounds)) == expected


@given(paired)
@settings(max_examples=30, deadline=None)
def test_swapping_the_sides_inverts_the_ratio_and_the_verdict(
    rounds: list[tuple[float, float]],
) -> None:
    base, candidate = split(rounds)
    forth, back = ratio_of_rounds(base, candidate), ratio_of_rounds(candidate, base)
    assert_alike(back, inverted(forth))
    opposite = {Verdict.REGRESSION: Verdict.IMPROVEMENT, Verdict.IMPROVEMENT: Verdict.REGRESSION}
    one = judge(base, candidate, look=0, looks=(20,))
    other = judge(candidate, base, look=0, looks=(20,))
    assert other.verdict is opposite.get(one.verdict, one.verdict)


@given(paired, st.floats(0.5, 0.8), st.floats(0.81, 0.95))
@settings(max_examples=30, deadline=None)
def test_more_confidence_is_wider_and_holds_the_estimate(
    rounds: list[tuple[float, float]], less: float, more: float
) -> None:
    narrow, wide = (ratio_of_rounds(*split(rounds), confidence=c) for c in (less, more))
    (low, high), (lower, higher) = ends(narrow), ends(wide)
    assert lower <= low <= narrow.estimate <= high <= higher


@given(unpaired, unpaired, st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_results_measured_apart_compare_alike_whatever_the_unit_or_side(
    base: Groups, candidate: Groups, factor: float
) -> None:
    ratio = ratio_of_groups(base, candidate)
    low, high = ends(ratio)
    assert low <= ratio.estimate <= high
    assume(high / low < 1e100)
    assert_alike(ratio_of_groups(candidate, base), inverted(ratio))
    assert_alike(ratio_of_groups(times_all(factor, base), times_all(factor, candidate)), ratio)


@given(unpaired, unpaired)
@settings(max_examples=100, deadline=None)
def test_the_p_value_and_the_interval_agree(base: Groups, candidate: Groups) -> None:
    p = p_value_of_groups(base, candidate)
    assert p is not None
    assume(abs(p - 0.05) > 1e-6)
    assert covers(ratio_of_groups(base, candidate), 1.0) == (p > 0.05)


def test_p_values_where_there_is_no_noise_or_no_second_process() -> None:
    assert p_value_of_groups([[2.0]] * 3, [[2.0]] * 3) == 1.0
    assert p_value_of_groups([[2.0]] * 3, [[3.0]] * 3) == 0.0
    assert p_value_of_groups([[2.0]], [[3.0]] * 2) is None
    assert ratio_of_groups([[2.0]], [[3.0]] * 2).low is None


@pytest.mark.parametrize("count", [5, 20])
def test_the_ratio_of_rounds_covers_the_truth_as_often_as_it_says(count: int) -> None:
    generator = np.random.default_rng(count)
    tries, hits = 100, 0
    for _ in range(tries):
        sides = 0.02 * normal(generator, count)
        hits += covers(
            ratio_of_rounds(groups_of(sides[:, 0]), groups_of(sides[:, 1] + SLOWER)), 1.05
        )
    assert 0.89 <= hits / tries <= 0.99


@pytest.mark.parametrize(("left", "right"), [(5, 5), (5, 20), (20, 20)])
def test_the_ratio_of_groups_covers_the_truth_at_least_as_often_as_it_says(
    left: int, right: int
) -> None:
    generator = np.random.default_rng(left)
    tries, hits = 1000, 0
    for _ in range(tries):
        base = groups_of(0.02 * generator.standard_normal(left))
        candidate = groups_of(0.02 * generator.standard_normal(right))
        hits += covers(ratio_of_groups(base, candidate), 1.0)
    assert 0.94 <= hits / tries <= 0.99


def test_equal_sides_of_a_noisy_machine_are_not_called_different(data_folder: Path) -> None:
    wrong, found, total = machine(data_folder, np.random.default_rng(38), repeats=1, every=3)
    assert wrong / total <= 0.03
    assert found / total >= 0.85


@pytest.mark.soak
@pytest.mark.parametrize("sd", [0.01, 0.02, 0.04])
@pytest.mark.parametrize("noise", NOISES)
def test_the_false_alarms_of_the_whole_procedure_stay_below_one_percent(noise, sd: float) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(39)
    judged = [sequence(sd * noise(generator, 30), looks(30)) for _ in range(1000)]
    assert sum(verdicts(judged)) <= 0.01 + 0.0063  # two standard errors


@pytest.mark.soak
@pytest.mark.parametrize(
    ("sd", "share", "rounds"), [(0.01, 1.0, 10), (0.02, 0.99, 12), (0.04, 0.8, 23)]
)
def test_the_power_against_5_percent_at_length(sd: float, share: float, rounds: int) -> None:
    generator = np.random.default_rng(40)
    judged = [sequence(sd * normal(generator, 30), looks(30), SLOWER) for _ in range(500)]
    assert verdicts(judged)[0] >= share
    assert np.mean([judgement.rounds for judgement in judged]) <= rounds


@pytest.mark.soak
@pytest.mark.parametrize("count", [5, 6, 7, 8, 9, 14, 21, 30])
def test_the_coverage_of_the_ratio_at_length(count: int) -> None:
    generator = np.random.default_rng(count)
    tries, hits = 2000, 0
    for _ in range(tries):
        sides = 0.02 * normal(generator, count)
        hits += covers(ratio_of_rounds(groups_of(sides[:, 0]), groups_of(sides[:, 1])), 1.0)
    assert 0.93 - 0.011 <= hits / tries <= 0.97 + 0.011  # two standard errors


@pytest.mark.soak
def test_equal_sides_of_a_noisy_machine_at_length(data_folder: Path) -> None:
    wrong, found, total = machine(data_folder, np.random.default_rng(41), repeats=8, every=1)
    assert wrong / total <= 0.01
    assert found / total >= 0.9
