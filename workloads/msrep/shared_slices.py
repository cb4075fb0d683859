"""Finds rows that share their column indices, and multiplies them as slices.

Rows that follow each other often have the same columns (the unknowns of one cell) or columns that
go along with the row (a stencil). A slice is up to eight such rows; it keeps the columns of its
first row only, and the rows' values interleaved. One index then serves up to eight entries, whose
products are one instruction: eight values times one element of x, or times eight that follow
each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, int64, prange, types, uint32, void
from numpy.typing import NDArray

from workloads.kernels.compiled import compiled
from workloads.kernels.llvm_vectors import (
    SIZE,
    WORD,
    ask_for,
    constant,
    declared,
    element_of,
    optional_loop,
    splat,
    untyped_intrinsic,
)
from workloads.msrep.intrinsics import ONCE, thread_s

HEIGHT = 8
"""Most rows of a slice: a vector of 512 bits, or several shorter ones."""

_SAME, _ALONG = 0, 1
_STREAM_AHEAD = 1024
_DOUBLE = ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, HEIGHT)


@dataclass(frozen=True, slots=True)
class Slices:
    """Where a matrix is cut, without its values.

    Attributes:
        rows: int64, shape (slices + 1,): the first row of each.
        along: int64, shape (slices,): whether columns go along with the rows; else they are equal.
        columns: int64, shape (slices + 1,): where the column indices of each begin.
    """

    rows: NDArray[np.int64]
    along: NDArray[np.int64]
    columns: NDArray[np.int64]


def find_slices(pointer: NDArray[np.int64], indices: NDArray[np.uint32]) -> Slices:
    """Cut a matrix into slices, from the top, each as high as it can be.

    Args:
        pointer: int64, shape (rows + 1,).
        indices: uint32, shape (nnz,), sorted within each row.
    """
    count = pointer.size - 1
    rows = np.empty(count + 1, dtype=np.int64)
    along = np.empty(count, dtype=np.int64)
    columns = np.zeros(count + 1, dtype=np.int64)
    found = _find(pointer, indices, rows, along, columns)
    return Slices(rows[: found + 1], along[:found], columns[: found + 1])


@compiled(int64(int64[::1], uint32[::1], int64, int64))
def _step(pointer, indices, row, length):  # type: ignore[no-untyped-def]
    """Return how columns go on to the next row: `_SAME`, `_ALONG`, or -1 for neither."""
    here, there = pointer[row], pointer[row + 1]
    if pointer[row + 2] - there != length or not length:
        return -1
    step = int64(indices[there]) - int64(indices[here])
    if step not in (_SAME, _ALONG):
        return -1
    for k in range(length):
        if int64(indices[there + k]) - int64(indices[here + k]) != step:
            return -1
    return step


@compiled(int64(int64[::1], uint32[::1], int64[::1], int64[::1], int64[::1]))
def _find(pointer, indices, rows, along, columns):  # type: ignore[no-untyped-def]
    found = 0
    row = 0
    last = pointer.size - 1
    while row < last:
        length = pointer[row + 1] - pointer[row]
        height = 1
        kind = _SAME
        if row + 1 < last:
            kind = _step(pointer, indices, row, length)
            while kind >= 0 and height < HEIGHT and row + height < last:
                if height > 1 and _step(pointer, indices, row + height - 1, length) != kind:
                    break
                height += 1
        rows[found] = row
        along[found] = max(kind, _SAME)
        columns[found + 1] = columns[found] + length
        found += 1
        row += height
    rows[found] = last
    return found


def value_starts(pointer: NDArray[np.int64], slices: Slices) -> NDArray[np.int64]:
    """Return where the values of each slice begin, at whole vectors; at the end, their number."""
    entries = np.diff(pointer[slices.rows])
    whole = -(-entries // HEIGHT) * HEIGHT
    return np.concatenate(([0], np.cumsum(whole)))


def aligned_zeros(count: int) -> NDArray[np.float64]:
    """Return so many zeros that begin at a cache line, as vectors do that cross none."""
    zeros = np.zeros(count + HEIGHT)
    skipped = -zeros.ctypes.data // zeros.itemsize % HEIGHT
    return zeros[skipped : skipped + count]


@compiled(
    void(
        int64[::1], uint32[::1], float64[::1], int64[::1], int64[::1], int64[::1], uint32[::1],
        float64[::1],
    ),
    parallel=True,
)  # fmt: skip
def fill(pointer, indices, data, rows, columns, starts, kept, values):  # type: ignore[no-untyped-def]
    """Write the columns of each slice, and its values interleaved from its start on."""
    for at in prange(rows.size - 1):
        first = rows[at]
        height = rows[at + 1] - first
        for k in range(columns[at + 1] - columns[at]):
            kept[columns[at] + k] = indices[pointer[first] + k]
            for lane in range(height):
                values[starts[at] + k * height + lane] = data[pointer[first + lane] + k]


@untyped_intrinsic
def _multiply_slice(
    context: Any, columns: Any, first: Any, last: Any, values: Any, start: Any, height: Any,
    x: Any, along: Any, y: Any, row: Any,
) -> Any:  # fmt: skip
    """Write the rows of a slice.

    Lanes beyond them multiply what comes next in memory and are not stored.

    Args:
        context: numba's.
        columns: uint32.
        first: of them.
        last: exclusive.
        values: float64; `HEIGHT` more follow the last.
        start: of them, the first.
        height: rows.
        x: float64; `HEIGHT` more follow the last.
        along: constant: whether lanes take elements of x that follow each other, or the same.
        y: float64, written.
        row: the first.
    """
    follows = constant(along, "along")

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        of_columns, _, _, of_values, _, _, of_x, _, of_y, _ = signature.args
        columns, first, last, values, start, height, x, _, y, row = given
        fma = declared(builder.module, _VECTOR, [_VECTOR] * 3, f"llvm.fma.v{HEIGHT}f64")

        def add(total: Any, at: Any, place: Any) -> Any:
            here = element_of(context, builder, of_values, values, place)
            ahead = builder.gep(here, [SIZE(_STREAM_AHEAD)])
            ask_for(builder, ahead, write=False, locality=ONCE)
            column = builder.load(element_of(context, builder, of_columns, columns, at))
            there = element_of(context, builder, of_x, x, builder.zext(column, SIZE))
            factor = (
                _load(builder, there) if follows else splat(builder, builder.load(there), _VECTOR)
            )
            return builder.call(fma, [_load(builder, here), factor, total])

        def two(at: Any, carried: list[Any]) -> list[Any]:
            # Two sums: each would wait for its last product.
            even, odd, place = carried
            following = builder.add(place, height)
            return [
                add(even, at, place),
                add(odd, builder.add(at, SIZE(1)), following),
                builder.add(following, height),
            ]

        def one(at: Any, carried: list[Any]) -> list[Any]:
            even, place = carried
            return [add(even, at, place), builder.add(place, height)]

        zeros = ir.Constant(_VECTOR, [0.0] * HEIGHT)
        pairs = builder.sub(last, builder.and_(builder.sub(last, first), SIZE(1)))
        even, odd, place = optional_loop(
            builder, first, pairs, [zeros, zeros, start], two, stride=2
        )
        even, _ = optional_loop(builder, pairs, last, [even, place], one)
        to = element_of(context, builder, of_y, y, row)
        _store_first(builder, builder.fadd(even, odd), to, height)
        return context.get_dummy_value()

    size = types.int64
    signature = types.void(columns, size, size, values, size, size, x, along, y, size)
    return signature, generate


def _load(builder: Any, at: Any) -> Any:
    return builder.load(builder.bitcast(at, _VECTOR.as_pointer()), align=8)


def _store_first(builder: Any, vector: Any, to: Any, count: Any) -> None:
    """Store the first lanes of a vector, so many."""
    lanes = ir.VectorType(SIZE, HEIGHT)
    numbers = ir.Constant(lanes, list(range(HEIGHT)))
    mask = builder.icmp_signed("<", numbers, splat(builder, count, lanes))
    pointer = _VECTOR.as_pointer()
    store = declared(
        builder.module, ir.VoidType(), [_VECTOR, pointer, WORD, mask.type],
        f"llvm.masked.store.v{HEIGHT}f64.p0",
    )  # fmt: skip
    builder.call(store, [vector, builder.bitcast(to, pointer), WORD(8), mask])


@compiled(
    void(
        int64[::1], int64[::1], int64[::1], int64[::1], uint32[::1], float64[::1], float64[::1],
        int64[::1], float64[::1], float64[::1],
    ),
    parallel=True,
)  # fmt: skip
def multiply(rows, along, columns, starts, kept, values, x, begins, busy, y):  # type: ignore[no-untyped-def]
    """Write y = A x.

    Args:
        rows: see `Slices`.
        along: see `Slices`.
        columns: see `Slices`.
        starts: see `value_starts`.
        kept: uint32: the columns of all slices.
        values: float64, interleaved; `HEIGHT` more follow the last.
        x: float64; `HEIGHT` more follow the last.
        begins: int64, shape (partitions + 1,): the first slice of each.
        busy: float64, shape (partitions,), written: CPU time in s.
        y: float64, shape (rows,), written.
    """
    for p in prange(busy.size):
        began = thread_s()
        for at in range(begins[p], begins[p + 1]):
            first, last = columns[at], columns[at + 1]
            row = rows[at]
            height = rows[at + 1] - row
            if along[at]:
                _multiply_slice(kept, first, last, values, starts[at], height, x, 1, y, row)
            else:
                _multiply_slice(kept, first, last, values, starts[at], height, x, 0, y, row)
        busy[p] = thread_s() - began
