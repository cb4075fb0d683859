"""The ways in which this processor can find the negatives that count, the quickest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import llvmlite.binding as llvm

from workloads.heat.simd import BFLOAT16, FLOAT32, INT8


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """How products are made.

    Attributes:
        name: the instruction set and what it multiplies, as results name it.
        needs: features of the processor, in LLVM's words.
        unit: what four bytes of a row hold: FLOAT32, BFLOAT16 or INT8.
        lanes: units in a vector register.
        height: rows of a tile; with two vectors of columns its sums fit the registers.
    """

    name: str
    needs: frozenset[str]
    unit: int
    lanes: int
    height: int


_X86 = (
    InstructionSet(
        "avx512-vnni int8", frozenset({"avx512f", "avx512bw", "avx512vnni"}), INT8, 16, 8
    ),
    InstructionSet("avx-vnni int8", frozenset({"avx2", "avxvnni"}), INT8, 8, 4),
    InstructionSet(
        "avx512-bf16 bfloat16", frozenset({"avx512f", "avx512bw", "avx512bf16"}), BFLOAT16, 16, 8
    ),
    InstructionSet("avx512 float32", frozenset({"avx512f"}), FLOAT32, 16, 8),
    InstructionSet("avx2 float32", frozenset({"avx2", "fma"}), FLOAT32, 8, 4),
)
_ANY = InstructionSet("128-bit float32", frozenset(), FLOAT32, 4, 4)
"""LLVM's own vectors of four: NEON on ARM."""


def available(features: Mapping[str, bool] | None = None) -> tuple[InstructionSet, ...]:
    """Return the instruction sets that a processor has, the quickest first.

    Args:
        features: whether the processor has each, in LLVM's words; None for this one's.
    """
    known = llvm.get_host_cpu_features() if features is None else features
    has = {name for name, found in known.items() if found}
    return (*(one for one in _X86 if one.needs <= has), _neon(has))


def native_lanes() -> int:
    """Return how many float32 a vector register of this processor holds."""
    return max(one.lanes for one in available())


def _neon(features: set[str]) -> InstructionSet:
    return InstructionSet("neon float32", _ANY.needs, FLOAT32, 4, 8) if "neon" in features else _ANY
