"""Rows in few bits, and how far a product of two of them can be from that of the rows themselves.

The rows h and t have length 1. Let p and q be what is kept of h s and t s, where s is a scale. By
the inequalities of Cauchy and Schwarz and of the triangle,

    |s h . s t - p . q| <= |s h - p| |s t| + |p| |s t - q| <= s (a + b) + a b,

where a = |s h - p| and b = |s t - q| are known when the rows are packed, and a b is at most
(a a + b b) / 2. So a cosine above the margin m implies

    p . q + (s b + b b / 2) > s s (m - r) - (s a + a a / 2),

in which every term belongs to one row alone: the right-hand side is the limit of a row of users,
the bracket on the left the bias of a column of negatives. r is what rounding can add to a product
of float32, at most dim 2^-24 for each of the two computations. No negative that counts is lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workloads.kernels.compiled import compiled

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.int32]

_float = np.float32
LEVELS = _float(127)
OFFSET = 128
"""Added to the int8 values of negatives: x86 multiplies unsigned by signed values."""

_DEVIATIONS = _float(4)
"""Standard deviations of a component of a random unit vector that the levels span. What lies beyond
is cut off, and counts as an error."""

_BFLOAT16_ERROR = _float(2.0**-8)
"""Of rounding to eight significant bits: half of the last one's weight at most, relative."""

_ROUNDING = _float(1e-4)
"""More than float32 rounds errors of int8 rows by, in levels and relative."""


@compiled(forceinline=True)
def rounding(dim: int) -> np.float32:
    """Return twice what rounding can move a product of float32 rows of length 1 by."""
    return _float(2 * (dim + 8)) * _float(2.0**-24)


@compiled(forceinline=True)
def scale(dim: int) -> np.float32:
    """Return the int8 levels a component of 1 would have."""
    return _float(LEVELS * np.sqrt(_float(dim)) / _DEVIATIONS)


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def pack_user_int8(
    rows: Floats, row: int, packed: npt.NDArray[np.int8], limit: Words, margin: np.float32, dim: int
) -> None:
    """Write a row of users as int8, and its limit.

    Args:
        rows: float32 (n, dim), of length 1.
        row: which one.
        packed: int8 (n, dim), written.
        limit: int32 (n,), written.
        margin: cosine above which a negative counts.
        dim: columns.
    """
    levels = scale(dim)
    square = _float(0)
    total = np.int32(0)
    for d in range(dim):
        exact = rows[row, d] * levels
        whole = min(max(np.rint(exact), -LEVELS), LEVELS)
        square += (exact - whole) * (exact - whole)
        total += np.int32(whole)
        packed[row, d] = np.int8(whole)
    error = np.sqrt(square) * (_float(1) + _ROUNDING) + _ROUNDING
    least = levels * levels * (margin - rounding(dim)) - levels * error - error * error / _float(2)
    limit[row] = np.int32(np.floor(least)) - 1 + OFFSET * total


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def pack_negative_int8(
    rows: Floats, row: int, packed: npt.NDArray[np.uint8], to: int, bias: Words, dim: int
) -> None:
    """Write a row of negatives as uint8, `OFFSET` added, and its bias, both at `to`."""
    levels = scale(dim)
    square = _float(0)
    for d in range(dim):
        exact = rows[row, d] * levels
        whole = min(max(np.rint(exact), -LEVELS), LEVELS)
        square += (exact - whole) * (exact - whole)
        packed[to, d] = np.uint8(np.int32(whole) + OFFSET)
    error = np.sqrt(square) * (_float(1) + _ROUNDING) + _ROUNDING
    bias[to] = np.int32(np.ceil(levels * error + error * error / _float(2))) + 1


@compiled(forceinline=True)
def pack_bfloat16(
    bits: npt.NDArray[np.uint32], row: int, packed: npt.NDArray[np.uint16], to: int, dim: int
) -> None:
    """Write a row, given as the bits of its float32, rounded to bfloat16, ties to even, at `to`."""
    for d in range(dim):
        exact = bits[row, d]
        odd = (exact >> np.uint32(16)) & np.uint32(1)
        packed[to, d] = (exact + np.uint32(0x7FFF) + odd) >> np.uint32(16)


@compiled(forceinline=True)
def limit_bfloat16(margin: np.float32, dim: int) -> np.float32:
    """Return the limit of every row of bfloat16; the bias is 0."""
    error = _BFLOAT16_ERROR
    return margin - (_float(2) * error + error * error) - _float(2) * rounding(dim)


@compiled(forceinline=True)
def limit_float32(margin: np.float32, dim: int) -> np.float32:
    """Return the limit of every row of float32; the bias is 0."""
    return margin - _float(2) * rounding(dim)
