"""pCSC: compressed sparse columns cut into partitions of equal nnz, one thread each.

Columns scatter into all of y, so that each partition fills a y of its own, and these are added up
row by row (MSREP, arXiv 2209.07552). The kernels are compiled when this module is
imported, so that compiling is no part of any step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import float64, int64, njit, prange, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.msrep.numba_parts import compile_s, count_partitions, describe
from workloads.msrep.partition import partition
from workloads.msrep.product import HostProduct, timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        columnwise = matrix.tocsc()
        pointer = columnwise.indptr.astype(np.uint64)
        rows = columnwise.indices.astype(np.uint32)
        values = np.array(columnwise.data)
    with timed(spans, "partition"):
        parts = partition(columnwise.indptr, count_partitions(partitions))
        bounds = parts.bounds.astype(np.uint64)
    vector = np.array(x)
    y = np.full(matrix.shape[0], np.nan)
    partial_y = np.full((len(bounds) - 1, matrix.shape[0]), np.nan)

    def kernel() -> None:
        # Two functions, because numba may run two parallel loops of one function at once.
        _scatter(pointer, rows, values, vector, bounds, parts.first, parts.last, partial_y)
        _merge(partial_y, y)

    spans["compile"] = compile_s()
    return HostProduct(kernel, y, (partial_y,), spans, describe(parts), x=vector)


@njit(
    void(
        uint64[::1], uint32[::1], float64[::1], float64[::1],
        uint64[::1], int64[::1], int64[::1], float64[:, ::1],
    ),
    parallel=True,
    cache=True,
)  # fmt: skip
def _scatter(pointer, rows, values, x, bounds, first, last, partial_y):  # type: ignore[no-untyped-def]
    for p in prange(partial_y.shape[0]):
        y = partial_y[p]
        for i in range(y.size):
            y[i] = 0.0
        start, end = bounds[p], bounds[p + 1]
        if start < end:
            for j in range(uint64(first[p]), uint64(last[p]) + uint64(1)):
                factor = x[j]
                for k in range(max(pointer[j], start), min(pointer[j + uint64(1)], end)):
                    y[rows[k]] += values[k] * factor


@njit(void(float64[:, ::1], float64[::1]), parallel=True, cache=True)
def _merge(partial_y, y):  # type: ignore[no-untyped-def]
    for i in prange(y.size):
        total = 0.0
        for p in range(partial_y.shape[0]):
            total += partial_y[p, i]
        y[i] = total
