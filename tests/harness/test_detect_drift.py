"""Drifts fitted from partial sums are those that a fit point by point of every line finds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.detect_drift import slopes

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """One line, fitted the slow way."""

    criterion: float
    first: int
    last: int
    slope: float
    error: float


def whitened(x: Values, rho: float) -> Values:
    return np.concatenate([x[:1] * np.sqrt(1.0 - rho * rho), x[1:] - rho * x[:-1]])


def correlation(rest: Values) -> float:
    if not rest @ rest > 0.0:
        return 0.0
    rho = float(rest[1:] @ rest[:-1] / (rest @ rest))
    return min(max(rho + (1.0 + 4.0 * max(rho, 0.0)) / len(rest), 0.0), 0.95)


def schwarz(innovations: Values, parameters: int) -> float:
    n = len(innovations)
    squares = max(float(innovations @ innovations), 1e-30)
    return float(n * np.log(squares / n) + parameters * np.log(n))


def fitted(y: Values, first: int, last: int) -> Fit:
    line = (np.clip(np.arange(len(y)), first, last) - first).astype(np.float64)
    design = np.stack([np.ones_like(line), line], axis=1)
    rho = correlation(y - design @ np.linalg.lstsq(design, y)[0])
    white = np.stack([whitened(column, rho) for column in design.T], axis=1)
    target = whitened(y, rho)
    found = np.linalg.lstsq(white, target)[0]
    rest = target - white @ found
    variance = rest @ rest / (len(y) - 4) * np.linalg.inv(white.T @ white)[1, 1]
    return Fit(schwarz(rest, 4), first, last, float(found[1]), float(np.sqrt(variance)))


def grid(low: int, high: int) -> list[int]:
    return sorted({round(low + (high - low) * i / 11) for i in range(12)}) if low <= high else []


def drift_of(values: Values, steps: list[int]) -> Fit | None:
    """The best of all lines beside the steps, if it is much better than they and far from level."""
    y, n = values - values.mean(), len(values)
    cuts = [0, *steps, n]
    parts = [y[a:b] - y[a:b].mean() for a, b in pairwise(cuts)]
    rest = np.concatenate(parts)
    level = schwarz(whitened(rest, correlation(rest)), 2 * len(steps) + 1)
    latest, earliest = (steps[0], steps[-1]) if steps else (n - 1, 0)
    lines = [
        fitted(y, first, last)
        for first in grid(0, latest)
        for last in grid(max(earliest, first + 11), n - 1)
    ]
    best = min(lines, key=lambda line: line.criterion)
    clear = best.criterion + 6.0 <= level and abs(best.slope) >= 6.0 * best.error
    return best if clear else None


def history(seed: int, points: int, rho: float, per_point: float) -> Values:
    rng = np.random.default_rng(seed)
    first, last = np.sort(rng.integers(0, points, 2))
    noise = lfilter([0.01], [1.0, -rho], rng.standard_normal(points))
    drift = per_point * (np.clip(np.arange(points), first, last) - first)
    return np.asarray(rng.normal(0.0, 3.0) + noise + drift, np.float64)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(12, 150),
    st.sampled_from([0.0, 0.6, 0.9]),
    st.sampled_from([0.0, 0.001, 0.01, 0.1]),
    st.lists(st.integers(1, 149), max_size=3, unique=True),
)
@settings(max_examples=30, deadline=None)
def test_a_drift_is_the_best_of_all_lines_fitted_point_by_point(
    seed: int, points: int, rho: float, per_point: float, at: list[int]
) -> None:
    values = history(seed, points, rho, per_point)
    steps = sorted(index for index in at if index < points)
    expected = drift_of(values, steps)
    found = slopes(values, [(index, True) for index in steps], [])
    if expected is None:
        assert not found
    else:
        [slope] = found
        assert (slope.first, slope.last) == (expected.first, expected.last)
        assert slope.steps == tuple(steps)
        assert slope.per_point == pytest.approx(expected.slope, rel=1e-8)
        assert slope.error == pytest.approx(expected.error, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(5, 100), min_size=2, max_size=4))
@settings(max_examples=20, deadline=None)
def test_a_stretch_between_environments_is_fitted_as_if_it_were_alone(
    seed: int, lengths: list[int]
) -> None:
    # Levels that differ by orders of magnitude must not cost the quieter ones their digits.
    scales = 10.0 ** np.random.default_rng(seed).integers(-5, 3, len(lengths))
    parts = [
        scale * history(seed + i, length, 0.3, 0.01)
        for i, (length, scale) in enumerate(zip(lengths, scales, strict=True))
    ]
    starts = np.cumsum([0, *lengths])[:-1].tolist()
    together = slopes(np.concatenate(parts), [], starts)
    alone = [
        (start + slope.first, start + slope.last, slope.per_point, slope.error)
        for start, part in zip(starts, parts, strict=True)
        for slope in slopes(part, [], [])
    ]
    assert [(s.first, s.last, s.per_point, s.error) for s in together] == alone


def test_a_line_without_noise_is_found_and_a_level_without_noise_has_none() -> None:
    [slope] = slopes(np.linspace(0.0, 0.177, 60), [], [])
    assert (slope.first, slope.last) == (0, 59)
    assert slope.per_point == pytest.approx(0.003)
    assert slope.error < 1e-12
    assert not slopes(np.full(60, 7.0), [], [])
