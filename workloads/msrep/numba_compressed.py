"""Compressed rows whose column indices take as few bytes as the matrix allows.

- Slices: up to eight rows share their indices (`shared_slices.py`), where that leaves at most
  `SHARED` of them.
- 16 bits: distances from the first column of the row, where no row spans more than 65,536 columns.
- 32 bits, as in pCSR, elsewhere: then there is nothing to gain.

What a product declares to move is what its own indices take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import float64, prange, uint16, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.kernels.compiled import compiled
from workloads.msrep import numba_pcsr, shared_slices
from workloads.msrep.features import features_of
from workloads.msrep.intrinsics import ONCE, ask_ahead, thread_s
from workloads.msrep.numba_parts import compile_s, count_partitions, describe, describe_whole
from workloads.msrep.numba_pcsr import LINE_COST, padded
from workloads.msrep.partition import partition
from workloads.msrep.product import HostProduct, timed, together
from workloads.msrep.shared_slices import Slices

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SHARED = 0.4
"""Indices that slices may keep, of all: with two rows a slice they gain nothing."""

_SLICE_COST = 16
"""Of a slice, in entries."""

_STREAM_AHEAD = 1024


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        slices = slices_of(matrix)
    if slices is not None:
        return prepare_slices(matrix, slices, x, partitions, spans)
    with timed(spans, "convert"):
        is_narrow = features_of(matrix).span < 1 << 16
    if is_narrow:
        return _prepare_distances(matrix, x, count_partitions(partitions), spans)
    product = numba_pcsr.prepare(matrix, x, device, partitions)
    return replace(product, spans=together(spans, product.spans))


def slices_of(matrix: csr_array) -> Slices | None:
    """Return the slices of a matrix whose rows share columns; None where they do not."""
    if not matrix.nnz:
        return None
    pointer = matrix.indptr.astype(np.int64)
    slices = shared_slices.find_slices(pointer, matrix.indices.astype(np.uint32))
    return slices if slices.columns[-1] <= SHARED * matrix.nnz else None


def prepare_slices(
    matrix: csr_array,
    slices: Slices,
    x: NDArray[np.float64],
    partitions: int,
    spans: dict[str, float],
) -> HostProduct:
    """Return the product by slices that were found; what it takes is added to `spans`."""
    more, count = shared_slices.HEIGHT, count_partitions(partitions)
    with timed(spans, "convert"):
        pointer = matrix.indptr.astype(np.int64)
        indices = matrix.indices.astype(np.uint32)
        kept = np.empty(int(slices.columns[-1]), dtype=np.uint32)
        starts = shared_slices.value_starts(pointer, slices)
        values = shared_slices.aligned_zeros(int(starts[-1]) + more)
        shared_slices.fill(
            pointer,
            indices,
            np.require(matrix.data, requirements="W"),
            slices.rows,
            slices.columns,
            starts,
            kept,
            values,
        )
    with timed(spans, "partition"):
        parts = partition(pointer[slices.rows], count, _SLICE_COST)
    y = np.full(matrix.shape[0], np.nan)
    busy = np.full(count, np.nan)
    vector = np.concatenate((x, np.zeros(more)))
    kernel = partial(
        shared_slices.multiply, slices.rows, slices.along, slices.columns, starts, kept, values,
        vector, parts.begins, busy, y,
    )  # fmt: skip
    spans["compile"] = compile_s()
    # Of a slice: its first row, its kind, and where its columns and its values begin.
    index_bytes = kept.nbytes + 4 * slices.rows.nbytes
    x_read = vector[: x.size]
    told = describe_whole(pointer[slices.rows], parts)
    return _product(matrix, kernel, y, (), spans, told, busy, index_bytes, x_read)


def _prepare_distances(
    matrix: csr_array, x: NDArray[np.float64], count: int, spans: dict[str, float]
) -> HostProduct:
    with timed(spans, "convert"):
        pointer = matrix.indptr.astype(np.uint64)
        indices = padded(matrix.indices, 1)
        base = indices[matrix.indptr[:-1]]
        distances = np.empty(matrix.nnz, dtype=np.uint16)
        _measure(pointer, indices, base, distances)
        values = np.array(matrix.data)
    with timed(spans, "partition"):
        parts = partition(matrix.indptr, count, LINE_COST)
        bounds, begins = parts.bounds.astype(np.uint64), parts.begins.astype(np.uint64)
    y = np.full(matrix.shape[0], np.nan)
    carry, busy = np.full((2, count), np.nan)
    vector = np.array(x)
    kernel = partial(
        _multiply, pointer, base, distances, values, vector, bounds, begins, carry, busy, y
    )
    spans["compile"] = compile_s()
    index_bytes = distances.nbytes + base.nbytes + pointer.nbytes
    told = describe(parts)
    return _product(matrix, kernel, y, (carry,), spans, told, busy, index_bytes, vector)


def _product(
    matrix: csr_array,
    kernel: Callable[[], None],
    y: NDArray[np.float64],
    scratch: tuple[NDArray[np.float64], ...],
    spans: Mapping[str, float],
    told: Mapping[str, float],
    busy: NDArray[np.float64],
    index_bytes: int,
    x: NDArray[np.float64],
) -> HostProduct:
    counters = {**told, "index_bytes_per_entry": index_bytes / max(1, matrix.nnz)}
    return HostProduct(kernel, y, scratch, spans, counters, busy, index_bytes, x=x)


@compiled(void(uint64[::1], uint32[::1], uint32[::1], uint16[::1]), parallel=True)
def _measure(pointer, indices, base, distances):  # type: ignore[no-untyped-def]
    for row in prange(base.size):
        for k in range(pointer[row], pointer[row + 1]):
            distances[k] = indices[k] - base[row]


@compiled(
    float64(float64[::1], uint16[::1], float64[::1], uint64, uint64, uint64),
    fastmath={"contract"},
)
def _dot(values, distances, x, base, start, end):  # type: ignore[no-untyped-def]
    a = b = c = d = 0.0
    k = start
    while k + uint64(8) <= end:
        ask_ahead(values, k + uint64(_STREAM_AHEAD), ONCE)
        ask_ahead(distances, k + uint64(_STREAM_AHEAD), ONCE)
        a += values[k] * x[base + distances[k]]
        b += values[k + uint64(1)] * x[base + distances[k + uint64(1)]]
        c += values[k + uint64(2)] * x[base + distances[k + uint64(2)]]
        d += values[k + uint64(3)] * x[base + distances[k + uint64(3)]]
        a += values[k + uint64(4)] * x[base + distances[k + uint64(4)]]
        b += values[k + uint64(5)] * x[base + distances[k + uint64(5)]]
        c += values[k + uint64(6)] * x[base + distances[k + uint64(6)]]
        d += values[k + uint64(7)] * x[base + distances[k + uint64(7)]]
        k += uint64(8)
    while k < end:
        a += values[k] * x[base + distances[k]]
        k += uint64(1)
    return (a + b) + (c + d)


@compiled(
    void(
        uint64[::1], uint32[::1], uint16[::1], float64[::1], float64[::1], uint64[::1],
        uint64[::1], float64[::1], float64[::1], float64[::1],
    ),
    parallel=True,
)  # fmt: skip
def _multiply(pointer, base, distances, values, x, bounds, begins, carry, busy, y):  # type: ignore[no-untyped-def]
    for p in prange(carry.size):
        began = thread_s()
        end = bounds[p + 1]
        first = begins[p]
        carry[p] = 0.0
        if first > 0:
            carry[p] = _dot(
                values, distances, x, uint64(base[first - uint64(1)]), bounds[p],
                min(pointer[first], end),
            )  # fmt: skip
        for i in range(first, begins[p + 1]):
            stop = min(pointer[i + uint64(1)], end)
            y[i] = _dot(values, distances, x, uint64(base[i]), pointer[i], stop)
        busy[p] = thread_s() - began
    for p in range(carry.size):
        if bounds[p] < pointer[begins[p]]:
            y[begins[p] - uint64(1)] += carry[p]
