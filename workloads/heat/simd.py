"""Vector instructions that numba's compiler does not find by itself, written as LLVM vectors.

One source serves every instruction set: a *unit* is four bytes of a row, which hold one float32,
two bfloat16 or four int8, and a vector register holds `lanes` units. What differs between the
instruction sets is the number of lanes and the one instruction that multiplies two units and adds
the products (`filter_tile`).

Arrays are C-contiguous and as large as each docstring says; nothing checks them at run time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from workloads.kernels.llvm_vectors import (
    FLOAT,
    SIZE,
    WORD,
    ask_for,
    constant,
    counted_loop,
    declared,
    element_of,
    load_vector,
    shape_of,
    splat,
    store_vector,
    untyped_intrinsic,
)

FLOAT32, BFLOAT16, INT8 = range(3)
"""What a unit holds."""

TILE_VECTORS = 2
"""Vectors of columns in a tile."""


class _Bfloat16(ir.types.Type):  # type: ignore[misc]
    """The type that llvmlite does not know."""

    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"


@untyped_intrinsic
def prefetch(context: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of an element of a float32 array, to be read and written soon."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        start = element_of(context, builder, signature.args[0], values[0], values[1])
        ask_for(builder, builder.gep(start, [values[2]]), write=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


@untyped_intrinsic
def lowest_bit(context: Any, bits: Any) -> Any:
    """Return the place of the lowest bit that is set, of a uint64 that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@untyped_intrinsic
def sum_rows(
    context: Any, rows: Any, places: Any, weights: Any, first: Any, last: Any, total: Any,
    start: Any, lanes: Any,
) -> Any:  # fmt: skip
    """Write a part of the weighted sum of some rows: `SUMMED` vectors, in registers meanwhile.

    Args:
        context: numba's.
        rows: float32 (n, dim).
        places: int32 (m,): which rows.
        weights: float32 (m,): of each.
        first: of `places` and `weights`; at least one is summed.
        last: of them, exclusive.
        total: float32 (dim,), written from `start` on.
        start: first column; `SUMMED * lanes` are summed.
        lanes: constant.
    """
    width = constant(lanes, "lanes")
    vector = ir.VectorType(FLOAT, width)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of_rows, of_places, of_weights, _, _, of_total, *_ = signature.args
        rows, places, weights, first, last, total, start, _ = values
        fma = declared(builder.module, vector, [vector] * 3, f"llvm.fma.v{width}f32")

        def add(at: Any, sums: list[Any]) -> list[Any]:
            place = builder.load(element_of(context, builder, of_places, places, at))
            weight = builder.load(element_of(context, builder, of_weights, weights, at))
            share = splat(builder, weight, vector)
            row = element_of(context, builder, of_rows, rows, builder.sext(place, SIZE))
            row = builder.gep(row, [start])
            return [
                builder.call(fma, [share, load_vector(builder, row, width * v, vector), one])
                for v, one in enumerate(sums)
            ]

        begin = [ir.Constant(vector, [0.0] * width)] * SUMMED
        sums = counted_loop(builder, first, last, begin, add)
        out = builder.gep(element_of(context, builder, of_total, total, SIZE(0)), [start])
        for number, one in enumerate(sums):
            store_vector(builder, one, out, width * number)
        return context.get_dummy_value()

    signature = types.void(rows, places, weights, types.intp, types.intp, total, types.intp, lanes)
    return signature, generate


SUMMED = 4
"""Vectors that `sum_rows` sums at once: rows are padded to that many, and four chains of additions
keep two units busy."""


@untyped_intrinsic
def filter_tile(
    context: Any, left: Any, row: Any, right: Any, column: Any, bias: Any, limit: Any, found: Any,
    unit: Any, lanes: Any, height: Any,
) -> Any:  # fmt: skip
    """Find which products of some rows and columns exceed their row's limit.

    For the rows r of the tile and its `TILE_VECTORS * lanes` columns c, bit c of the row
    `found[r]` becomes whether bias[c] + left[r] . right[:, c] > limit[r].

    Args:
        context: numba's.
        left: int32 (rows, units): rows of units, signed where they are int8.
        row: first row of the tile.
        right: int32 (units, columns): columns of units, unsigned where they are int8 on x86.
        column: first column of the tile, a multiple of its width.
        bias: float32 or, with int8, int32 (columns,).
        limit: float32 or, with int8, int32 (rows,).
        found: uint8 (rows, columns / 8), written.
        unit: constant: FLOAT32, BFLOAT16 or INT8.
        lanes: constant.
        height: constant: rows of the tile.
    """
    kind, width = constant(unit, "unit"), constant(lanes, "lanes")
    tall = constant(height, "height")
    words = ir.VectorType(WORD, width)
    numbers = words if kind == INT8 else ir.VectorType(FLOAT, width)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of_left, _, of_right, _, of_bias, of_limit, of_found, *_ = signature.args
        left, row, right, column, bias, limit, found, *_ = values
        depth = shape_of(context, builder, of_right, right)[0]
        rows = [
            element_of(context, builder, of_left, left, builder.add(row, SIZE(r)))
            for r in range(tall)
        ]
        start = element_of(context, builder, of_bias, bias, column)
        begin = [load_vector(builder, start, width * v, numbers) for v in range(TILE_VECTORS)]
        multiply = _multiply_add(builder.module, kind, width)

        def add(at: Any, sums: list[Any]) -> list[Any]:
            above = builder.gep(element_of(context, builder, of_right, right, at), [column])
            there = [load_vector(builder, above, width * v, words) for v in range(TILE_VECTORS)]
            more = []
            for r, start in enumerate(rows):
                here = splat(builder, builder.load(builder.gep(start, [at])), words)
                line = sums[r * TILE_VECTORS : (r + 1) * TILE_VECTORS]
                more += [
                    multiply(builder, one, here, other)
                    for one, other in zip(line, there, strict=True)
                ]
            return more

        sums = counted_loop(builder, SIZE(0), depth, begin * tall, add)
        bits = ir.IntType(width * TILE_VECTORS)
        for r in range(tall):
            at = builder.add(row, SIZE(r))
            least = builder.load(element_of(context, builder, of_limit, limit, at))
            mask = ir.Constant(bits, 0)
            for v in range(TILE_VECTORS):
                bound = splat(builder, least, numbers)
                compare = builder.icmp_signed if kind == INT8 else builder.fcmp_ordered
                greater = compare(">", sums[r * TILE_VECTORS + v], bound)
                part = builder.zext(builder.bitcast(greater, ir.IntType(width)), bits)
                mask = builder.or_(mask, builder.shl(part, bits(width * v)))
            byte = builder.lshr(column, SIZE(3))
            out = builder.gep(element_of(context, builder, of_found, found, at), [byte])
            builder.store(mask, builder.bitcast(out, bits.as_pointer()), align=1)
        return context.get_dummy_value()

    signature = types.void(
        left, types.intp, right, types.intp, bias, limit, found, unit, lanes, height
    )
    return signature, generate


def _multiply_add(module: Any, kind: int, lanes: int) -> Any:
    """Return what makes sum + left * right, unit by unit."""
    words, floats = ir.VectorType(WORD, lanes), ir.VectorType(FLOAT, lanes)
    if kind == FLOAT32:
        call = declared(module, floats, [floats] * 3, f"llvm.fma.v{lanes}f32")
        return lambda builder, total, left, right: builder.call(
            call, [builder.bitcast(left, floats), builder.bitcast(right, floats), total]
        )
    if kind == BFLOAT16:
        halves = ir.VectorType(_Bfloat16(), 2 * lanes)
        call = declared(
            module, floats, [floats, halves, halves], f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}"
        )
        return lambda builder, total, left, right: builder.call(
            call, [total, builder.bitcast(left, halves), builder.bitcast(right, halves)]
        )
    call = declared(module, words, [words] * 3, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}")
    return lambda builder, total, left, right: builder.call(call, [total, right, left])
