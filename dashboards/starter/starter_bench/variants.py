"""The implementations that are compared; add one here and name it in `workload.py`."""

import numpy as np


def sort(numbers: np.ndarray, k: int) -> np.ndarray:
    """Sort all and take the first ones: the baseline."""
    return np.sort(numbers)[:k]


def partition(numbers: np.ndarray, k: int) -> np.ndarray:
    """Move the smallest to the front, then sort only those."""
    return np.sort(np.partition(numbers, k - 1)[:k])
