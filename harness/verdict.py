"""Whether a candidate is slower than its base: ratios with their intervals, and the verdict.

In a round one process of the base and one of the candidate run back to back, in random order. If
both are equal, the order alone says which measured value belongs to which side: the sign of the
round's log ratio is a fair coin, whatever the noise and however it drifts. Verdicts rest on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, exp, expm1, log, log1p, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from harness.repetition import log_medians, student, typical
from harness.statistics import CONFIDENCE, Interval

THRESHOLD = 0.02
ALPHA = 0.01
MAX_ROUNDS = 48
_FIRST_SHARE = 0.4  # of alpha at the first look; the later ones share the rest alike
_GROWTH = 1.5  # of the rounds from look to look; simulated: docs/decisions/0005
_POWER_QUANTILE = 0.8416  # of the normal distribution, for a power of 80 %
_RESAMPLES = 1000  # at least, and as many mirrored ones
_MEANS = 100_000  # pairwise means to take at least: tails of few rounds need more resamples
_SEED = 20_240_229  # any constant: equal samples must give equal intervals

Floats = NDArray[np.float64]


class Verdict(StrEnum):
    """What rounds say of a candidate."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    UNCHANGED = "unchanged"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what it rests on.

    `ratio` is candidate / base with its 95 % interval: how large the difference is. `bounds` is
    the wider interval that holds at all looks together with probability 1 - alpha: whether there
    is a difference. `more_rounds_needed` is an estimate, None once decided.
    `smallest_detectable_effect` is the change that these rounds find in 80 % of cases, None where
    they are too few to find any.
    """

    verdict: Verdict
    ratio: Interval
    bounds: Interval
    rounds: int
    more_rounds_needed: int | None
    smallest_detectable_effect: float | None
    threshold: float


def looks(max_rounds: int = MAX_ROUNDS, alpha: float = ALPHA) -> tuple[int, ...]:
    """Return the numbers of rounds after which to judge, the last being `max_rounds`.

    The first is the fewest rounds whose signs can be one-sided by chance as seldom as alpha's
    first share: 9 at 1 %.

    Raises:
        AssayError: so few rounds could never show a difference at `alpha`.
    """
    fewest = _fewest_rounds(alpha)
    if max_rounds < fewest:
        raise AssayError(
            f"{max_rounds} rounds can never show a difference at a false-alarm rate of {alpha:g}; "
            f"allow at least {fewest} with --rounds"
        )
    at = [min(max_rounds, _fewest_rounds(_FIRST_SHARE * alpha))]
    while at[-1] < max_rounds:
        following = max(at[-1] + 1, int(_GROWTH * at[-1] + 0.5))
        at.append(max_rounds if following * sqrt(_GROWTH) > max_rounds else following)
    return tuple(at)


def judge(
    base: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    *,
    look: int,
    looks: Sequence[int],
    threshold: float = THRESHOLD,
    alpha: float = ALPHA,
) -> Judgement:
    """Return the verdict at one of the looks.

    A difference is one when `bounds` excludes 1 and the estimate is beyond the threshold. Each
    look has its share of alpha, so that over all looks equal sides are told apart in at most alpha
    of all runs (union bound; the signed-rank test is exact at each look). `unchanged` is when
    `ratio` lies within the threshold: a change as large as the threshold is called so in about
    6 % of runs (TOST; Schuirmann 1987). A difference that is certain, but certainly below the
    threshold, is `unchanged` too; one that may lie on either side of it is `undecided`.

    Args:
        base: samples of the base's process of each round, in seconds.
        candidate: of the candidate's, in the same order of rounds.
        look: which of `looks` this is, from 0.
        looks: planned before the first round. Rounds that failed may be missing at a look.
        threshold: the change that is worth knowing, a share.
        alpha: the rate of false alarms, regressions and improvements together, over all looks.

    Raises:
        ValueError: unequal numbers of rounds, no rounds, bad samples, no such look, or a threshold
            or alpha outside (0, 1).
    """
    if not 0 <= look < len(looks):
        raise ValueError(f"look {look} is not among {len(looks)} looks")
    if not (0 < threshold < 1 and 0 < alpha < 1):
        raise ValueError("threshold and alpha are shares between 0 and 1")
    logs = _round_logs(base, candidate)
    ratio = ratio_of_rounds(base, candidate)
    bounds = _signed_rank_interval(logs, _level(look, len(looks), alpha))
    differs = (
        bounds.low is not None and bounds.high is not None and not bounds.low <= 1 <= bounds.high
    )
    verdict = verdict_of(ratio, threshold, differs=differs)
    more = None
    if verdict is Verdict.UNDECIDED:
        upcoming = next((rounds for rounds in looks if rounds > len(logs)), 0)
        more = max(_rounds_needed(ratio, bounds, len(logs), threshold), upcoming) - len(logs)
    return Judgement(
        verdict=verdict,
        ratio=ratio,
        bounds=bounds if bounds.low is None else replace(bounds, confidence=1 - alpha),
        rounds=len(logs),
        more_rounds_needed=more,
        smallest_detectable_effect=_detectable(ratio, bounds, threshold),
        threshold=threshold,
    )


def verdict_of(ratio: Interval, threshold: float, *, differs: bool) -> Verdict:
    """Return what a ratio means, given whether a test says that it is not 1.

    Args:
        ratio: candidate / base with its interval.
        threshold: the change that is worth knowing, a share.
        differs: the test's word; it alone never makes a difference of one below the threshold.
    """
    least, most = 1 / (1 + threshold), 1 + threshold
    if (
        ratio.low is not None
        and ratio.high is not None
        and least <= ratio.low <= ratio.high <= most
    ):
        return Verdict.UNCHANGED
    if differs and ratio.estimate > most:
        return Verdict.REGRESSION
    if differs and ratio.estimate < least:
        return Verdict.IMPROVEMENT
    return Verdict.UNDECIDED


def ratio_of_rounds(
    base: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the ratio candidate / base of paired rounds, with a hierarchical bootstrap interval.

    The estimate is the Hodges-Lehmann centre of the rounds' log ratios of medians: nearly as sharp
    as the mean, and a disturbed round hardly moves it. Rounds are resampled; the samples of a
    process are kept whole, for resampling them too counts their variance twice (Davison & Hinkley,
    Bootstrap Methods and their Application, sec. 3.8). Few rounds make the percentile interval too
    narrow, so its tails are expanded as far as Student's would be (Hesterberg 2015, sec. 5.3).

    Swapping the sides inverts the result; neither the order of rounds nor a common factor matters.

    Args:
        base: samples of the base's process of each round, positive.
        candidate: of the candidate's, in the same order of rounds.
        confidence: the wanted confidence.

    Returns:
        The interval; without bounds where rounds are too few for it, which is below 5 at 95 %.

    Raises:
        ValueError: unequal numbers of rounds, no rounds, or bad samples.
    """
    logs = np.sort(_round_logs(base, candidate))
    count = len(logs)
    centre = _centre(logs)
    # In 2 ** (1 - count) of cases all rounds lie on one side of the truth: no resample tells.
    if 1 - confidence < 0.8 * 2.0 ** (1 - count):
        return Interval(exp(centre), None, None, 0.0)
    tail = _normal_tail(sqrt(count / (count - 1)) * student(confidence, count - 1))
    low, high = np.quantile(_resampled_centres(logs), [tail, 1 - tail])
    return _interval(centre, float(low), float(high), confidence)


def ratio_of_groups(
    base: Sequence[Sequence[float]],
    candidate: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the ratio candidate / base of two results that were measured apart.

    The ratio of the two headlines of `process_interval`, with the interval of Welch's test on
    their logarithms (Yuen 1974 for trimmed means). Its degrees of freedom are the fewer of the two
    sides, which is cautious, and pays for sides that stopped as soon as they were precise. It
    knows nothing of what drifted in between.

    Args:
        base: samples of each process, positive.
        candidate: likewise; any number of processes.
        confidence: the wanted confidence.

    Returns:
        The interval; without bounds where a side has one process.

    Raises:
        ValueError: no process on a side, or bad samples.
    """
    difference, error, freedom = _difference(base, candidate)
    if freedom == 0:
        return Interval(exp(difference), None, None, 0.0)
    reach = student(confidence, freedom) * error
    return _interval(difference, difference - reach, difference + reach, confidence)


def p_value_of_groups(
    base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]
) -> float | None:
    """Return the two-sided p-value of `ratio_of_groups` being 1; None with one process on a side.

    Raises:
        ValueError: no process on a side, or bad samples.
    """
    from scipy.special import stdtr

    difference, error, freedom = _difference(base, candidate)
    if freedom == 0:
        return None
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return 2 * float(stdtr(freedom, -abs(difference) / error))


def _fewest_rounds(alpha: float) -> int:
    return max(2, ceil(log2(2 / alpha) - 1e-9))


def _level(look: int, count: int, alpha: float) -> float:
    if count == 1:
        return alpha
    return alpha * (_FIRST_SHARE if look == 0 else (1 - _FIRST_SHARE) / (count - 1))


def _rounds_needed(ratio: Interval, bounds: Interval, rounds: int, threshold: float) -> int:
    """Return about how many rounds decide, should the estimate stay where it is."""
    width, limit = _log_half_width(ratio), log1p(threshold)
    if width is None:
        return rounds + 1
    distance = abs(log(ratio.estimate))
    if distance > limit:
        width = _log_half_width(bounds) or 1.5 * width  # 3 normal deviations instead of 2
        goal = distance
    else:
        # An estimate at the threshold itself would never be decided: a quarter of it is the limit.
        goal = max(limit - distance, limit / 4)
    return max(rounds + 1, ceil(rounds * (width / goal) ** 2))


def _detectable(ratio: Interval, bounds: Interval, threshold: float) -> float | None:
    near, far = _log_half_width(ratio), _log_half_width(bounds)
    if near is None or far is None:
        return None
    return max(threshold, expm1(far + _POWER_QUANTILE * near / 2))


def _log_half_width(interval: Interval) -> float | None:
    if interval.low is None or interval.high is None:
        return None
    return log(interval.high / interval.low) / 2


def _round_logs(base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]) -> Floats:
    if len(base) != len(candidate):
        raise ValueError(f"{len(base)} rounds of the base, {len(candidate)} of the candidate")
    return log_medians(candidate) - log_medians(base)


def _pairwise_means(values: Floats) -> Floats:
    """Return the Walsh averages: the mean of each value with itself and with each later one."""
    i, j = np.triu_indices(len(values))
    return np.asarray((values[i] + values[j]) / 2)


def _centre(logs: Floats) -> float:
    return float(np.median(_pairwise_means(logs)))


def _resampled_centres(logs: Floats) -> Floats:
    """Return the centre of each resample of `logs`: a weighted median of the pairwise means.

    Drawing value i `times[i]` times repeats the mean of the pair i < j times[i] times[j] times.
    """
    count, total = len(logs), _pairs(len(logs))
    means = _pairwise_means(logs)
    ascending = np.argsort(means, kind="stable")
    drawn = np.random.default_rng(_SEED).multinomial(
        count, np.full(count, 1 / count), size=_resamples(count)
    )
    # Each resample has its mirror image, so that swapping the sides is exact.
    times = np.concatenate([drawn, drawn[:, ::-1]]).T.astype(np.int32, order="C")
    reached, lower, upper = np.zeros((3, times.shape[1]), dtype=np.int32)
    first, second = np.triu_indices(count)
    for i, j in zip(first[ascending], second[ascending], strict=True):
        reached += times[i] * times[j] if i != j else times[i] * (times[i] + 1) // 2
        lower += reached <= (total - 1) // 2
        upper += reached <= total // 2
    ordered = means[ascending]
    return np.asarray((ordered[lower] + ordered[upper]) / 2)


def _resamples(count: int) -> int:
    return max(_RESAMPLES, _MEANS // _pairs(count))


def _pairs(count: int) -> int:
    return count * (count + 1) // 2


def _signed_rank_interval(logs: Floats, alpha: float) -> Interval:
    """Return the centre with the exact interval of the signed-rank test at level `alpha`.

    Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, sec. 3.2 and 3.3.
    """
    means = np.sort(_pairwise_means(logs))
    below = 2 * np.cumsum(_signed_rank_distribution(len(logs)))
    rank = int(np.searchsorted(below, alpha * (1 + 1e-9), side="right"))
    if rank == 0:
        return Interval(exp(_centre(logs)), None, None, 0.0)
    return _interval(_centre(logs), means[rank - 1], means[len(means) - rank], 1 - alpha)


def _signed_rank_distribution(count: int) -> Floats:
    """Return the probability of each rank sum, from 0 to count (count + 1) / 2, for fair signs."""
    shares = np.zeros(_pairs(count) + 1)
    shares[0] = 1.0
    for rank in range(1, count + 1):
        shifted = np.zeros_like(shares)
        shifted[rank:] = shares[:-rank]
        shares = (shares + shifted) / 2
    return shares


def _difference(
    base: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]
) -> tuple[float, float, float]:
    """Return the log ratio, its standard error, and the fewer degrees of freedom of the sides."""
    below, above = typical(log_medians(base)), typical(log_medians(candidate))
    difference = above.mean - below.mean
    if below.freedom == 0 or above.freedom == 0:
        return difference, 0.0, 0.0
    error = sqrt(below.error**2 + above.error**2)
    return difference, error, float(min(below.freedom, above.freedom))


def _normal_tail(distance: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-distance))


def _interval(centre: float, low: float, high: float, confidence: float) -> Interval:
    # Equal values may differ in the last digit after interpolation; the estimate stays inside.
    return Interval(exp(centre), exp(min(low, centre)), exp(max(high, centre)), confidence)
