"""Sums of many rows, and additions to many rows, whose other side stays in vector registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types

from workloads.heat.instruction_sets import native_lanes
from workloads.heat.quantise import Floats
from workloads.heat.simd import SUMMED
from workloads.kernels.compiled import compiled
from workloads.kernels.llvm_vectors import (
    FLOAT,
    LINE,
    SIZE,
    ask_for,
    constant,
    counted_loop,
    element_of,
    load_vector,
    store_vector,
    untyped_intrinsic,
)

_LANES = native_lanes()

AHEAD = 8
"""Places by which rows are asked for before they are needed: so many follow the last."""

_WIDE = 2 * SUMMED  # vectors in registers, where the rows are that long


@untyped_intrinsic
def _sum(
    context: Any, rows: Any, places: Any, first: Any, last: Any, out: Any, row: Any, start: Any,
    lanes: Any, vectors: Any,
) -> Any:  # fmt: skip
    """Write columns of the sum of rows[places[first:last]], at least one, to out[row]."""
    width, many = constant(lanes, "lanes"), constant(vectors, "vectors")
    vector = ir.VectorType(FLOAT, width)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of_rows, of_places, _, _, of_out, *_ = signature.args
        rows, places, first, last, out, row, start, *_ = values
        begin = [ir.Constant(vector, [0.0] * width)] * many

        def add(at: Any, sums: list[Any]) -> list[Any]:
            _ask(context, builder, of_rows, rows, of_places, places, at, start, many * width, False)
            here = _row(context, builder, of_rows, rows, of_places, places, at, start)
            return [
                builder.fadd(one, load_vector(builder, here, width * v, vector))
                for v, one in enumerate(sums)
            ]

        sums = counted_loop(builder, first, last, begin, add)
        to = builder.gep(element_of(context, builder, of_out, out, row), [start])
        for v, one in enumerate(sums):
            store_vector(builder, one, to, width * v)
        return context.get_dummy_value()

    size = types.intp
    signature = types.void(rows, places, size, size, out, size, size, lanes, vectors)
    return signature, generate


@untyped_intrinsic
def _subtract(
    context: Any, rows: Any, places: Any, first: Any, last: Any, other: Any, row: Any, start: Any,
    lanes: Any, vectors: Any,
) -> Any:  # fmt: skip
    """Subtract columns of other[row] from rows[places[first:last]], at least one."""
    width, many = constant(lanes, "lanes"), constant(vectors, "vectors")
    vector = ir.VectorType(FLOAT, width)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of_rows, of_places, _, _, of_other, *_ = signature.args
        rows, places, first, last, other, row, start, *_ = values
        given = builder.gep(element_of(context, builder, of_other, other, row), [start])
        parts = [load_vector(builder, given, width * v, vector) for v in range(many)]

        def subtract(at: Any, _: list[Any]) -> list[Any]:
            _ask(context, builder, of_rows, rows, of_places, places, at, start, many * width, True)
            here = _row(context, builder, of_rows, rows, of_places, places, at, start)
            for v, part in enumerate(parts):
                less = builder.fsub(load_vector(builder, here, width * v, vector), part)
                store_vector(builder, less, here, width * v)
            return []

        counted_loop(builder, first, last, [], subtract)
        return context.get_dummy_value()

    size = types.intp
    signature = types.void(rows, places, size, size, other, size, size, lanes, vectors)
    return signature, generate


def _row(
    context: Any, builder: Any, of_rows: Any, rows: Any, of_places: Any, places: Any, at: Any,
    start: Any,
) -> Any:  # fmt: skip
    place = builder.load(element_of(context, builder, of_places, places, at))
    row = element_of(context, builder, of_rows, rows, builder.sext(place, SIZE))
    return builder.gep(row, [start])


def _ask(
    context: Any, builder: Any, of_rows: Any, rows: Any, of_places: Any, places: Any, at: Any,
    start: Any, size: int, write: bool,
) -> None:  # fmt: skip
    """Ask for the columns of the row that is needed `AHEAD` places later."""
    later = builder.add(at, SIZE(AHEAD))
    row = _row(context, builder, of_rows, rows, of_places, places, later, start)
    for column in range(0, size, LINE):
        ask_for(builder, builder.gep(row, [SIZE(column)]), write=write)


@compiled()
def sum_of_rows(
    rows: Floats, places: npt.NDArray[np.int32], first: int, last: int, out: Floats, row: int
) -> None:
    """Write the sum of some rows.

    Args:
        rows: float32 (n, dim), dim a multiple of `SUMMED` vectors.
        places: int32 (m,): which rows; `AHEAD` valid ones follow the last.
        first: of `places`; at least one is summed.
        last: of `places`, exclusive.
        out: float32 (k, dim).
        row: of `out`, written.
    """
    dim = rows.shape[1]
    wide = dim - dim % (_WIDE * _LANES)
    for start in range(0, wide, _WIDE * _LANES):
        _sum(rows, places, first, last, out, row, start, _LANES, _WIDE)
    for start in range(wide, dim, SUMMED * _LANES):
        _sum(rows, places, first, last, out, row, start, _LANES, SUMMED)


@compiled()
def subtract_from_rows(
    rows: Floats, places: npt.NDArray[np.int32], first: int, last: int, other: Floats, row: int
) -> None:
    """Subtract other[row] from some rows; the rest as in `sum_of_rows`."""
    dim = rows.shape[1]
    wide = dim - dim % (_WIDE * _LANES)
    for start in range(0, wide, _WIDE * _LANES):
        _subtract(rows, places, first, last, other, row, start, _LANES, _WIDE)
    for start in range(wide, dim, SUMMED * _LANES):
        _subtract(rows, places, first, last, other, row, start, _LANES, SUMMED)
