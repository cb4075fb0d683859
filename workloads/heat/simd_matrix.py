"""Products of small float32 matrices, whose sums stay in vector registers.

No BLAS: its threads would wait for each other inside ours, and its set-up would cost as much as a
product of two matrices of this size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types

from workloads.heat.instruction_sets import available, native_lanes
from workloads.heat.simd import FLOAT32, TILE_VECTORS
from workloads.kernels.compiled import compiled
from workloads.kernels.llvm_vectors import (
    FLOAT,
    SIZE,
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

_LANES = native_lanes()
_HEIGHT = next(kind.height for kind in available() if kind.unit == FLOAT32)

HEIGHT_MULTIPLE = _HEIGHT
"""The result's rows are a multiple of this."""

WIDTH_MULTIPLE = TILE_VECTORS * _LANES
"""The result's columns are a multiple of this."""

Floats = npt.NDArray[np.float32]


@untyped_intrinsic
def _multiply_tile(
    context: Any, left: Any, row: Any, right: Any, column: Any, out: Any, turned: Any, lanes: Any,
    height: Any,
) -> Any:  # fmt: skip
    """Write a tile of a product: `height` rows and `TILE_VECTORS * lanes` columns.

    Args:
        context: numba's.
        left: float32 (rows, depth) or, `turned`, (depth, rows).
        row: first row of the tile.
        right: float32 (depth, columns).
        column: first column of the tile.
        out: float32 (rows, columns), written.
        turned: constant: whether `left` is the transpose.
        lanes: constant.
        height: constant.
    """
    flip, width, tall = (constant(each, "tile") for each in (turned, lanes, height))
    vector = ir.VectorType(FLOAT, width)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of_left, _, of_right, _, of_out, *_ = signature.args
        left, row, right, column, out, *_ = values
        depth = shape_of(context, builder, of_right, right)[0]
        multiply = declared(builder.module, vector, [vector] * 3, f"llvm.fma.v{width}f32")
        below = [builder.add(row, SIZE(r)) for r in range(tall)]
        rows = [] if flip else [element_of(context, builder, of_left, left, at) for at in below]

        def add(at: Any, sums: list[Any]) -> list[Any]:
            line = builder.gep(element_of(context, builder, of_right, right, at), [column])
            there = [load_vector(builder, line, width * v, vector) for v in range(TILE_VECTORS)]
            if flip:
                start = element_of(context, builder, of_left, left, at)
                places = [builder.gep(start, [each]) for each in below]
            else:
                places = [builder.gep(start, [at]) for start in rows]
            more = []
            for r, place in enumerate(places):
                here = splat(builder, builder.load(place), vector)
                ones = sums[r * TILE_VECTORS : (r + 1) * TILE_VECTORS]
                more += [
                    builder.call(multiply, [here, other, one])
                    for one, other in zip(ones, there, strict=True)
                ]
            return more

        begin = [ir.Constant(vector, [0.0] * width)] * (tall * TILE_VECTORS)
        sums = counted_loop(builder, SIZE(0), depth, begin, add)
        for r, at_row in enumerate(below):
            to = builder.gep(element_of(context, builder, of_out, out, at_row), [column])
            for v in range(TILE_VECTORS):
                store_vector(builder, sums[r * TILE_VECTORS + v], to, width * v)
        return context.get_dummy_value()

    signature = types.void(left, types.intp, right, types.intp, out, turned, lanes, height)
    return signature, generate


@compiled()
def multiply(left: Floats, right: Floats, out: Floats) -> None:
    """Write left @ right.

    Args:
        left: float32 (rows, depth), contiguous; rows a multiple of `HEIGHT_MULTIPLE`.
        right: float32 (depth, columns), contiguous; columns a multiple of `WIDTH_MULTIPLE`.
        out: float32 (rows, columns), contiguous.
    """
    for column in range(0, out.shape[1], WIDTH_MULTIPLE):
        for row in range(0, out.shape[0], _HEIGHT):
            _multiply_tile(left, row, right, column, out, 0, _LANES, _HEIGHT)


@compiled()
def multiply_turned(left: Floats, right: Floats, out: Floats) -> None:
    """Write left.T @ right; `left` is (depth, rows), else as `multiply`."""
    for column in range(0, out.shape[1], WIDTH_MULTIPLE):
        for row in range(0, out.shape[0], _HEIGHT):
            _multiply_tile(left, row, right, column, out, 1, _LANES, _HEIGHT)
