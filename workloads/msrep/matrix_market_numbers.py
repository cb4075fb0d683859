"""Turns decimal numbers into the float64 nearest to them, exactly, for compiled readers.

The method is that of Lemire, "Number Parsing at a Gigabyte per Second" (Software: Practice and
Experience 51, 2021), section 5, whose fallback Mushtak and Lemire, "Fast Number Parsing Without
Fallback" (2022), proved to be unneeded: a significand of up to 64 bits is multiplied by 128 bits
of a power of five, and the upper half of the product decides the rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import int64, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

from workloads.kernels.compiled import compiled

SMALLEST_POWER, LARGEST_POWER = -342, 308
"""Below and above, every 64-bit significand becomes 0 and infinity."""

SIGNIFICAND_DIGITS = 19
"""Decimal digits that surely fit into 64 bits."""

INFINITY = uint64(0x7FF << 52)
"""The bits of float64's infinity."""

_FRACTION_BITS = uint64(52)
_SPARE = uint64(0x1FF)
"""The bits of a 64-bit upper product below the 55 that decide the rounding."""

_untyped_intrinsic: Any = intrinsic


def _powers_of_five() -> NDArray[np.uint64]:
    """Return the leading 128 bits of 5^q, in rows of upper and lower half.

    Positive powers are cut off, negative ones rounded up (section 5.2).
    """
    table = np.empty((LARGEST_POWER - SMALLEST_POWER + 1, 2), dtype=np.uint64)
    for row, power in enumerate(range(SMALLEST_POWER, LARGEST_POWER + 1)):
        five = 5 ** abs(power)
        if power >= 0:
            leading = five << 128 >> five.bit_length()
        else:
            # 2^b / 5^-q lies in [2^127, 2^128).
            leading = (1 << five.bit_length() + 127) // five + 1
        table[row] = leading >> 64, leading & (1 << 64) - 1
    return table


_POWERS = _powers_of_five()


@_untyped_intrinsic
def _upper_product(typing_context, a, b):  # type: ignore[no-untyped-def]
    """The upper 64 bits of the 128-bit product of two uint64."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        one, other = (builder.zext(argument, wide) for argument in arguments)
        product = builder.lshr(builder.mul(one, other), ir.Constant(wide, 64))
        return builder.trunc(product, ir.IntType(64))

    return uint64(uint64, uint64), generate


@_untyped_intrinsic
def _leading_zeros(typing_context, a):  # type: ignore[no-untyped-def]
    """How many zeros a uint64, not 0 itself, begins with."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return uint64(uint64), generate


@compiled(uint64(uint64, int64))
def nearest_bits(significand, power):  # type: ignore[no-untyped-def]
    """Return the bits of the float64 nearest to significand * 10^power; ties go to even."""
    if significand == uint64(0) or power < SMALLEST_POWER:
        return uint64(0)
    if power > LARGEST_POWER:
        return INFINITY
    zeros = _leading_zeros(significand)
    significand <<= zeros
    row = uint64(power - SMALLEST_POWER)
    upper = _upper_product(significand, _POWERS[row, 0])
    lower = significand * _POWERS[row, 0]
    if upper & _SPARE == _SPARE:
        more = lower + _upper_product(significand, _POWERS[row, 1])
        upper += uint64(more < lower)
        lower = more
    top = upper >> uint64(63)
    shift = top + uint64(9)
    kept = upper >> shift
    # The exponent of two in 10^power, floor(power * log2(10)), and float64's bias of 1023.
    exponent = ((int64(217706) * power) >> 16) + 63 + int64(top) - int64(zeros) + 1023
    if exponent <= 0:
        if exponent < -62:
            return uint64(0)
        kept >>= uint64(1 - exponent)
        return (kept + (kept & uint64(1))) >> uint64(1)
    # Exactly half way between two: only small powers of five divide or fit a product this exactly.
    half_way = lower <= uint64(1) and -4 <= power <= 23 and kept & uint64(3) == uint64(1)
    if half_way and kept << shift == upper:
        kept -= uint64(1)
    kept = (kept + (kept & uint64(1))) >> uint64(1)
    # A carry into the bit above the fraction adds one to the exponent, as it must.
    bits = kept + (uint64(exponent - 1) << _FRACTION_BITS)
    return min(bits, INFINITY)
