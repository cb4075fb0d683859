"""pCSR: compressed sparse rows cut into partitions of equal nnz, one thread each.

A partition computes the rows that begin in it, and of a row that began earlier its own share, the
*carry*, which is added once all partitions are done (MSREP, arXiv 2209.07552). The
kernel is compiled when this module is imported, so that compiling is no part of any step.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import float64, njit, prange, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.msrep.numba_parts import SUM_IN_ANY_ORDER, compile_s, count_partitions, describe
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
        pointer = matrix.indptr.astype(np.uint64)
        columns = matrix.indices.astype(np.uint32)
        values = np.array(matrix.data)
    with timed(spans, "partition"):
        parts = partition(matrix.indptr, count_partitions(partitions))
        bounds, begins = parts.bounds.astype(np.uint64), parts.begins.astype(np.uint64)
    y = np.full(matrix.shape[0], np.nan)
    carry = np.full(len(bounds) - 1, np.nan)
    kernel = partial(
        _multiply, pointer, columns, values, np.array(x), bounds, begins, carry, y
    )  # fmt: skip
    spans["compile"] = compile_s()
    return HostProduct(kernel, y, (carry,), spans, describe(parts))


@njit(
    float64(float64[::1], uint32[::1], float64[::1], uint64, uint64),
    fastmath=SUM_IN_ANY_ORDER,
    cache=True,
)
def _dot(values, columns, x, start, end):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(start, end):
        total += values[k] * x[columns[k]]
    return total


@njit(
    void(
        uint64[::1], uint32[::1], float64[::1], float64[::1],
        uint64[::1], uint64[::1], float64[::1], float64[::1],
    ),
    parallel=True,
    cache=True,
)  # fmt: skip
def _multiply(pointer, columns, values, x, bounds, begins, carry, y):  # type: ignore[no-untyped-def]
    for p in prange(carry.size):
        end = bounds[p + 1]
        first = begins[p]
        carry[p] = _dot(values, columns, x, bounds[p], min(pointer[first], end))
        for i in range(first, begins[p + 1]):
            y[i] = _dot(values, columns, x, pointer[i], min(pointer[i + uint64(1)], end))
    for p in range(carry.size):
        if bounds[p] < pointer[begins[p]]:
            y[begins[p] - uint64(1)] += carry[p]
