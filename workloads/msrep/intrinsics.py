"""What compiled products need and numba does not offer: asking ahead, and a thread's own clock."""

from __future__ import annotations

import time
from typing import Any

from llvmlite import ir
from numba.core import types

from workloads.kernels.llvm_vectors import (
    SIZE,
    WORD,
    ask_for,
    constant,
    declared,
    element_of,
    untyped_intrinsic,
)

ONCE, SOON = 2, 3
"""How near to the core a line that was asked for is brought: a stream is read once."""


@untyped_intrinsic
def ask_ahead(context: Any, array: Any, place: Any, locality: Any) -> Any:
    """Ask for the cache line of an array's element, which need not exist: asking never faults.

    Args:
        context: numba's.
        array: any, of one dimension.
        place: of the element.
        locality: constant: ONCE or SOON.
    """
    near = constant(locality, "locality")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        at = element_of(context, builder, signature.args[0], values[0], values[1])
        ask_for(builder, at, write=False, locality=near)
        return context.get_dummy_value()

    return types.void(array, types.uint64, locality), generate


@untyped_intrinsic
def thread_s(context: Any) -> Any:
    """Return the CPU time of this thread, in s: what others do on the machine is no part of it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        clock = declared(builder.module, WORD, [WORD, SIZE.as_pointer()], "clock_gettime")
        told = builder.alloca(ir.ArrayType(SIZE, 2))
        first = builder.gep(told, [WORD(0), WORD(0)])
        builder.call(clock, [WORD(time.CLOCK_THREAD_CPUTIME_ID), first])
        seconds = builder.sitofp(builder.load(first), ir.DoubleType())
        second = builder.gep(told, [WORD(0), WORD(1)])
        nanoseconds = builder.sitofp(builder.load(second), ir.DoubleType())
        return builder.fadd(seconds, builder.fmul(nanoseconds, ir.Constant(ir.DoubleType(), 1e-9)))

    return types.float64(), generate
