"""Finds where the level of one series of log values steps, reading it once from old to new."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf, log
from operator import mul

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from harness.detect_critical import limit
from harness.detect_order import deciles, mean, median
from harness.detect_short import SHORT, clear_split

# Windows of newest points that are compared with what was before, and how much higher the limit
# of each lies: the one of five points gets most of the false alarms that are allowed, because a
# step should be found within five points; three and four only have to find large steps sooner,
# the long ones small steps late. docs/decisions/0006-detector.md has what was measured.
WINDOWS = np.array([3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80])
_RAISED = np.array([0.8, 0.4, 0.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
_BASELINE = 120  # points before the window that say what the level was, 4 windows if that is more
_LEAST_BASELINE = 6
_REFERENCE = 200  # points that say how the series scatters
_LEAST_REFERENCE = 8
_HELD_BACK = 5  # newest points, which may belong to a step and so say nothing about the scatter
_FARTHEST_SCORE = 3.0
_LONG_REFERENCE = 80
_DECILE_RANGE = 2.563  # of the standard normal distribution
# Above the simulated limit, for noise that persists: a series whose correlation was estimated too
# small by chance gives several false alarms, not one.
_CAUTION = 0.15
_ORDER = 3
_REFIT = 3  # points between two fits of the correlation

_CLEAR_SCORE = 5.0  # of a split that is told without the scatter being known

_FORM = 1  # raised when the same points would give other alarms


@dataclass(frozen=True, slots=True)
class Alarm:
    """A step, as it was first seen.

    Attributes:
        index: the first point of the new level.
        seen: how many points had been read when it was found.
        score: its statistic in standard deviations, positive for a step up.
    """

    index: int
    seen: int
    score: float


@dataclass(frozen=True, slots=True)
class Noise:
    """How a series scatters about its level.

    Attributes:
        low: lowest and
        high: highest value about the level that is taken as it is; what lies beyond is moved there.
        phi: coefficients of the autoregression of at most third order; [order] float64.
        old: innovations of the earlier blocks.
    """

    low: float
    high: float
    phi: NDArray[np.float64]
    old: NDArray[np.float64]

    def usual(self, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the deviations with those beyond low and high moved there."""
        return np.minimum(np.maximum(deviations, self.low), self.high)

    def innovations(self, deviations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each clipped deviation adds to what those before it foretold."""
        clipped = self.usual(deviations)
        added = clipped.copy()
        for lag, coefficient in enumerate(self.phi, start=1):
            added[lag:] -= coefficient * clipped[:-lag]
        return added[len(self.phi) :]


@dataclass(frozen=True, slots=True)
class Reading:
    """What has been found in the first points of a series, from where reading can go on.

    Attributes:
        points: how many were read.
        digest: of these points and of how they were read.
        alarms: the steps, in the order in which they were found.
    """

    points: int = 0
    digest: str = ""
    alarms: tuple[Alarm, ...] = ()


def scan(
    y: NDArray[np.float64],
    boundaries: Collection[int] = (),
    false_alarms: float = 1.0,
    earlier: Reading | None = None,
) -> Reading:
    """Return the steps of a series in the order in which they are found.

    Each answer rests on the points up to `seen` alone: reading on never takes one back. At every
    point the newest 3 to 80 are compared with up to 120 (or four times as many) before them, in the
    normal scores that their innovations take among the earlier innovations (sequential normal
    scores: Conover, Tercero-Gómez and Cordero-Franco, Sequential Analysis 36, 2017; prewhitening:
    an autoregression fitted by the Durbin-Levinson recursion). For independent noise the scores
    do not depend on its distribution.

    Args:
        y: logarithms of the values; [points] float64.
        boundaries: indices at which a new level is expected and is no step.
        false_alarms: how many steps per 1,000 points may be reported where there are none.
        earlier: what was found in the first points of the series; the same comes out, sooner.
            Of other points it is left aside.
    """
    reader = _Reader(y, frozenset(boundaries), false_alarms)
    known: tuple[Alarm, ...] = ()
    seen = 0
    if earlier is not None and _begins_with(y, boundaries, false_alarms, earlier):
        known, seen = earlier.alarms, earlier.points
        reader.resume(seen, known)
    alarms = (*known, *reader.read(seen))
    return Reading(len(y), _digest(y, boundaries, false_alarms), alarms)


def _begins_with(
    y: NDArray[np.float64], boundaries: Collection[int], false_alarms: float, earlier: Reading
) -> bool:
    points = earlier.points
    return 0 < points <= len(y) and earlier.digest == _digest(y[:points], boundaries, false_alarms)


def _digest(y: NDArray[np.float64], boundaries: Collection[int], false_alarms: float) -> str:
    inside = sorted(index for index in boundaries if index < len(y))
    digest = hashlib.sha256(repr((_FORM, inside, false_alarms)).encode())
    digest.update(y.tobytes())
    return digest.hexdigest()


def statistics(y: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    """Yield, for each point of a series without steps, the reference's size and the statistic.

    The statistic is what `scan` holds against its limit; `detect_critical` simulates with it.
    """
    reader = _Reader(y, frozenset(), 1.0)
    for seen in range(1, len(y) + 1):
        found = reader.strongest(seen)
        if found is not None:
            yield found.reference, found.excess


def fit_autoregression(blocks: list[NDArray[np.float64]], order: int) -> NDArray[np.float64]:
    """Return the coefficients of an autoregression of first to `order`-th order.

    Durbin-Levinson on the blocks' pooled autocovariances; the order by Schwarz's criterion, with
    the first always kept, because to miss a weak correlation costs more than to fit a needless
    one. The first coefficient is corrected for the bias of a mean-corrected series, (1 + 4 rho)/n
    (Marriott and Pope, Biometrika 41, 1954).

    Args:
        blocks: deviations from each block's mean.
        order: the highest order; at least 1.
    """
    count = sum(map(len, blocks))
    covariance = [
        sum([float(b[lag:] @ b[: max(0, len(b) - lag)]) for b in blocks])
        for lag in range(order + 1)
    ]
    if covariance[0] <= 0.0:
        return np.zeros(0)
    rho = [each / covariance[0] for each in covariance[1:]]
    phi: list[float] = []
    chosen = phi
    variance, best = 1.0, inf
    for p in range(1, order + 1):
        partial = (rho[p - 1] - sum(map(mul, phi, rho[p - 2 :: -1]))) / variance
        if p == 1:
            partial += (1.0 + 4.0 * max(partial, 0.0)) / count
        partial = min(max(partial, -0.5), 0.95)
        phi = [*(a - partial * b for a, b in zip(phi, phi[::-1], strict=True)), partial]
        variance *= 1.0 - partial * partial
        criterion = count * log(variance) + p * log(count)
        if criterion < best:
            best, chosen = criterion, phi
        elif p > 1:
            break
    return np.array(chosen)


@dataclass(frozen=True, slots=True)
class _Strongest:
    reference: int
    excess: float
    score: float
    window: int
    scores: NDArray[np.float64]


@dataclass(slots=True)
class _Reader:
    """What has been learnt of a series so far: where its level began, and how it scatters."""

    y: NDArray[np.float64]
    boundaries: frozenset[int]
    false_alarms: float
    start: int = 0
    closed: list[NDArray[np.float64]] = field(default_factory=list)
    noise: Noise | None = None

    def resume(self, seen: int, alarms: Collection[Alarm]) -> None:
        """Be as after reading `seen` points and finding these alarms in them."""
        closings = [(index + 1, index) for index in self.boundaries if index < seen]
        closings += [(alarm.seen, alarm.index) for alarm in alarms]
        for _, index in sorted(closings):
            self._close(index)
        # The scatter was estimated as soon as it could be after the last, and then in turns.
        last = max((at for at, _ in closings), default=0)
        first = max(last + 1, self.start + _HELD_BACK + _LEAST_BASELINE)
        if seen >= first:
            self.noise = self._fit(self._deviations(max(first, seen - seen % _REFIT)))

    def read(self, after: int) -> Iterator[Alarm]:
        for seen in range(after + 1, len(self.y) + 1):
            if seen - 1 in self.boundaries:
                self._close(seen - 1)
            found = self.strongest(seen)
            if found is not None and found.excess > self._limit(found):
                index = self._locate(found, seen)
                self._close(index)
                yield Alarm(index, seen, found.score)
            elif not self.closed and seen <= SHORT:
                split = clear_split(self.y[:seen])
                if split is not None:
                    rise = median(self.y[split:seen]) - median(self.y[:split])
                    self._close(split)
                    yield Alarm(split, seen, float(np.copysign(_CLEAR_SCORE, rise)))

    def strongest(self, seen: int) -> _Strongest | None:
        """Return the window that speaks most for a step, or None where nothing can be said yet."""
        if seen - self.start < _HELD_BACK + _LEAST_BASELINE:
            return None
        deviations = self._deviations(seen)
        if self.noise is None or seen % _REFIT == 0:
            self.noise = self._fit(deviations)
        added = self.noise.innovations(deviations)
        reference = np.concatenate([added[:-_HELD_BACK], self.noise.old])[:_REFERENCE]
        if len(reference) < _LEAST_REFERENCE:
            return None
        scores = _normal_scores(added, reference)
        usable = WINDOWS[len(added) - WINDOWS >= _LEAST_BASELINE - len(self.noise.phi)]
        if not len(usable):
            return None
        z = _contrasts(scores, usable, self.noise.phi)
        excess = np.abs(z) - _RAISED[: len(usable)]
        best = int(np.argmax(excess))
        return _Strongest(
            len(reference), float(excess[best]), float(z[best]), int(usable[best]), scores
        )

    def _deviations(self, seen: int) -> NDArray[np.float64]:
        """The newest points about the level of those that are no news."""
        block = self.y[self.start : seen]
        return block[-_REFERENCE - _HELD_BACK :] - median(block[:-_HELD_BACK])

    def _limit(self, found: _Strongest) -> float:
        assert self.noise is not None
        persistence = max(0.0, float(self.noise.phi.sum()))
        return limit(found.reference, self.false_alarms) + _CAUTION * persistence

    def _locate(self, found: _Strongest, seen: int) -> int:
        """The likeliest first point of the new level, at half to twice the window that found it."""
        assert self.noise is not None
        lengths = np.arange(
            max(1, found.window // 2), min(2 * found.window, len(found.scores) - 3) + 1
        )
        z = _contrasts(found.scores, lengths, self.noise.phi) * np.sign(found.score)
        return seen - int(lengths[int(np.argmax(z))])

    def _fit(self, deviations: NDArray[np.float64]) -> Noise:
        deviations = deviations[:-_HELD_BACK]
        every = np.concatenate([deviations, *self.closed])[:_REFERENCE]
        low, high = deciles(every)
        # 1.5 ranges beyond the deciles are five standard deviations of Gaussian noise.
        reach = 1.5 * (high - low) if high > low else np.inf
        raw = Noise(low - reach, high + reach, np.zeros(0), np.zeros(0))
        clipped = [raw.usual(block) for block in (deviations, *self.closed) if len(block)]
        phi = fit_autoregression([block - mean(block) for block in clipped], _ORDER)
        white = Noise(raw.low, raw.high, phi, raw.old)
        old = [white.innovations(block) for block in self.closed if len(block) > len(phi)]
        return Noise(raw.low, raw.high, phi, np.concatenate([raw.old, *old]))

    def _close(self, index: int) -> None:
        block = self.y[self.start : index]
        if len(block):
            # Newest first, and no more than the reference takes.
            self.closed = [block - median(block), *self.closed]
            while sum(map(len, self.closed[:-1])) > _REFERENCE:
                self.closed.pop()
        self.start, self.noise = index, None


def _normal_scores(
    added: NDArray[np.float64], reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The normal quantiles at which the innovations stand in the reference.

    Beyond its ends they go on as those of Gaussian noise with the reference's deciles would, up to
    three: a large step is then more than the largest value of the reference, and a spike is still
    no step. A short reference does not know its deciles well enough for that.
    """
    ordered = np.sort(reference)
    n = len(ordered)
    below = np.searchsorted(ordered, added, side="left")
    upto = np.searchsorted(ordered, added, side="right")
    scores: NDArray[np.float64] = _quantiles(n)[below + upto]
    low, high = ordered[n // 10], ordered[-1 - n // 10]
    if n >= _LONG_REFERENCE and high > low:
        beyond = np.flatnonzero((below == n) | (upto == 0))
        far = (added[beyond] - (low + high) / 2.0) / (high - low) * _DECILE_RANGE
        far = np.minimum(np.maximum(far, -_FARTHEST_SCORE), _FARTHEST_SCORE)
        above = below[beyond] == n
        near = scores[beyond]
        scores[beyond] = np.where(above, np.maximum(near, far), np.minimum(near, far))
    return scores


@lru_cache(maxsize=_REFERENCE)
def _quantiles(n: int) -> NDArray[np.float64]:
    """The normal quantiles of the mean ranks in a reference of n, by twice the rank."""
    return np.asarray(ndtri((np.arange(2 * n + 1) / 2.0 + 0.5) / (n + 1.0)), np.float64)


def _contrasts(
    scores: NDArray[np.float64], windows: NDArray[np.int_], phi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The statistic of each window at the end: matched to a step's trace, in standard deviations.

    A step of size 1 adds 1 to the first innovation, and 1 - phi_1 - ... - phi_j to the j-th after.
    """
    n = len(scores)
    trace = 1.0 - np.concatenate([[0.0], phi.cumsum()])
    last = trace[-1]
    early, squares = trace - last, trace * trace - last * last  # 0 at the end
    reached = np.minimum(windows, len(trace)) - 1
    weight = last * windows + early.cumsum()[reached]
    square = last * last * windows + squares.cumsum()[reached]
    sums = np.concatenate([[0.0], scores.cumsum()])
    first = n - windows
    onwards = np.correlate(np.concatenate([scores, np.zeros(len(phi))]), early)
    matched = last * (sums[n] - sums[first]) + onwards[first]
    base = np.minimum(first, np.maximum(_BASELINE, 4 * windows))
    level = (sums[first] - sums[first - base]) / base
    z: NDArray[np.float64] = (matched - weight * level) / np.sqrt(square + weight * weight / base)
    return z
