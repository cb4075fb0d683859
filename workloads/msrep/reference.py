"""The slow, obvious product that every variant is held against, and the bound on its rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNIT_ROUNDOFF = 2.0**-53
"""u of IEEE 754 binary64, rounding to nearest."""

_BLOCK = 1 << 20
"""Entries handled at once, so that the temporaries stay within tens of MB."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The product and how far float64 may stray from it.

    Attributes:
        y: shape (rows,), float64: A x, summed in the longest float that NumPy has.
        bound: shape (rows,), float64: 2 (nnz_i + 2) u (|A||x|)_i.
    """

    y: NDArray[np.float64]
    bound: NDArray[np.float64]


def reference(matrix: csr_array, x: NDArray[np.float64]) -> Reference:
    """Return A x, one entry after the other, and the rounding bound of each of its rows.

    A dot product of n terms strays by at most n u / (1 - n u) times that of the absolute values,
    in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
    section 3.1). Twice (n + 2) u leaves room for a reference that is itself only float64.
    """
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), lengths)
    y = np.zeros(matrix.shape[0], dtype=np.longdouble)
    magnitude = np.zeros(matrix.shape[0], dtype=np.longdouble)
    for start in range(0, matrix.nnz, _BLOCK):
        part = slice(start, start + _BLOCK)
        terms = matrix.data[part].astype(np.longdouble) * x[matrix.indices[part]]
        np.add.at(y, row[part], terms)
        np.add.at(magnitude, row[part], np.abs(terms))
    bound = 2.0 * (lengths + 2.0) * UNIT_ROUNDOFF * magnitude
    return Reference(y.astype(np.float64), bound.astype(np.float64))


def worst_ratio(y: NDArray[np.float64], expected: Reference) -> tuple[float, int]:
    """Return the largest |y - y_ref|_i / bound_i and its row i; (0.0, -1) without rows.

    A row whose bound is 0 has ratio 0 where it is exactly right, else infinity. NaN in y is NaN.
    """
    if not len(expected.y):
        return 0.0, -1
    distance = np.abs(y - expected.y)
    exact = np.where(distance > 0, np.inf, distance)
    ratios = np.divide(distance, expected.bound, out=exact, where=expected.bound > 0)
    worst = int(np.argmax(ratios))
    return float(ratios[worst]), worst
