"""SELL-8-sigma: slices of eight rows of about equal length, their entries interleaved.

After Kreutzer et al., "A Unified Sparse Matrix Data Format for Efficient General Sparse
Matrix-Vector Multiplication on Modern Processors with Wide SIMD Units" (SIAM J. Sci. Comput. 36,
2014): within each `SIGMA` rows the longest come first, and eight rows that follow each other are
filled up to the longest of them. Eight sums are then independent of each other and end together.
Filled places point at a zero behind x, so that an x of NaN or infinity harms no row. Rows far
longer than the others are done by pCSR. Up to 65,535 columns are told by 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float64, int64, prange, types, uint16, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.kernels.compiled import compiled
from workloads.msrep.features import SCATTERED_LINES, features_of
from workloads.msrep.intrinsics import ONCE, SOON, ask_ahead, thread_s
from workloads.msrep.long_rows import with_long_rows
from workloads.msrep.numba_parts import compile_s, count_partitions, describe_whole
from workloads.msrep.partition import partition
from workloads.msrep.product import HostProduct, timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

HEIGHT = 8
"""Rows of a slice: a cache line of values."""

SIGMA = 16_384
"""Rows that are sorted by length together: their y stays in a core's cache."""

_SLICE_COST = 24
"""Of a slice, in entries: eight sums are written to as many places."""

_STREAM_AHEAD = 1024
_X_AHEAD = 256


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    return prepare_with(np.append(x, 0.0), matrix, partitions)


def prepare_with(
    x_and_zero: NDArray[np.float64], matrix: csr_array, partitions: int
) -> HostProduct:
    """Return the product with an x that its owner may change, shape (columns + 1,), the last 0."""
    return with_long_rows(_prepare, matrix, x_and_zero, partitions)


def _prepare(matrix: csr_array, x: NDArray[np.float64], partitions: int) -> HostProduct:
    rows, width = matrix.shape
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        scattered = features_of(matrix).lines_per_entry > SCATTERED_LINES
        lengths = np.zeros(-(-rows // HEIGHT) * HEIGHT, dtype=np.int64)
        lengths[:rows] = np.diff(matrix.indptr)
        order = _order(lengths)
        longest = lengths[order].reshape(-1, HEIGHT).max(axis=1)
        pointer = np.concatenate(([0], np.cumsum(longest * HEIGHT))).astype(np.uint64)
        narrow = np.uint16 if width < 1 << 16 else np.uint32
        columns = np.full(int(pointer[-1]) + _X_AHEAD + HEIGHT, width, dtype=narrow)
        values = np.zeros(int(pointer[-1]))
        starts = np.zeros(lengths.size, dtype=np.int64)
        starts[:rows] = matrix.indptr[:-1]
        indices = matrix.indices.astype(np.uint32, copy=False)
        data = np.require(matrix.data, requirements="W")
        _fill(pointer, order, lengths, starts, indices, data, columns, values)
    with timed(spans, "partition"):
        parts = partition(pointer, count_partitions(partitions), _SLICE_COST)
        begins = parts.begins.astype(np.uint64)
    # One place more than rows: where the sums of rows that fill the last slice go.
    y = np.full(rows + 1, np.nan)
    place = np.minimum(order, rows).astype(np.uint32)
    busy = np.full(len(begins) - 1, np.nan)
    multiply = _multiply_scattered if scattered else _multiply_streaming
    kernel = partial(multiply, pointer, columns, values, x, place, begins, busy, y)
    spans["compile"] = compile_s()
    counters = {
        **describe_whole(pointer, parts),
        "filled_share": float(values.size / max(1, matrix.nnz) - 1),
        "x_asked_ahead": float(scattered),
    }
    index_bytes = columns.nbytes + pointer.nbytes + place.nbytes
    least = index_bytes if narrow is np.uint16 else None
    return HostProduct(kernel, y[:rows], (), spans, counters, busy, least, x=x[:width])


def _order(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows, within each `SIGMA` of them the longest first, equal ones as they came."""
    window = np.arange(lengths.size) // SIGMA
    return np.lexsort((-lengths, window))


def _filling(columns: types.Type) -> Any:
    return void(
        uint64[::1], int64[::1], int64[::1], int64[::1], uint32[::1], float64[::1], columns[::1],
        float64[::1],
    )  # fmt: skip


@compiled(_filling(uint16), _filling(uint32), parallel=True)
def _fill(pointer, order, lengths, starts, indices, data, columns, values):  # type: ignore[no-untyped-def]
    for at in prange(pointer.size - 1):
        for lane in range(HEIGHT):
            row = order[at * HEIGHT + lane]
            for k in range(lengths[row]):
                to = pointer[at] + uint64(k * HEIGHT + lane)
                columns[to] = indices[starts[row] + k]
                values[to] = data[starts[row] + k]


def _multiplying(columns: types.Type) -> Any:
    return void(
        uint64[::1], columns[::1], float64[::1], float64[::1], uint32[::1], uint64[::1],
        float64[::1], float64[::1],
    )  # fmt: skip


def _with(scattered: bool) -> Callable[..., None]:
    @compiled(_multiplying(uint16), _multiplying(uint32), parallel=True, fastmath={"contract"})
    def multiply(pointer, columns, values, x, place, begins, busy, y):  # type: ignore[no-untyped-def]
        for p in prange(busy.size):
            began = thread_s()
            for at in range(begins[p], begins[p + 1]):
                a = b = c = d = e = f = g = h = 0.0
                k = pointer[at]
                while k < pointer[at + uint64(1)]:
                    ask_ahead(values, k + uint64(_STREAM_AHEAD), ONCE)
                    ask_ahead(columns, k + uint64(_STREAM_AHEAD), ONCE)
                    if scattered:
                        for later in range(k + uint64(_X_AHEAD), k + uint64(_X_AHEAD + HEIGHT)):
                            ask_ahead(x, uint64(columns[later]), SOON)
                    a += values[k] * x[columns[k]]
                    b += values[k + uint64(1)] * x[columns[k + uint64(1)]]
                    c += values[k + uint64(2)] * x[columns[k + uint64(2)]]
                    d += values[k + uint64(3)] * x[columns[k + uint64(3)]]
                    e += values[k + uint64(4)] * x[columns[k + uint64(4)]]
                    f += values[k + uint64(5)] * x[columns[k + uint64(5)]]
                    g += values[k + uint64(6)] * x[columns[k + uint64(6)]]
                    h += values[k + uint64(7)] * x[columns[k + uint64(7)]]
                    k += uint64(HEIGHT)
                first = uint64(at) * uint64(HEIGHT)
                y[place[first]] = a
                y[place[first + uint64(1)]] = b
                y[place[first + uint64(2)]] = c
                y[place[first + uint64(3)]] = d
                y[place[first + uint64(4)]] = e
                y[place[first + uint64(5)]] = f
                y[place[first + uint64(6)]] = g
                y[place[first + uint64(7)]] = h
            busy[p] = thread_s() - began

    return multiply


_multiply_streaming = _with(scattered=False)
_multiply_scattered = _with(scattered=True)
