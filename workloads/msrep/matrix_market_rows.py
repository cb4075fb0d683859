"""Puts entries in the order of their files into compressed sparse rows, both triangles at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import boolean, float64, int32, int64, void
from numpy.typing import NDArray
from scipy.sparse import csr_array

from workloads.kernels.compiled import compiled

_INT32_MAX = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class Entries:
    """Some entries of a file: rows and columns from 0, int32, and float64 values."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    value: NDArray[np.float64]


def compressed(entries: Sequence[Entries], shape: tuple[int, int], mirrored: float) -> csr_array:
    """Return the matrix; entries that name the same place are summed, the indices sorted.

    Args:
        entries: in the order of the file.
        shape: rows and columns.
        mirrored: 0, or the factor with which an entry beside the diagonal also stands across it.
    """
    pointer: NDArray[np.int32 | np.int64] = np.zeros(shape[0] + 1, dtype=np.int64)
    for part in entries:
        _count(part.row, part.column, mirrored != 0.0, pointer)
    np.cumsum(pointer, out=pointer)
    nnz = int(pointer[-1])
    pointer = pointer.astype(np.int32 if nnz <= _INT32_MAX else np.int64)
    columns, values = np.empty(nnz, dtype=pointer.dtype), np.empty(nnz)
    following = pointer[:-1].copy()
    for part in entries:
        _place(part.row, part.column, part.value, mirrored, following, columns, values)
    matrix: csr_array = csr_array((values, columns, pointer), shape=shape)
    matrix.sum_duplicates()
    return matrix


@compiled(void(int32[::1], int32[::1], boolean, int64[::1]))
def _count(row, column, mirrored, pointer):  # type: ignore[no-untyped-def]
    for k in range(row.size):
        i, j = np.uint64(row[k]), np.uint64(column[k])
        pointer[i + np.uint64(1)] += 1
        if mirrored and i != j:
            pointer[j + np.uint64(1)] += 1


# An entry and its mirror image are placed one after the other: of a triangle sorted by columns,
# as public collections store it, every row then comes out sorted.
@compiled(
    *[
        void(int32[::1], int32[::1], float64[::1], float64, kind[::1], kind[::1], float64[::1])
        for kind in (int32, int64)
    ],
)
def _place(row, column, value, mirrored, following, columns, values):  # type: ignore[no-untyped-def]
    for k in range(row.size):
        i, j = np.uint64(row[k]), np.uint64(column[k])
        at = np.uint64(following[i])
        columns[at] = j
        values[at] = value[k]
        following[i] += 1
        if mirrored != 0.0 and i != j:
            at = np.uint64(following[j])
            columns[at] = i
            values[at] = mirrored * value[k]
            following[j] += 1
