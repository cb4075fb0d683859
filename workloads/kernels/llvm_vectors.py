"""Pieces of LLVM's language that intrinsics of numba are made of.

All arrays are C-contiguous; `context` and `builder` are those that numba hands an intrinsic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np import arrayobj

untyped_intrinsic: Any = intrinsic
"""Untyped: what it makes is called without the first argument, the context of the typing."""

SIZE = ir.IntType(64)
WORD = ir.IntType(32)
FLOAT = ir.FloatType()

LINE = 16
"""Numbers of four bytes in a cache line."""

Step = Callable[[Any, list[Any]], list[Any]]
"""Builds a loop's body, given its counter and the values that it carries; returns the next ones."""


def declared(module: Any, result: Any, arguments: Sequence[Any], name: str) -> Any:
    """Return an LLVM function of the module, declared where it is not yet."""
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


def constant(kind: Any, name: str) -> int:
    """Return the value of an argument that the compiler must know."""
    if not isinstance(kind, types.IntegerLiteral):
        raise TypingError(f"{name} is a constant of the compilation")
    return int(kind.literal_value)


def shape_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the sizes of an array."""
    held = arrayobj.make_array(kind)(context, builder, array)
    return cgutils.unpack_tuple(builder, held.shape, kind.ndim)


def element_of(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    """Return a pointer to the first element of a row."""
    held = arrayobj.make_array(kind)(context, builder, array)
    if kind.ndim == 1:
        return builder.gep(held.data, [row])
    columns = cgutils.unpack_tuple(builder, held.shape, kind.ndim)[1]
    return builder.gep(held.data, [builder.mul(row, columns)])


def load_vector(builder: Any, start: Any, offset: int, vector: Any) -> Any:
    """Load a vector from `offset` elements after a pointer, aligned to elements only."""
    at = builder.bitcast(builder.gep(start, [SIZE(offset)]), vector.as_pointer())
    return builder.load(at, align=4)


def store_vector(builder: Any, value: Any, start: Any, offset: int) -> None:
    """Store a vector `offset` elements after a pointer, aligned to elements only."""
    at = builder.bitcast(builder.gep(start, [SIZE(offset)]), value.type.as_pointer())
    builder.store(value, at, align=4)


def splat(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector that holds one value everywhere."""
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, value, WORD(0))
    return builder.shuffle_vector(
        one, nothing, ir.Constant(ir.VectorType(WORD, vector.count), [0] * vector.count)
    )


def counted_loop(
    builder: Any, first: Any, last: Any, begin: list[Any], step: Step, *, stride: int = 1
) -> list[Any]:
    """Build a loop from `first` up to `last`, at least once; return the values it ends with."""
    before = builder.block
    loop = builder.append_basic_block("loop")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    at = builder.phi(SIZE)
    at.add_incoming(first, before)
    carried = [builder.phi(value.type) for value in begin]
    for one, value in zip(carried, begin, strict=True):
        one.add_incoming(value, before)
    found = step(at, carried)
    following = builder.add(at, SIZE(stride))
    at.add_incoming(following, loop)
    for one, value in zip(carried, found, strict=True):
        one.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, last), loop, after)
    builder.position_at_end(after)
    return found


def optional_loop(
    builder: Any, first: Any, last: Any, begin: list[Any], step: Step, *, stride: int = 1
) -> list[Any]:
    """Build a loop that may not run at all; return the values it ends with, or `begin`."""
    before = builder.block
    some = builder.append_basic_block("some")
    done = builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", first, last), some, done)
    builder.position_at_end(some)
    found = counted_loop(builder, first, last, begin, step, stride=stride)
    left = builder.block
    builder.branch(done)
    builder.position_at_end(done)
    ended = [builder.phi(value.type) for value in begin]
    for one, skipped, value in zip(ended, begin, found, strict=True):
        one.add_incoming(skipped, before)
        one.add_incoming(value, left)
    return ended


def ask_for(builder: Any, at: Any, *, write: bool, locality: int = 3) -> None:
    """Ask for the cache line of a pointer, to be needed soon.

    Args:
        builder: numba's.
        at: the pointer.
        write: whether it is to be written, too.
        locality: 3 to bring it into every cache, 2 into the second level, 0 to keep it from all
            others.
    """
    byte = ir.IntType(8).as_pointer()
    call = declared(builder.module, ir.VoidType(), [byte, WORD, WORD, WORD], "llvm.prefetch.p0")
    builder.call(call, [builder.bitcast(at, byte), WORD(int(write)), WORD(locality), WORD(1)])
