"""Says where the history of one series steps or drifts, and what was only the environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress, count, pairwise
from math import exp, log, log1p
from operator import ne

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from harness.detect_drift import Slope, placed, slopes, without_spikes
from harness.detect_order import deciles, mean, median
from harness.detect_scan import Alarm, Noise, Reading, fit_autoregression, scan
from harness.errors import AssayError
from harness.statistics import CONFIDENCE, Interval

# Per 1,000 points. The promise is 1; a series that has once given a false alarm gives more of them
# than the simulated limits allow for, and skewed noise does, so the limit is set below it.
FALSE_ALARMS = 0.75
LEAST_POINTS = 12  # below it nothing is ever found: too little to know the scatter from
_LEVEL_POINTS = 80  # nearest points that say what a level is
_ORDER = 3
_LARGEST_EXPONENT = 700.0  # e to it, and to its opposite, is a number; beyond, none is
_RESPONSE = 240  # points after which an impulse's trace in correlated noise is left aside


@dataclass(frozen=True, slots=True)
class Step:
    """A lasting change of level from one commit to the next.

    Attributes:
        index: the first point of the new level.
        found_at: how many points of the history it took to find it; from then on it stays found.
        ratio: level after over level before.
        score: how clear it was when found, in standard deviations; the limit is about 3.5.
        regression: whether it was for the worse.
    """

    index: int
    found_at: int
    ratio: Interval
    score: float
    regression: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """A slow change over many commits, none of which alone can be named.

    Attributes:
        first: the last point before it began.
        last: the last point that it moved.
        ratio: factor from one point to the next.
        score: slope in standard errors.
        regression: whether it was for the worse.
    """

    first: int
    last: int
    ratio: Interval
    score: float
    regression: bool


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """Where the environment changed, and by how much the level with it: no step of the code's.

    `ratio` is None where a side has fewer than two points.
    """

    index: int
    before: str
    after: str
    ratio: Interval | None


@dataclass(frozen=True, slots=True)
class Spike:
    """One point far from its level, with the next one back: never a step."""

    index: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Detection:
    """What a history shows.

    Where the code changed with the environment, or within five points after, the change cannot be
    told from the environment's and is part of its `EnvironmentChange`. `reading` spares the next
    search of the same history, with points added, the reading of those that it has read.
    """

    steps: tuple[Step, ...]
    drifts: tuple[Drift, ...]
    environment_changes: tuple[EnvironmentChange, ...]
    spikes: tuple[Spike, ...]
    reading: Reading = field(default_factory=Reading, compare=False)


def detect(
    values: Sequence[float],
    *,
    environments: Sequence[str] | None = None,
    higher_is_better: bool = False,
    false_alarms: float = FALSE_ALARMS,
    min_change: float = 0.0,
    earlier: Reading | None = None,
) -> Detection:
    """Return the steps, drifts, environment changes and spikes of a series.

    Ratios hold whatever the unit: values times a constant give the same answer. docs/detection.md
    says how it works, how often it is wrong and what it cannot tell.

    Args:
        values: one positive number a commit, the oldest first.
        environments: what each value was measured in; the level may change wherever it changes.
        higher_is_better: whether a step up is an improvement (a rate) or a regression (a time).
        false_alarms: how many steps per 1,000 points may be reported where there are none.
        min_change: leave out steps and drifts that change the level by less than this share.
        earlier: the `reading` of a former search; it changes nothing but the time.

    Raises:
        AssayError: a value is not a positive number, or the arguments do not go together.
    """
    y = _logarithms(values)
    boundaries = _boundaries(values, environments)
    _check(false_alarms, min_change)
    if not len(y):
        return Detection((), (), (), ())
    reading = scan(y, boundaries, false_alarms, earlier)
    alarms = sorted(reading.alarms, key=lambda alarm: alarm.index)
    smooth = without_spikes(y)
    places = placed(smooth, [alarm.index for alarm in alarms], boundaries)
    alarms = [
        Alarm(index, alarm.seen, alarm.score) for index, alarm in zip(places, alarms, strict=True)
    ]
    found = slopes(smooth, [(alarm.index, alarm.score > 0.0) for alarm in alarms], boundaries)
    drifting = {index for slope in found for index in slope.steps}
    alarms = [alarm for alarm in alarms if alarm.index not in drifting]
    view = _View(y, boundaries, [alarm.index for alarm in alarms], found)
    steps = [_step(view, alarm, higher_is_better) for alarm in alarms]
    drifts = [_drift(slope, higher_is_better) for slope in found]
    return Detection(
        tuple(step for step in steps if _matters(step.ratio.estimate, min_change)),
        tuple(
            drift
            for drift in drifts
            if _matters(drift.ratio.estimate, min_change, drift.last - drift.first)
        ),
        tuple(_environment_change(view, index, environments or ()) for index in boundaries),
        _spikes(view),
        reading,
    )


class _View:
    """A history cut into its levels, with the noise about them."""

    def __init__(
        self,
        y: NDArray[np.float64],
        boundaries: Sequence[int],
        steps: Sequence[int],
        drifts: Sequence[Slope],
    ) -> None:
        self.y = y.copy()
        for slope in drifts:
            self.y -= slope.per_point * (
                np.clip(np.arange(len(y)), slope.first, slope.last) - slope.first
            )
        self.cuts = sorted({0, *boundaries, *steps, len(y)})
        blocks = [self.y[left:right] for left, right in pairwise(self.cuts)]
        self.deviations = np.concatenate([block - median(block) for block in blocks])
        low, high = deciles(self.deviations)
        reach = 1.5 * (high - low) if high > low else np.inf
        self.noise = Noise(low - reach, high + reach, np.zeros(0), np.zeros(0))
        usual = self.noise.usual(self.deviations)
        parts = [usual[left:right] for left, right in pairwise(self.cuts)]
        kept = [part - mean(part) for part in parts]
        phi = fit_autoregression(kept, _ORDER)
        freedom = max(1, len(y) - len(kept))
        variance = sum(float(block @ block) for block in kept) / freedom
        self.variances = variance * _variances_of_means(phi)
        self.quantile = float(stdtrit(freedom, (1.0 + CONFIDENCE) / 2.0))

    def ratio(self, index: int) -> Interval:
        """The level from a cut on over the level before it."""
        at = self.cuts.index(index)
        before = self.y[max(self.cuts[at - 1], index - _LEVEL_POINTS) : index]
        after = self.y[index : min(self.cuts[at + 1], index + _LEVEL_POINTS)]
        size = self._level(after) - self._level(before)
        variance = self.variances[len(after) - 1] + self.variances[len(before) - 1]
        return _interval(size, self.quantile * float(np.sqrt(variance)))

    def _level(self, part: NDArray[np.float64]) -> float:
        middle = median(part)
        return middle + mean(self.noise.usual(part - middle))


def _variances_of_means(phi: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the mean of 1 to 80 points of an autoregression whose own variance is 1.

    Its autocovariances are those of its impulse response, cut off after 240 points.
    """
    one, two, three = [*phi.tolist(), 0.0, 0.0, 0.0][:_ORDER]
    response, before, earlier = [1.0], 0.0, 0.0
    for _ in range(_RESPONSE - 1):
        latest = response[-1]
        response.append(one * latest + two * before + three * earlier)
        before, earlier = latest, before
    impulse = np.array(response)
    shifted = np.concatenate([impulse, np.zeros(_LEVEL_POINTS - 1)])
    covariance = np.correlate(shifted, impulse)
    lags = np.arange(_LEVEL_POINTS)
    n = lags + 1.0
    each = np.where(lags > 0, 2.0, 1.0) * covariance / covariance[0]
    total = n * np.cumsum(each) - np.cumsum(lags * each)
    return np.asarray(np.maximum(total, 0.0) / (n * n), np.float64)


def ratio_of(size: float) -> float:
    """Return e to the power of `size`, or the nearest of the ratios that are positive numbers."""
    return exp(min(max(size, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))


def _interval(size: float, reach: float) -> Interval:
    return Interval(ratio_of(size), ratio_of(size - reach), ratio_of(size + reach), CONFIDENCE)


def _step(view: _View, alarm: Alarm, higher_is_better: bool) -> Step:
    ratio = view.ratio(alarm.index)
    worse = (alarm.score > 0.0) != higher_is_better
    return Step(alarm.index, alarm.seen, ratio, abs(alarm.score), worse)


def _drift(slope: Slope, higher_is_better: bool) -> Drift:
    quantile = float(stdtrit(slope.last - slope.first, (1.0 + CONFIDENCE) / 2.0))
    ratio = _interval(slope.per_point, quantile * slope.error)
    score = abs(slope.per_point) / slope.error if slope.error else np.inf
    worse = (slope.per_point > 0.0) != higher_is_better
    return Drift(slope.first, slope.last, ratio, float(score), worse)


def _environment_change(view: _View, index: int, environments: Sequence[str]) -> EnvironmentChange:
    at = view.cuts.index(index)
    shortest = min(index - view.cuts[at - 1], view.cuts[at + 1] - index)
    ratio = view.ratio(index) if shortest >= 2 else None
    return EnvironmentChange(index, environments[index - 1], environments[index], ratio)


def _spikes(view: _View) -> tuple[Spike, ...]:
    deviations = view.deviations
    far = (deviations > view.noise.high).astype(int) - (deviations < view.noise.low)
    spikes = []
    for i in np.flatnonzero(far[:-1]):
        neighbours = (far[i - 1] if i else 0, far[i + 1])
        if far[i] not in neighbours:
            spikes.append(Spike(int(i), ratio_of(float(deviations[i]))))
    return tuple(spikes)


def _matters(ratio: float, min_change: float, times: int = 1) -> bool:
    return times * abs(log(ratio)) >= log1p(min_change)


def _logarithms(values: Sequence[float]) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise AssayError(f"a history is one row of numbers, not {x.ndim} dimensions")
    wrong = np.flatnonzero(~(np.isfinite(x) & (x > 0.0)))
    if len(wrong):
        at = int(wrong[0])
        raise AssayError(
            f"value {at} of the history is {x[at]:g}; only positive numbers can be compared as "
            "ratios: leave out what was not measured"
        )
    y = np.log(x)
    # A factor on all values moves logarithms by a constant and a rounding error; equal values must
    # stay equal, and points that come later must not move those that are here.
    return np.round(y - y[0], 12) if len(y) else y


def _boundaries(values: Sequence[float], environments: Sequence[str] | None) -> list[int]:
    if environments is None:
        return []
    if len(environments) != len(values):
        raise AssayError(
            f"{len(values)} values but {len(environments)} environments; give one for each value"
        )
    return list(compress(count(1), map(ne, environments[1:], environments)))


def _check(false_alarms: float, min_change: float) -> None:
    if not 0.1 <= false_alarms <= 20.0:
        raise AssayError(
            f"false_alarms is {false_alarms:g}; limits are known from 0.1 to 20 per 1,000 points"
        )
    if not min_change >= 0.0:
        raise AssayError(f"min_change is {min_change:g}; it is a share of the level, from 0 up")
