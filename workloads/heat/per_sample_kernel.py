"""Compiled training one interaction at a time; `per_sample.py` explains."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from workloads.heat.meeting import meet, scale_of
from workloads.heat.pairs import LOW
from workloads.heat.random_stream import first_state, item_of, next_state
from workloads.heat.simd import prefetch
from workloads.kernels.compiled import compiled
from workloads.kernels.llvm_vectors import LINE

_float = np.float32

AHEAD = 16
"""Negatives whose rows are asked for before they are needed; a power of two."""

ROW_MULTIPLE = LINE
"""Rows are padded with zeros to a multiple of this many columns."""


@compiled(inline="always")
def _item(state: np.uint64, tiled: npt.NDArray[np.int64], tile: int, items: int) -> Any:
    return tiled[item_of(state, tile)] if tile > 0 else item_of(state, items)


@lru_cache(maxsize=16)
def per_sample_epoch(dim: int, tile: int, refresh: int) -> Callable[..., Any]:
    """Return what trains on a part of the interactions, compiled for one shape.

    Args:
        dim: of the rows, a multiple of `ROW_MULTIPLE`.
        tile: items that a thread draws its negatives from; 0 for all items.
        refresh: interactions after which the thread draws another tile.
    """

    @compiled(nogil=True, fastmath=True, error_model="numpy")
    def train(  # type: ignore[no-untyped-def]
        users, items, pairs, first, last, negatives, lr, margin, weight, seed, thread, told
    ):
        state = first_state(np.uint64(seed), np.uint64(thread))
        direction = np.empty(dim, np.float32)
        owed = np.empty(dim, np.float32)
        tiled = np.zeros(max(tile, 1), np.int64)
        ahead = np.zeros(AHEAD, np.int64)
        slope = _float(weight / negatives)
        loss: Any = 0.0
        active = 0
        slot = 0
        for interaction in range(first, last):
            if tile > 0 and (interaction - first) % refresh == 0:
                for place in range(tile):
                    state = next_state(state)
                    tiled[place] = item_of(state, items.shape[0])
            if interaction == first:
                for place in range(AHEAD):
                    state = next_state(state)
                    ahead[place] = _item(state, tiled, tile, items.shape[0])
            if interaction + 1 < last:
                for d in range(0, dim, LINE):
                    prefetch(users, pairs[interaction + 1] >> 32, d)
                    prefetch(items, pairs[interaction + 1] & LOW, d)
            user = pairs[interaction] >> 32
            item = pairs[interaction] & LOW
            user_scale, item_scale, cosine = meet(users, user, items, item, dim)
            loss += _float(1) - cosine
            along = -cosine
            rate = lr * item_scale
            for d in range(dim):
                direction[d] = users[user, d] * user_scale
                owed[d] = -items[item, d] * item_scale
                items[item, d] += rate * (direction[d] - cosine * item_scale * items[item, d])
            for _ in range(negatives):
                item = ahead[slot]
                state = next_state(state)
                following = _item(state, tiled, tile, items.shape[0])
                ahead[slot] = following
                slot = (slot + 1) % AHEAD
                for d in range(0, dim, LINE):
                    prefetch(items, following, d)
                item_square = _float(0)
                product = _float(0)
                for d in range(dim):
                    item_square += items[item, d] * items[item, d]
                    product += items[item, d] * direction[d]
                item_scale = scale_of(item_square)
                cosine = product * item_scale
                if cosine > margin:
                    active += 1
                    loss += slope * (cosine - margin)
                    along += slope * cosine
                    share = slope * item_scale
                    rate = lr * share
                    shrink = cosine * item_scale
                    for d in range(dim):
                        value = items[item, d]
                        owed[d] += share * value
                        items[item, d] = value - rate * (direction[d] - shrink * value)
            rate = lr * user_scale
            for d in range(dim):
                users[user, d] -= rate * (owed[d] - along * direction[d])
        told[thread, 0] = loss
        told[thread, 1] = float(last - first) * negatives
        told[thread, 2] = active

    return train


@compiled()
def drawn(
    interactions: int, negatives: int, items: int, seed: int, tile: int, refresh: int
) -> npt.NDArray[np.int64]:
    """Return int64 (interactions, negatives): what the first thread trains on, in its order."""
    found = np.empty((interactions, negatives), np.int64)
    state = first_state(np.uint64(seed), np.uint64(0))
    tiled = np.zeros(max(tile, 1), np.int64)
    ahead = np.zeros(AHEAD, np.int64)
    slot = 0
    for interaction in range(interactions):
        if tile > 0 and interaction % refresh == 0:
            for place in range(tile):
                state = next_state(state)
                tiled[place] = item_of(state, items)
        if interaction == 0:
            for place in range(AHEAD):
                state = next_state(state)
                ahead[place] = _item(state, tiled, tile, items)
        for place in range(negatives):
            found[interaction, place] = ahead[slot]
            state = next_state(state)
            ahead[slot] = _item(state, tiled, tile, items)
            slot = (slot + 1) % AHEAD
    return found
