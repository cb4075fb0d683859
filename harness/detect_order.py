"""Mean, median and deciles of few points, for which NumPy's own take longer to start than to run.

They give what NumPy's do, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean(values: NDArray[np.float64]) -> float:
    """Return the mean of at least one value; [points] float64."""
    return float(np.add.reduce(values)) / len(values)


def median(values: NDArray[np.float64]) -> float:
    """Return the median of at least one value; [points] float64."""
    middle = len(values) // 2
    parted = np.partition(values, [middle - 1, middle])
    if len(values) % 2:
        return float(parted[middle])
    return float((parted[middle - 1] + parted[middle]) / 2.0)


def deciles(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the first and the last decile of at least one value; [points] float64."""
    ordered = np.sort(values)
    return _between(ordered, 0.1 * (len(ordered) - 1)), _between(ordered, 0.9 * (len(ordered) - 1))


def _between(ordered: NDArray[np.float64], place: float) -> float:
    below = int(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    share, step = place - below, high - low
    return low + step * share if share < 0.5 else high - step * (1.0 - share)
