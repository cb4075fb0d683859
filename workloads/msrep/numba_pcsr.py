"""pCSR: compressed sparse rows cut into partitions of equal cost, one thread each.

A partition computes the rows that begin in it, and of a row that began earlier its own share, the
*carry*, which is added once all partitions are done (MSREP, arXiv 2209.07552). Other than there, a
row counts as `LINE_COST` entries beside its own, so that short rows do not make a part the slowest.

Entries are asked for before they are needed: the streams of values and columns, which come in
order, far ahead; where x is larger than a core's cache and met in no order, the elements of x. The
kernels are compiled when this module is imported, so that compiling is no part of any step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float64, prange, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.kernels.compiled import compiled
from workloads.msrep.features import features_of
from workloads.msrep.intrinsics import ONCE, SOON, ask_ahead, thread_s
from workloads.msrep.numba_parts import compile_s, count_partitions, describe
from workloads.msrep.partition import partition
from workloads.msrep.product import HostProduct, timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LINE_COST = 3
"""Entries that a row costs beside its own."""

_STREAM_AHEAD = 1024
"""Entries by which values and columns are asked for before they are needed."""

X_AHEAD = 128
"""Entries by which elements of x are; so many places follow the last column."""


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    return prepare_with(np.array(x), matrix, partitions)


def prepare_with(x: NDArray[np.float64], matrix: csr_array, partitions: int) -> HostProduct:
    """Return the product with an x that its owner may change."""
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        scattered = features_of(matrix).x_is_scattered
        pointer = matrix.indptr.astype(np.uint64)
        columns = padded(matrix.indices, X_AHEAD)
        values = np.array(matrix.data)
    with timed(spans, "partition"):
        parts = partition(matrix.indptr, count_partitions(partitions), LINE_COST)
        bounds, begins = parts.bounds.astype(np.uint64), parts.begins.astype(np.uint64)
    y = np.full(matrix.shape[0], np.nan)
    carry, busy = np.full((2, len(bounds) - 1), np.nan)
    # An x without elements cannot be asked for.
    multiply = multiply_scattered if scattered else multiply_streaming
    kernel = partial(
        multiply, pointer, columns, values, x, bounds, begins, carry, busy, y
    )  # fmt: skip
    spans["compile"] = compile_s()
    counters = {**describe(parts), "x_asked_ahead": float(scattered)}
    return HostProduct(kernel, y, (carry,), spans, counters, busy, x=x)


def padded(columns: NDArray[np.integer], more: int) -> NDArray[np.uint32]:
    """Return column indices as uint32, followed by so many zeros."""
    wide = np.zeros(columns.size + more, dtype=np.uint32)
    wide[: columns.size] = columns
    return wide


_DOT = float64(float64[::1], uint32[::1], float64[::1], uint64, uint64)


@compiled(_DOT, fastmath={"contract"})
def dot_streaming(values, columns, x, start, end):  # type: ignore[no-untyped-def]
    """Return the sum of values[k] x[columns[k]]; four sums, as one would wait for itself."""
    a = b = c = d = 0.0
    k = start
    while k + uint64(8) <= end:
        ask_ahead(values, k + uint64(_STREAM_AHEAD), ONCE)
        ask_ahead(columns, k + uint64(_STREAM_AHEAD), ONCE)
        a += values[k] * x[columns[k]]
        b += values[k + uint64(1)] * x[columns[k + uint64(1)]]
        c += values[k + uint64(2)] * x[columns[k + uint64(2)]]
        d += values[k + uint64(3)] * x[columns[k + uint64(3)]]
        a += values[k + uint64(4)] * x[columns[k + uint64(4)]]
        b += values[k + uint64(5)] * x[columns[k + uint64(5)]]
        c += values[k + uint64(6)] * x[columns[k + uint64(6)]]
        d += values[k + uint64(7)] * x[columns[k + uint64(7)]]
        k += uint64(8)
    while k < end:
        a += values[k] * x[columns[k]]
        k += uint64(1)
    return (a + b) + (c + d)


@compiled(_DOT, fastmath={"contract"})
def dot_scattered(values, columns, x, start, end):  # type: ignore[no-untyped-def]
    """Return the same sum, elements of x asked for `X_AHEAD` entries before."""
    a = b = c = d = 0.0
    k = start
    while k + uint64(4) <= end:
        for place in range(k + uint64(X_AHEAD), k + uint64(X_AHEAD + 4)):
            ask_ahead(x, uint64(columns[place]), SOON)
        a += values[k] * x[columns[k]]
        b += values[k + uint64(1)] * x[columns[k + uint64(1)]]
        c += values[k + uint64(2)] * x[columns[k + uint64(2)]]
        d += values[k + uint64(3)] * x[columns[k + uint64(3)]]
        k += uint64(4)
    while k < end:
        ask_ahead(x, uint64(columns[k + uint64(X_AHEAD)]), SOON)
        a += values[k] * x[columns[k]]
        k += uint64(1)
    return (a + b) + (c + d)


_MULTIPLY = void(
    uint64[::1], uint32[::1], float64[::1], float64[::1],
    uint64[::1], uint64[::1], float64[::1], float64[::1], float64[::1],
)  # fmt: skip


@compiled(inline="always")
def _dot(scattered: Any, values: Any, columns: Any, x: Any, start: Any, end: Any) -> Any:
    if scattered:
        return dot_scattered(values, columns, x, start, end)
    return dot_streaming(values, columns, x, start, end)


def _with(scattered: bool) -> Callable[..., Any]:
    # A flag and not the function itself: numba's cache would not know that again.
    @compiled(_MULTIPLY, parallel=True)
    def multiply(pointer, columns, values, x, bounds, begins, carry, busy, y):  # type: ignore[no-untyped-def]
        for p in prange(carry.size):
            began = thread_s()
            end = bounds[p + 1]
            first = begins[p]
            carry[p] = _dot(scattered, values, columns, x, bounds[p], min(pointer[first], end))
            for i in range(first, begins[p + 1]):
                y[i] = _dot(
                    scattered, values, columns, x, pointer[i], min(pointer[i + uint64(1)], end)
                )
            busy[p] = thread_s() - began
        for p in range(carry.size):
            if bounds[p] < pointer[begins[p]]:
                y[begins[p] - uint64(1)] += carry[p]

    return multiply


multiply_streaming = _with(scattered=False)
multiply_scattered = _with(scattered=True)
