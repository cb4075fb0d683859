"""Tells a slow drift of one series from the steps that it looks like when read point by point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

_LEAST_LENGTH = 12  # points; below it a drift and a step are one and the same
_LEAST_SCORE = 6.0
_MARGIN = 6.0  # of Schwarz's criterion; "strong" from 6 in Kass and Raftery, JASA 90, 1995
_GRID = 12  # candidates for the first and for the last point of a drift
_SPIKE = 5.0
_MISPLACED = 5  # points
_GAUSSIAN = 1.4826  # standard deviation over median absolute deviation


@dataclass(frozen=True, slots=True)
class Slope:
    """A straight line in log values from point `first` to point `last`, level before and after.

    Attributes:
        first: index of the last point before the values move.
        last: index of the last point that moves.
        per_point: slope of the log values.
        error: its standard error.
        steps: indices of the steps that it stands for.
    """

    first: int
    last: int
    per_point: float
    error: float
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    """Of each line: Schwarz's criterion, the slope and its standard error; [lines] float64."""

    criterion: NDArray[np.float64]
    coefficient: NDArray[np.float64]
    error: NDArray[np.float64]


def slopes(
    y: NDArray[np.float64], steps: Sequence[tuple[int, bool]], boundaries: Iterable[int]
) -> list[Slope]:
    """Return the drifts of a series.

    Where neighbouring steps go one way, and where there is none, a line with level ends is
    fitted by generalised least squares with first-order autoregressive noise (Prais and Winsten's
    method, one iteration) and takes the place of the steps if Schwarz's criterion prefers it
    clearly and its slope is many standard errors from 0.

    Args:
        y: logarithms of the values; [points] float64.
        steps: (index, whether it goes up), in order of the index.
        boundaries: indices at which a level starts anew.
    """
    smooth = _without_spikes(y)
    edges = sorted({0, *boundaries, len(y)})
    found = []
    for left, right in pairwise(edges):
        inside = [step for step in steps if left < step[0] < right]
        for first, last, run in _runs(inside, left, right):
            slope = _slope(smooth[first:last], [index - first for index in run])
            if slope is not None:
                found.append(_moved(slope, first))
    return found


def placed(y: NDArray[np.float64], steps: Sequence[int], boundaries: Iterable[int]) -> list[int]:
    """Return where each step most likely is, by least squares between its neighbours.

    A step is found from few points, which place it less well than those that come after.

    Args:
        y: logarithms of the values; [points] float64.
        steps: indices as they were first seen, in order.
        boundaries: indices at which a level starts anew.
    """
    smooth = _without_spikes(y)
    cuts = sorted({0, *boundaries, *steps, len(y)})
    found = []
    for step in steps:
        at = cuts.index(step)
        left, right = cuts[at - 1], cuts[at + 1]
        near = range(max(left + 1, step - _MISPLACED), min(right, step + _MISPLACED + 1))
        sums = np.concatenate([[0.0], np.cumsum(smooth[left:right])])
        explained = [
            sums[i - left] ** 2 / (i - left) + (sums[-1] - sums[i - left]) ** 2 / (right - i)
            for i in near
        ]
        best = near[int(np.argmax(explained))]
        cuts[at] = best
        found.append(best)
    return found


def _runs(
    steps: Sequence[tuple[int, bool]], left: int, right: int
) -> list[tuple[int, int, list[int]]]:
    """Stretches whose steps all go one way: first point, end, indices of the steps."""
    if not steps:
        return [(left, right, [])]
    groups: list[list[tuple[int, bool]]] = []
    for step in steps:
        if groups and groups[-1][0][1] == step[1]:
            groups[-1].append(step)
        else:
            groups.append([step])
    starts = [left, *(group[-1][0] for group in groups[:-1])]
    ends = [*(group[0][0] for group in groups[1:]), right]
    return [
        (start, end, [index for index, _ in group])
        for start, end, group in zip(starts, ends, groups, strict=True)
    ]


def _slope(y: NDArray[np.float64], steps: list[int]) -> Slope | None:
    n = len(y)
    if n < _LEAST_LENGTH:
        return None
    level = _levels(y, steps)
    latest, earliest = (steps[0], steps[-1]) if steps else (n - 1, 0)
    ends = [
        (first, last)
        for first in _grid(0, latest)
        for last in _grid(max(earliest, first + _LEAST_LENGTH - 1), n - 1)
    ]
    if not ends:
        return None
    from_, to = np.array(ends, np.float64).T[:, :, np.newaxis]
    fit = _generalised(y, np.clip(np.arange(n), from_, to) - from_)
    best = int(np.argmin(fit.criterion))
    slope, error = float(fit.coefficient[best]), float(fit.error[best])
    if fit.criterion[best] + _MARGIN > level or abs(slope) < _LEAST_SCORE * error:
        return None
    return Slope(*ends[best], slope, error, tuple(steps))


def _grid(low: int, high: int) -> list[int]:
    if high < low:
        return []
    return sorted({round(low + (high - low) * i / (_GRID - 1)) for i in range(_GRID)})


def _levels(y: NDArray[np.float64], steps: list[int]) -> float:
    """Schwarz's criterion of the steps: a level each, and where each of them is."""
    rest = y.copy()
    for left, right in pairwise([0, *steps, len(y)]):
        rest[left:right] -= rest[left:right].mean()
    rest = rest[np.newaxis]
    return float(_criterion(_innovations(rest, _correlation(rest)), 2 * len(steps) + 1)[0])


def _generalised(y: NDArray[np.float64], lines: NDArray[np.float64]) -> _Fit:
    """Fit a level and each of the lines to y by generalised least squares.

    Args:
        y: [points] float64.
        lines: [lines, points] float64, none of them level.
    """
    centred, around = lines - lines.mean(axis=1, keepdims=True), y - y.mean()
    slope = centred @ around / _dot(centred, centred)
    rho = _correlation(around - centred * slope[:, np.newaxis])
    level, line = _innovations(np.ones_like(lines), rho), _innovations(lines, rho)
    target = _innovations(np.broadcast_to(around, lines.shape), rho)
    aa, ab, bb = _dot(level, level), _dot(level, line), _dot(line, line)
    ay, by = _dot(level, target), _dot(line, target)
    determinant = aa * bb - ab * ab
    height, slope = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
    rest = target - level * height[:, np.newaxis] - line * slope[:, np.newaxis]
    variance = _dot(rest, rest) / max(1, len(y) - 4)
    return _Fit(_criterion(rest, 4), slope, np.sqrt(variance * aa / determinant))


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", a, b), np.float64)


def _correlation(rest: NDArray[np.float64]) -> NDArray[np.float64]:
    total = _dot(rest, rest)
    rho = _dot(rest[:, 1:], rest[:, :-1]) / np.where(total > 0.0, total, 1.0)
    corrected = rho + (1.0 + 4.0 * np.maximum(rho, 0.0)) / rest.shape[1]
    return np.where(total > 0.0, np.clip(corrected, 0.0, 0.95), 0.0)


def _innovations(x: NDArray[np.float64], rho: NDArray[np.float64]) -> NDArray[np.float64]:
    rho = rho[:, np.newaxis]
    return np.concatenate([x[:, :1] * np.sqrt(1.0 - rho * rho), x[:, 1:] - rho * x[:, :-1]], axis=1)


def _criterion(rest: NDArray[np.float64], parameters: int) -> NDArray[np.float64]:
    n = rest.shape[1]
    squares = np.maximum(_dot(rest, rest), 1e-30)
    return np.asarray(n * np.log(squares / n) + parameters * np.log(n), np.float64)


def _without_spikes(y: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = median_filter(y, size=5, mode="nearest")
    away = np.abs(y - middle)
    # The median of five is nearer to its points than the level is: 0.84 in Gaussian noise.
    reach = _SPIKE * _GAUSSIAN * float(np.median(away[away > 0])) if np.any(away > 0) else 0.0
    return np.where(away > reach, middle, y)


def _moved(slope: Slope, by: int) -> Slope:
    steps = tuple(index + by for index in slope.steps)
    return Slope(slope.first + by, slope.last + by, slope.per_point, slope.error, steps)
