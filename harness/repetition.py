"""How far the median of a case repeats from process to process, and when to stop repeating.

After Kalibera & Jones, "Rigorous Benchmarking in Reasonable Time" (ISMM 2013): the processes are
the independent units, and a process counts once, by the median of its samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, log, sinh, sqrt

import numpy as np
from numpy.typing import NDArray

from harness.statistics import CONFIDENCE, Interval

PILOT = 5
_TRIMMED = 0.1  # the share of processes left out at each end
_KEPT = 0.75  # of the permitted misses; the rest pays for stopping at will: docs/decisions/0005
_MOST_SAMPLES = 1000  # a process; where the pilot sees no difference between processes
_MOST_PROCESSES = 10_000
_LARGEST_EXPONENT = 700.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Components:
    """Relative variances (of the logarithms) of one case, at the two levels of repetition.

    `within` is the variance of single samples about their process's mean. Neighbouring samples are
    alike, so the mean of n samples varies by more than within / n; what does not average out is
    counted in `between`, where it belongs for planning.
    """

    between: float
    within: float


@dataclass(frozen=True, slots=True)
class Typical:
    """The centre of the processes' log medians, its standard error and degrees of freedom."""

    mean: float
    error: float
    freedom: int


def process_interval(groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> Interval:
    """Return the typical median of a process, with its interval over processes.

    The estimate is the geometric mean of the processes' medians, less the fastest and the slowest
    tenth of them from ten processes on: real machines slow one process in twenty by a lot. The
    interval is Student's on the logarithms (of the trimmed mean: Tukey & McLaughlin 1963), a
    little wider than for a fixed number of processes; `enough` spends the difference.

    Args:
        groups: the samples of each process, positive, in any one unit.
        confidence: the wanted confidence.

    Returns:
        The interval in the unit of the samples; without bounds for one process.

    Raises:
        ValueError: no process, a process without samples, or a sample that is not positive.
    """
    centre = typical(log_medians(groups))
    if centre.freedom == 0:
        return Interval(exp(centre.mean), None, None, 0.0)
    reach = student(stated_confidence(confidence), centre.freedom) * centre.error
    estimate, low, high = _exp(centre.mean), _exp(centre.mean - reach), _exp(centre.mean + reach)
    return Interval(estimate, low, high, confidence)


def half_width(interval: Interval) -> float | None:
    """Return half the width of an interval as a share of its estimate; None without bounds."""
    if interval.low is None or interval.high is None:
        return None
    return (interval.high - interval.low) / (2 * interval.estimate)


def enough(
    groups: Sequence[Sequence[float]], precision: float, confidence: float = CONFIDENCE
) -> bool:
    """Say whether the processes pin the headline down to `precision` (a share, 0.02 for 2 %)."""
    if len(groups) < PILOT:
        return False
    width = half_width(process_interval(groups, confidence))
    return width is not None and width <= precision


def processes_needed(
    groups: Sequence[Sequence[float]], precision: float, confidence: float = CONFIDENCE
) -> int:
    """Return the number of processes, those of the pilot included, that `precision` takes.

    Args:
        groups: the samples of each process of the pilot, at least two processes.
        precision: the wanted half-width as a share of the estimate.
        confidence: of the interval.

    Raises:
        ValueError: fewer than two processes, a precision that is not positive, or bad samples.
    """
    if precision <= 0:
        raise ValueError(f"a precision must be positive, not {precision}")
    if enough(groups, precision, confidence):
        return len(groups)
    deviation = _deviation(groups)
    count = max(PILOT, len(groups) + 1)
    while count < _MOST_PROCESSES:
        reach = (
            student(stated_confidence(confidence), processes_kept(count) - 1)
            * deviation
            / sqrt(count)
        )
        if sinh(reach) <= precision:
            break
        count += 1
    return count


def variance_components(groups: Sequence[Sequence[float]]) -> Components:
    """Return the variance between processes and within them, by one-way analysis of variance.

    The unbiased estimators of Kalibera & Jones, sec. 6, in the form for unequal numbers of samples
    (Searle, Casella & McCulloch, Variance Components, sec. 3.6); a negative estimate is 0.

    Raises:
        ValueError: fewer than two processes, or no process with two samples, or bad samples.
    """
    logs = [np.log(samples) for samples in _checked(groups)]
    sizes = np.array([len(samples) for samples in logs], dtype=np.float64)
    total, count = sizes.sum(), len(logs)
    if count < 2 or total <= count:
        raise ValueError("variance components need two processes and two samples in one of them")
    means = np.array([samples.mean() for samples in logs])
    within = sum(float(((s - m) ** 2).sum()) for s, m in zip(logs, means, strict=True))
    within /= float(total - count)
    grand = float((sizes * means).sum() / total)
    among = float((sizes * (means - grand) ** 2).sum() / (count - 1))
    effective = float((total - (sizes**2).sum() / total) / (count - 1))
    return Components(max(0.0, (among - within) / effective), within)


def samples_worth_taking(
    components: Components, process_cost_s: float, sample_cost_s: float
) -> int:
    """Return the number of samples in a process that buys most precision for the time.

    Kalibera & Jones, sec. 7: the square root of the ratio of costs times the ratio of variances.

    Args:
        components: of a pilot.
        process_cost_s: of one more process before its first sample: start, prepare, warm up.
        sample_cost_s: of one more sample.

    Raises:
        ValueError: a cost that is not positive.
    """
    if process_cost_s <= 0 or sample_cost_s <= 0:
        raise ValueError("costs must be positive")
    if components.within == 0:
        return 1
    if components.between == 0:
        return _MOST_SAMPLES
    costs = process_cost_s / sample_cost_s
    best = sqrt(costs * components.within / components.between)
    return max(1, min(_MOST_SAMPLES, ceil(best)))


def smallest_detectable_effect(
    groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE, power: float = 0.8
) -> float | None:
    """Return the relative change that a comparison with as many more processes would detect.

    Two such sets are compared as by `ratio_of_groups` (Cohen, Statistical Power Analysis, sec. 2.3,
    with the t quantile for the power).

    Returns:
        0.03 for a slowdown of 3 %; None for fewer than two processes.

    Raises:
        ValueError: bad samples.
    """
    count = len(groups)
    if count < 2:
        log_medians(groups)
        return None
    freedom = processes_kept(count) - 1
    reach = student(confidence, freedom) + student(2 * power - 1, freedom)
    return _exp(reach * _deviation(groups) * sqrt(2 / count)) - 1


def log_medians(groups: Sequence[Sequence[float]]) -> Floats:
    """Return the logarithm of each process's median, shape (processes,).

    Raises:
        ValueError: no process, a process without samples, or a sample that is not positive.
    """
    if len(groups) == 0:
        raise ValueError("no process was measured")
    return np.array([_log_median(samples) for samples in groups])


def _log_median(samples: Sequence[float]) -> float:
    # Most groups of a long history are one number, for which arrays are slow.
    if len(samples) == 1 and 0 < samples[0] < inf:
        return log(samples[0])
    (checked,) = _checked([samples])
    return float(np.log(np.median(checked)))


def typical(logs: Floats) -> Typical:
    """Return the trimmed mean of `logs`, shape (processes,), with its standard error.

    A tenth is left out at each end, which is nothing below ten processes. The error is that of the
    winsorised values (Tukey & McLaughlin 1963; Yuen 1974); 0 for one process.
    """
    count, kept = len(logs), processes_kept(len(logs))
    cut = (count - kept) // 2
    ordered = np.sort(logs)
    mean = float(ordered[cut : count - cut].mean())
    if count == 1:
        return Typical(mean, 0.0, 0)
    winsorised = np.clip(ordered, ordered[cut], ordered[count - 1 - cut])
    squares = float(((winsorised - winsorised.mean()) ** 2).sum())
    return Typical(mean, sqrt(squares / (kept * (kept - 1))), kept - 1)


def student(confidence: float, freedom: float) -> float:
    """Return the half-width, in standard errors, of Student's interval at this confidence."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def stated_confidence(confidence: float) -> float:
    """Return the confidence at which Student's quantile is taken for an interval of this one."""
    return 1 - _KEPT * (1 - confidence)


def processes_kept(count: int) -> int:
    """Return how many of so many processes are left when the farthest on both sides are cut."""
    return count - 2 * int(_TRIMMED * count)


def _deviation(groups: Sequence[Sequence[float]]) -> float:
    if len(groups) < 2:
        raise ValueError("one process says nothing of how processes differ")
    return typical(log_medians(groups)).error * sqrt(len(groups))


def _checked(groups: Sequence[Sequence[float]]) -> list[Floats]:
    if len(groups) == 0:
        raise ValueError("no process was measured")
    arrays = [np.asarray(samples, dtype=np.float64) for samples in groups]
    if not all(a.size and (a > 0).all() and (a < inf).all() for a in arrays):
        raise ValueError("every process needs samples, all of them positive and finite")
    return arrays


def _exp(logarithm: float) -> float:
    """Return e to that power, or the largest that is a number: beyond, nothing is known anyway."""
    return exp(min(logarithm, _LARGEST_EXPONENT))
