"""Tells a slow drift of one series from the steps that it looks like when read point by point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from harness.detect_order import mean, median

_Sums = NDArray[np.float64] | float

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
class _Stretch:
    """Points that may drift as one.

    Attributes:
        start: index of the first.
        around: deviations from their mean; [points] float64.
        steps: places of the steps among them.
    """

    start: int
    around: NDArray[np.float64]
    steps: list[int]


@dataclass(frozen=True, slots=True)
class _Line:
    """The line that fits a stretch best.

    Attributes:
        criterion: Schwarz's.
        first: place of the last point before it rises.
        last: place of the last point that rises.
        height: the deviations' level before it rises.
        per_point: how much the deviations rise from point to point.
        rho: the correlation of what is left.
        variance: that of `per_point`, in units of an innovation's.
    """

    criterion: float
    first: int
    last: int
    height: float
    per_point: float
    rho: float
    variance: float


def slopes(
    smooth: NDArray[np.float64], steps: Sequence[tuple[int, bool]], boundaries: Iterable[int]
) -> list[Slope]:
    """Return the drifts of a series.

    Where neighbouring steps go one way, and where there is none, a line with level ends is
    fitted by generalised least squares with first-order autoregressive noise (Prais and Winsten's
    method, one iteration) and takes the place of the steps if Schwarz's criterion prefers it
    clearly and its slope is many standard errors from 0.

    Args:
        smooth: logarithms of the values `without_spikes`; [points] float64.
        steps: (index, whether it goes up), in order of the index.
        boundaries: indices at which a level starts anew.
    """
    edges = sorted({0, *boundaries, len(smooth)})
    stretches = []
    for left, right in pairwise(edges):
        inside = [step for step in steps if left < step[0] < right]
        for first, last, run in _runs(inside, left, right):
            if last - first >= _LEAST_LENGTH:
                part = smooth[first:last]
                stretches.append(_Stretch(first, part - mean(part), [i - first for i in run]))
    if not stretches:
        return []
    found = [
        _slope(stretch, line)
        for stretch, line, level in zip(
            stretches, _lines(stretches), _levels(stretches), strict=True
        )
        if line.criterion + _MARGIN <= level
    ]
    return [slope for slope in found if slope is not None]


def placed(
    smooth: NDArray[np.float64], steps: Sequence[int], boundaries: Iterable[int]
) -> list[int]:
    """Return where each step most likely is, by least squares between its neighbours.

    A step is found from few points, which place it less well than those that come after.

    Args:
        smooth: logarithms of the values `without_spikes`; [points] float64.
        steps: indices as they were first seen, in order.
        boundaries: indices at which a level starts anew.
    """
    cuts = sorted({0, *boundaries, *steps, len(smooth)})
    found = []
    for step in steps:
        at = cuts.index(step)
        left, right = cuts[at - 1], cuts[at + 1]
        near = np.arange(max(left + 1, step - _MISPLACED), min(right, step + _MISPLACED + 1))
        sums = np.cumsum(smooth[left:right])
        before = sums[near - left - 1]
        explained = before**2 / (near - left) + (sums[-1] - before) ** 2 / (right - near)
        cuts[at] = int(near[np.argmax(explained)])
        found.append(cuts[at])
    return found


def without_spikes(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return y with each point that is far from those about it moved to their median.

    Args:
        y: logarithms of the values; [points] float64.
    """
    middle = median_filter(y, size=5, mode="nearest")
    away = np.abs(y - middle)
    moved = away[away > 0.0]
    # The median of five is nearer to its points than the level is: 0.84 in Gaussian noise.
    reach = _SPIKE * _GAUSSIAN * median(moved) if len(moved) else 0.0
    return np.where(away > reach, middle, y)


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


def _slope(stretch: _Stretch, line: _Line) -> Slope | None:
    n = len(stretch.around)
    x = np.minimum(np.maximum(np.arange(n), line.first), line.last) - line.first
    # From the points themselves: a difference of sums says nothing of what is left of a good fit.
    rest = _products(stretch.around - line.height - line.per_point * x)
    square = float(_whitened(line.rho, *rest)) / max(1, n - 4)
    error = math.sqrt(square * line.variance)
    if abs(line.per_point) < _LEAST_SCORE * error:
        return None
    return Slope(
        stretch.start + line.first,
        stretch.start + line.last,
        line.per_point,
        error,
        tuple(stretch.start + step for step in stretch.steps),
    )


def _levels(stretches: Sequence[_Stretch]) -> list[float]:
    """Schwarz's criterion of each stretch's steps: a level each, and where each of them is."""
    sums = []
    for stretch in stretches:
        rest = stretch.around
        if stretch.steps:
            cuts = pairwise([0, *stretch.steps, len(rest)])
            parts = [rest[left:right] for left, right in cuts]
            rest = np.concatenate([part - mean(part) for part in parts])
        sums.append((*_products(rest), len(rest), 2.0 * len(stretch.steps) + 1.0))
    plain, lagged, ends, n, parameters = np.array(sums).T
    left = _whitened(_correlation(plain, lagged, n), plain, lagged, ends)
    criterion: list[float] = _criterion(left, n, parameters).tolist()
    return criterion


def _lines(stretches: Sequence[_Stretch]) -> list[_Line]:
    """Fit a level and each of a grid of lines by generalised least squares; return the best.

    Nothing as long as a stretch is made for a line x. It is 0 up to `first`, rises by 1 a point,
    and is level from `last` on: the sum of its products with other values is a difference of their
    double partial sums. And x[i - 1] + x[i + 1] is 2 x[i] but at `first`, `last` and the ends,
    which gives its products with their neighbours.
    """
    y = np.concatenate([stretch.around for stretch in stretches])
    partial = np.concatenate([_double_sums(stretch.around) for stretch in stretches])
    target = np.array([_products(stretch.around) for stretch in stretches]).T[:, :, np.newaxis]
    sizes = np.array([len(stretch.around) for stretch in stretches])[:, np.newaxis]
    start = np.cumsum(sizes)[:, np.newaxis] - sizes
    first, last = _ends(stretches, sizes)
    n = sizes.astype(np.float64)

    # Of ones, line and values with one another: the sums that `_products` gives.
    length = (last - first).astype(np.float64)
    after = n - 1.0 - last
    begins, ends = y[start], y[start + sizes - 1]
    one_one = (n, 2.0 * (n - 1.0), 2.0)
    one_y = (0.0, -begins - ends, begins + ends)
    total = length * ((length + 1.0) / 2.0 + after)
    one_x = (total, 2.0 * total - length, length)
    square = length * ((length + 1.0) * (2.0 * length + 1.0) / 6.0 + length * after)
    xx = (square, 2.0 * square - length * (1.0 + length), length * length)
    product = partial[start + first] - partial[start + last]
    lagged = 2.0 * product + y[start + first] - y[start + last] - length * ends
    xy = (product, lagged, length * ends)

    # Ordinary least squares, for the correlation of what it leaves.
    slope = product / (square - total * total / n)
    height = -slope * total / n
    lagged = target[1] + height * (height * one_one[1] - 2.0 * one_y[1] + 2.0 * slope * one_x[1])
    lagged += slope * (slope * xx[1] - 2.0 * xy[1])
    rho = _correlation(target[0] - slope * product, lagged, n)

    aa, ab, bb = (_whitened(rho, *each) for each in (one_one, one_x, xx))
    ay, by, yy = (_whitened(rho, *each) for each in (one_y, xy, target))
    determinant = aa * bb - ab * ab
    height, slope = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
    criterion = _criterion(yy - height * ay - slope * by, n, 4)
    known = (criterion, first, last, height, slope, rho, aa / determinant)
    best = np.arange(len(stretches)), np.argmin(criterion, axis=1)
    return [_Line(*row) for row in zip(*(each[best].tolist() for each in known), strict=True)]


def _ends(
    stretches: Sequence[_Stretch], n: NDArray[np.int_]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Places where lines begin and end, beside each stretch's steps; [stretches, lines] int."""
    shares = np.arange(_GRID) / (_GRID - 1)
    latest = [each.steps[0] if each.steps else len(each.around) - 1 for each in stretches]
    earliest = [each.steps[-1] if each.steps else 0 for each in stretches]
    first = np.rint(np.array(latest)[:, np.newaxis] * shares).astype(int)
    # A line that would begin too late is one from the very first point, which is tried anyway.
    first = np.where(first + _LEAST_LENGTH <= n, first, 0)[:, :, np.newaxis]
    low = np.maximum(np.array(earliest)[:, np.newaxis, np.newaxis], first + _LEAST_LENGTH - 1)
    last = np.rint(low + (n[:, :, np.newaxis] - 1 - low) * shares).astype(int)
    lines = (len(stretches), _GRID * _GRID)
    return np.broadcast_to(first, last.shape).reshape(lines), last.reshape(lines)


def _double_sums(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each point, the sum over those before it of the sum of y up to there."""
    sums = y.cumsum()
    return np.asarray(sums.cumsum() - sums)


def _products(x: NDArray[np.float64]) -> tuple[float, float, float]:
    """The sum of squares, of products with the neighbours on both sides, of the ends' squares."""
    return float(x @ x), 2.0 * float(x[1:] @ x[:-1]), float(x[0] * x[0] + x[-1] * x[-1])


def _whitened(rho: _Sums, plain: _Sums, lagged: _Sums, ends: _Sums) -> NDArray[np.float64]:
    """The sum of products of innovations, x[0] sqrt(1 - rho^2) and x[i] - rho x[i - 1]."""
    square = rho * rho
    return np.asarray((1.0 + square) * plain - rho * lagged - square * ends)


def _correlation(plain: _Sums, lagged: _Sums, n: _Sums) -> NDArray[np.float64]:
    known = np.greater(plain, 0.0)
    rho = 0.5 * lagged / np.where(known, plain, 1.0)
    corrected = rho + (1.0 + 4.0 * np.maximum(rho, 0.0)) / n
    return np.where(known, np.minimum(np.maximum(corrected, 0.0), 0.95), 0.0)


def _criterion(squares: _Sums, n: _Sums, parameters: _Sums) -> NDArray[np.float64]:
    return np.asarray(n * np.log(np.maximum(squares, 1e-30) / n) + parameters * np.log(n))
