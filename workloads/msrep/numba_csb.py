"""CSB: compressed sparse blocks, tiles of 65,536 rows and columns with indices of 16 bits.

After Buluc et al., "Parallel Sparse Matrix-Vector and Matrix-Transpose-Vector Multiplication Using
Compressed Sparse Blocks" (SPAA 2009). Row and column within a tile take 16 bits each, so an entry
takes as many bytes as in compressed rows, and no row is a loop of its own: that pays where rows
are short, as each end of such a loop is guessed wrong. Within a tile entries stay in row order
(there: in Morton order). Partitions take equal parts of the entries; what one adds to a row of
tiles that an earlier one began, it adds to an array of its own, the *carry*. Rows far longer than
the others, whose entries would wait for each other, are done by pCSR.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numba import boolean, float64, int64, prange, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.kernels.compiled import compiled
from workloads.msrep.features import features_of
from workloads.msrep.intrinsics import SOON, ask_ahead, thread_s
from workloads.msrep.long_rows import with_long_rows
from workloads.msrep.numba_parts import compile_s, count_partitions, describe
from workloads.msrep.partition import partition
from workloads.msrep.product import HostProduct, timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BITS = 16
SIDE = 1 << _BITS
"""Rows and columns of a tile."""

_LOW = SIDE - 1
_X_AHEAD = 32
_LINE_COST = SIDE // 16
"""Of a row of tiles, in entries: its part of y is set to 0."""


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    return with_long_rows(_prepare, matrix, np.array(x), partitions)


def _prepare(matrix: csr_array, x: NDArray[np.float64], partitions: int) -> HostProduct:
    rows, width = matrix.shape
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        scattered = features_of(matrix).x_is_scattered
        lines, across = -(-rows // SIDE), max(1, -(-width // SIDE))
        tiles = np.zeros(lines * across + 1, dtype=np.int64)
        places = np.zeros(matrix.nnz + _X_AHEAD, dtype=np.uint32)
        values = np.empty(matrix.nnz)
        pointer = matrix.indptr.astype(np.int64)
        indices = matrix.indices.astype(np.uint32, copy=False)
        data = np.require(matrix.data, requirements="W")
        _tile(pointer, indices, data, across, tiles, places, values)
        bounds = tiles.astype(np.uint64)
    with timed(spans, "partition"):
        parts = partition(tiles[::across], count_partitions(partitions), _LINE_COST)
        cuts, begins = parts.bounds.astype(np.uint64), parts.begins.astype(np.uint64)
    y = np.full(rows, np.nan)
    carry = np.full((len(cuts) - 1, min(SIDE, rows)), np.nan)
    busy = np.full(len(cuts) - 1, np.nan)
    multiply = partial(
        _multiply, bounds, uint64(across), places, values, x, cuts, begins, scattered,
        carry, busy, y,
    )  # fmt: skip

    def kernel() -> None:
        # Two functions, because numba may run two parallel loops of one function at once.
        multiply()
        _merge(bounds, uint64(across), cuts, begins, carry, y)

    spans["compile"] = compile_s()
    counters = {**describe(parts), "tiles": float(lines * across)}
    return HostProduct(kernel, y, (carry,), spans, counters, busy, x=x)


@compiled(void(int64[::1], uint32[::1], float64[::1], int64, int64[::1], uint32[::1], float64[::1]))
def _tile(pointer, indices, data, across, tiles, places, values):  # type: ignore[no-untyped-def]
    """Sort entries by tile, in row order within; `tiles` becomes where each tile begins."""
    for row in range(pointer.size - 1):
        for k in range(pointer[row], pointer[row + 1]):
            tiles[(row >> _BITS) * across + (int64(indices[k]) >> _BITS) + 1] += 1
    for tile in range(tiles.size - 1):
        tiles[tile + 1] += tiles[tile]
    to = tiles[:-1].copy()
    for row in range(pointer.size - 1):
        for k in range(pointer[row], pointer[row + 1]):
            column = int64(indices[k])
            tile = (row >> _BITS) * across + (column >> _BITS)
            places[to[tile]] = uint32((row & _LOW) << _BITS | (column & _LOW))
            values[to[tile]] = data[k]
            to[tile] += 1


@compiled(
    void(
        uint64[::1], uint64, uint64, uint32[::1], float64[::1], float64[::1], uint64, uint64,
        boolean, float64[::1],
    ),
    fastmath={"contract"},
)  # fmt: skip
def _add(bounds, across, line, places, values, x, start, end, scattered, sums):  # type: ignore[no-untyped-def]
    """Add the entries `start` up to `end` of a row of tiles to its sums, shape (SIDE,) or less."""
    low, shift = uint64(_LOW), uint64(_BITS)
    for across_at in range(across):
        tile = line * across + uint64(across_at)
        first = max(bounds[tile], start)
        last = min(bounds[tile + uint64(1)], end)
        column = uint64(across_at) << shift
        if scattered:
            for k in range(first, last):
                ask_ahead(x, column + (uint64(places[k + uint64(_X_AHEAD)]) & low), SOON)
                place = uint64(places[k])
                sums[place >> shift] += values[k] * x[column + (place & low)]
        else:
            for k in range(first, last):
                place = uint64(places[k])
                sums[place >> shift] += values[k] * x[column + (place & low)]


@compiled(
    void(
        uint64[::1], uint64, uint32[::1], float64[::1], float64[::1], uint64[::1], uint64[::1],
        boolean, float64[:, ::1], float64[::1], float64[::1],
    ),
    parallel=True,
)  # fmt: skip
def _multiply(bounds, across, places, values, x, cuts, begins, scattered, carry, busy, y):  # type: ignore[no-untyped-def]
    for p in prange(busy.size):
        began = thread_s()
        start, end = cuts[p], cuts[p + 1]
        if start < end and begins[p] > 0 and start < bounds[begins[p] * across]:
            carry[p, :] = 0.0
            _add(
                bounds, across, begins[p] - uint64(1), places, values, x, start, end, scattered,
                carry[p],
            )  # fmt: skip
        for line in range(begins[p], begins[p + 1]):
            first = uint64(line) << uint64(_BITS)
            sums = y[first : min(first + uint64(SIDE), uint64(y.size))]
            sums[:] = 0.0
            _add(bounds, across, uint64(line), places, values, x, start, end, scattered, sums)
        busy[p] = thread_s() - began


@compiled(
    void(uint64[::1], uint64, uint64[::1], uint64[::1], float64[:, ::1], float64[::1]),
    parallel=True,
)
def _merge(bounds, across, cuts, begins, carry, y):  # type: ignore[no-untyped-def]
    """Add the carries to their rows of tiles; each thread takes a part of every such row."""
    parts = carry.shape[0]
    for part in prange(parts):
        start, stop = carry.shape[1] * part // parts, carry.shape[1] * (part + 1) // parts
        for p in range(parts):
            if cuts[p] < cuts[p + 1] and begins[p] > 0 and cuts[p] < bounds[begins[p] * across]:
                first = int64(begins[p] - uint64(1)) << _BITS
                for i in range(start, min(stop, y.size - first)):
                    y[first + i] += carry[p, i]
