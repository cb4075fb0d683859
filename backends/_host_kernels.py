"""Loops that keep one resource of a processor busy: its memory, its caches, its arithmetic."""

from __future__ import annotations

import numba

FMA_CHAIN = 16
"""Multiply-adds an element. So few that a core holds several chains at once (16 elements of a
vector each, in a reorder buffer of 200 instructions or more) and hides the latency of each; so many
that loads and stores from the nearest cache cost nothing beside them."""

_REORDER = {"reassoc", "nsz", "contract"}  # what a vectorised sum needs; NaN and infinity stay
_FUSE = {"contract"}  # multiply and add as one instruction; without "reassoc" the chain stays


@numba.njit("float64(float64[::1], int64)", fastmath=_REORDER, nogil=True, cache=True)
def read(part, repeats):  # type: ignore[no-untyped-def]
    """Return a weighted sum, so that every element is read in every repetition."""
    total = 0.0
    for repeat in range(repeats):
        once = 0.0
        for i in range(part.size):
            once += part[i]
        # Depends on the repetition, so that the compiler cannot read once and multiply.
        total += once / (repeat + 1)
    return total


@numba.njit("void(float64[::1], int64)", nogil=True, cache=True)
def update(part, repeats):  # type: ignore[no-untyped-def]
    """Read and write every element in every repetition."""
    for repeat in range(repeats):
        for i in range(part.size):
            part[i] = repeat - part[i]


@numba.njit(
    ["void(float64[::1], int64, float64, float64)", "void(float32[::1], int64, float32, float32)"],
    fastmath=_FUSE,
    nogil=True,
    cache=True,
)
def multiply_add(part, repeats, factor, term):  # type: ignore[no-untyped-def]
    """Put every element through `FMA_CHAIN` dependent multiply-adds in every repetition."""
    for _ in range(repeats):
        for i in range(part.size):
            x = part[i]
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            x = x * factor + term
            part[i] = x
