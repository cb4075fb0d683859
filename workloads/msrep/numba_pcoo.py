"""pCOO: coordinates sorted by row and cut into partitions of equal nnz, one thread each.

A partition adds up entries until the row changes. The row it shares with an earlier partition ends
in the *carry*, added once all partitions are done (MSREP, arXiv 2209.07552). The kernels
are compiled when this module is imported, so that compiling is no part of any step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import boolean, float64, int64, njit, prange, uint32, uint64, void
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
        every_row = np.arange(matrix.shape[0], dtype=np.uint32)
        rows = np.repeat(every_row, np.diff(matrix.indptr))
        columns = matrix.indices.astype(np.uint32)
        values = np.array(matrix.data)
    with timed(spans, "partition"):
        parts = partition(matrix.indptr, count_partitions(partitions))
        bounds = parts.bounds.astype(np.uint64)
    vector = np.array(x)
    y = np.full(matrix.shape[0], np.nan)
    carry = np.full(len(bounds) - 1, np.nan)

    def kernel() -> None:
        # Two functions, because numba may run two parallel loops of one function at once.
        _zero(y)
        _multiply(rows, columns, values, vector, bounds, parts.first, parts.first_shared, carry, y)

    spans["compile"] = compile_s()
    return HostProduct(kernel, y, (carry,), spans, describe(parts), x=vector)


@njit(void(float64[::1]), parallel=True, cache=True)
def _zero(y):  # type: ignore[no-untyped-def]
    for i in prange(y.size):
        y[i] = 0.0


@njit(
    void(
        uint32[::1], uint32[::1], float64[::1], float64[::1],
        uint64[::1], int64[::1], boolean[::1], float64[::1], float64[::1],
    ),
    parallel=True,
    cache=True,
    fastmath=SUM_IN_ANY_ORDER,
)  # fmt: skip
def _multiply(rows, columns, values, x, bounds, first, first_shared, carry, y):  # type: ignore[no-untyped-def]
    for p in prange(carry.size):
        carry[p] = 0.0
        if bounds[p] < bounds[p + 1]:
            shared = first_shared[p]
            row = rows[bounds[p]]
            total = 0.0
            for k in range(bounds[p], bounds[p + 1]):
                if rows[k] != row:
                    if shared:
                        carry[p] = total
                        shared = False
                    else:
                        y[row] = total
                    row = rows[k]
                    total = 0.0
                total += values[k] * x[columns[k]]
            if shared:
                carry[p] = total
            else:
                y[row] = total
    for p in range(carry.size):
        if first_shared[p]:
            y[first[p]] += carry[p]
