"""Which epoch should follow which, so that the end of one shares samples with the next's start.

SOLAR (Sun et al., arXiv 2211.00224) looks for the epochs' order as a travelling salesman's path, by
particle swarms. Here it is the best greedy path from any epoch, and then a local search that moves
one epoch at a time while that helps: the same path problem by simpler means.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def overlaps(orders: Iterable[NDArray[np.int64]], held: int) -> NDArray[np.int64]:
    """Return how many of the last samples of an epoch are among the first of another.

    Args:
        orders: of the epochs, permutations of equal length.
        held: how many samples count as the last, and as the first.

    Returns:
        Shape (epochs, epochs): of row's last and column's first.
    """
    last: list[NDArray[np.uint64]] = []
    first: list[NDArray[np.uint64]] = []
    for order in orders:
        for bits, places in ((last, order[len(order) - held :]), (first, order[:held])):
            chosen = np.zeros(-(-len(order) // 64) * 64, dtype=bool)
            chosen[places] = True
            bits.append(np.packbits(chosen).view(np.uint64))
    shared = [[int(np.bitwise_count(a & b).sum()) for b in first] for a in last]
    return np.array(shared, dtype=np.int64).reshape(len(last), len(first))


def best_path(gain: NDArray[np.int64]) -> list[int]:
    """Return an order of the epochs with a great sum of gains from each to its next.

    Args:
        gain: shape (epochs, epochs), of going from row to column.
    """
    paths = [_greedy(gain, start) for start in range(len(gain))]
    path = max(paths, key=lambda one: path_gain(gain, one))
    best = path_gain(gain, path)
    improved = True
    while improved:
        improved = False
        for epoch in range(len(gain)):
            others = [one for one in path if one != epoch]
            moved = max(
                ([*others[:place], epoch, *others[place:]] for place in range(len(gain))),
                key=lambda one: path_gain(gain, one),
            )
            if path_gain(gain, moved) > best:
                path, best, improved = moved, path_gain(gain, moved), True
    return path


def path_gain(gain: NDArray[np.int64], path: list[int]) -> int:
    """Return the sum of the gains along a path."""
    return int(gain[path[:-1], path[1:]].sum())


def _greedy(gain: NDArray[np.int64], start: int) -> list[int]:
    path, open_to = [start], np.ones(len(gain), dtype=bool)
    open_to[start] = False
    while open_to.any():
        path.append(int(np.where(open_to, gain[path[-1]], -1).argmax()))
        open_to[path[-1]] = False
    return path
