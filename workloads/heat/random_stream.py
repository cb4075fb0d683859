"""The random numbers that the compiled kernels draw, and what they do with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

_uint = np.uint64


@njit("uint64(uint64, uint64)", cache=True)
def first_state(seed: np.uint64, thread: np.uint64) -> np.uint64:
    """Return a random state that is never 0 (splitmix64; Steele et al., OOPSLA 2014)."""
    mixed = (_uint(seed) + _uint(1)) * _uint(0x9E3779B97F4A7C15) + _uint(thread)
    mixed = (mixed ^ (mixed >> _uint(30))) * _uint(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> _uint(27))) * _uint(0x94D049BB133111EB)
    return (mixed ^ (mixed >> _uint(31))) | _uint(1)


@njit("uint64(uint64)", cache=True, inline="always")
def next_state(state: np.uint64) -> np.uint64:
    """Advance xorshift64 (Marsaglia, 2003)."""
    state ^= state << _uint(13)
    state ^= state >> _uint(7)
    state ^= state << _uint(17)
    return state


@njit("int64(uint64, int64)", cache=True, inline="always")
def item_of(state: np.uint64, items: int) -> np.int64:
    """Map the state's upper 32 bits to 0 ... items - 1 by multiplication, not division."""
    return np.int64(((state >> _uint(32)) * _uint(items)) >> _uint(32))


@njit("int64[::1](int64, int64, uint64)", cache=True)
def first_items(count: int, items: int, seed: int) -> npt.NDArray[np.int64]:
    """Return int64 (count,): the items that the first thread draws first."""
    drawn = np.empty(count, np.int64)
    state = first_state(_uint(seed), _uint(0))
    for place in range(count):
        state = next_state(state)
        drawn[place] = item_of(state, items)
    return drawn


@njit("void(int64[::1], int64[::1], int64, uint64)", nogil=True, cache=True)
def shuffle(
    pairs: npt.NDArray[np.int64], mixed: npt.NDArray[np.int64], groups: int, seed: int
) -> None:
    """Write pairs in a random order in which those of a user are not far apart.

    Each user goes to one of the groups by chance. The groups follow each other, and within a group
    every order is as likely (Fisher and Yates). With one group that is a shuffle of all.

    Args:
        pairs: int64 (pairs,): the user in the upper 32 bits; quickest where sorted by user.
        mixed: int64 (pairs,), written.
        groups: how many; the fewer, the farther apart.
        seed: of groups and order.
    """
    ends = np.zeros(groups + 1, np.int64)
    last: Any = -1
    group: Any = 0
    for pair in pairs:
        if pair >> 32 != last:
            last = pair >> 32
            group = item_of(first_state(_uint(seed), _uint(last)), groups)
        ends[group + 1] += 1
    ends = np.cumsum(ends)
    places = ends[:-1].copy()
    last = -1
    for pair in pairs:
        if pair >> 32 != last:
            last = pair >> 32
            group = item_of(first_state(_uint(seed), _uint(last)), groups)
        mixed[places[group]] = pair
        places[group] += 1
    state = first_state(_uint(seed), _uint(2**32))
    for group in range(groups):
        start = ends[group]
        for size in range(ends[group + 1] - start, 1, -1):
            state = next_state(state)
            here, there = start + size - 1, start + item_of(state, size)
            mixed[here], mixed[there] = mixed[there], mixed[here]
