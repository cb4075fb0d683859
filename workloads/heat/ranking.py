"""The compiled part of evaluation: the best items of each user, without a table of scores.

Products of all users and items are made in few bits by the instructions that training uses, and
only compared with what each user's list already holds: a bit for each product is all that is kept.
By the bounds of `quantise` no item that belongs into the list is lost; those that pass are scored
again in float32, one at a time and always in the same way, and only these scores rank.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from workloads.heat.instruction_sets import available
from workloads.heat.interactions import Ids, Pointers
from workloads.heat.quantise import limit_bfloat16, limit_float32
from workloads.heat.simd import BFLOAT16, FLOAT32, INT8, TILE_VECTORS, filter_tile, lowest_bit
from workloads.kernels.compiled import compiled

Floats = npt.NDArray[np.float32]
Users = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]

_PANEL = 256
"""Items between two looks at the lists: few, so that the lists are never far behind."""

_PART = 64
"""Users that a thread ranks together: their rows stay in its first cache."""


def best_by_product(
    user_rows: Floats, item_rows: Floats, users: Users, train_ptr: Pointers, train_items: Ids,
    places: int,
) -> Ids:  # fmt: skip
    """Return the items of the largest products for each user: int32 (users that count, places).

    -1 stands where there are no more. Of equal products the lower id ranks first; what is not a
    number is not ranked.

    Args:
        user_rows: float32 (users that count, dim), of length 1 or 0.
        item_rows: float32 (items, dim), of length 1 or 0.
        users: int64 (users that count,): their ids.
        train_ptr: int64 (users + 1,), of `Interactions`.
        train_items: int32 (training interactions,): left out.
        places: length of the list.
    """
    kind = next(one for one in available() if one.unit != INT8)
    packed_users = _packed(user_rows, kind.unit, _PART)
    by_panel = _packed(item_rows, kind.unit, _PANEL).reshape(-1, _PANEL, packed_users.shape[1])
    panels = np.ascontiguousarray(by_panel.transpose(0, 2, 1))
    best = np.full((users.size, places), -1, np.int32)
    fill = _filler(kind.unit, kind.lanes, kind.height)
    fill(user_rows, item_rows, packed_users, panels, users, train_ptr, train_items, best)
    return best


def _packed(rows: Floats, unit: int, multiple: int) -> Words:
    """Return int32 (rows, units), zeros added so that the rows are a multiple of some number."""
    size = -(-rows.shape[0] // multiple) * multiple, -(-rows.shape[1] // 2) * 2
    padded = np.zeros(size, np.float32)
    padded[: rows.shape[0], : rows.shape[1]] = rows
    if unit == FLOAT32:
        return padded.view(np.int32)
    bits = padded.view(np.uint32)
    bits += np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))  # to nearest, ties to even
    return (bits >> np.uint32(16)).astype(np.uint16).view(np.int32)


@compiled(fastmath={"reassoc", "contract"}, error_model="numpy")
def _product(left: Floats, row: int, right: Floats, column: int) -> np.float32:
    total = np.float32(0)
    for d in range(left.shape[1]):
        total += left[row, d] * right[column, d]
    return total


@compiled()
def _enter(scores: Floats, items: Words, row: int, score: np.float32, item: int) -> None:
    """Put an item into a list, descending, behind those of its score."""
    place = scores.shape[1] - 1
    while place > 0 and score > scores[row, place - 1]:
        scores[row, place] = scores[row, place - 1]
        items[row, place] = items[row, place - 1]
        place -= 1
    scores[row, place] = score
    items[row, place] = item


@lru_cache(maxsize=8)
def _filler(unit: int, lanes: int, height: int) -> Callable[..., None]:
    """Return the function that fills the lists with one instruction set."""
    width = lanes * TILE_VECTORS

    @compiled(parallel=True, error_model="numpy")
    def fill(
        user_rows: Floats, item_rows: Floats, packed_users: Words, panels: Words, users: Users,
        train_ptr: Pointers, train_items: Ids, best: Words,
    ) -> None:  # fmt: skip
        places = best.shape[1]
        dim = item_rows.shape[1]
        for part in prange(packed_users.shape[0] // _PART):
            first = part * _PART
            rows = min(_PART, users.size - first)
            left = packed_users[first : first + _PART]
            lists = best[first : first + rows]
            scores = np.full((_PART, places), -np.inf, np.float32)
            bias = np.zeros(_PANEL, np.float32)
            limit = np.full(_PART, np.inf, np.float32)
            found = np.zeros((_PART, _PANEL // 8), np.uint8)
            words = found.view(np.uint64)
            known = np.empty(rows, np.int64)
            for row in range(rows):
                known[row] = train_ptr[users[first + row]]
            for panel in range(panels.shape[0]):
                for row in range(rows):
                    least = scores[row, places - 1]
                    if unit == BFLOAT16:
                        limit[row] = limit_bfloat16(least, dim)
                    else:
                        limit[row] = limit_float32(least, dim)
                right = panels[panel]
                for column in range(0, _PANEL, width):
                    for row in range(0, _PART, height):
                        filter_tile(
                            left, row, right, column, bias, limit, found, unit, lanes, height
                        )
                for row in range(rows):
                    last = train_ptr[users[first + row] + 1]
                    for word in range(_PANEL // 64):
                        bits = words[row, word]
                        while bits != 0:
                            item = panel * _PANEL + word * 64 + lowest_bit(bits)
                            bits &= bits - np.uint64(1)
                            while known[row] < last and train_items[known[row]] < item:
                                known[row] += 1
                            is_known = known[row] < last and train_items[known[row]] == item
                            if item < item_rows.shape[0] and not is_known:
                                score = _product(user_rows, first + row, item_rows, item)
                                if score > scores[row, places - 1]:
                                    _enter(scores, lists, row, score, item)

    filler: Callable[..., None] = fill
    return filler


@njit("int32[:,::1](int32[::1], int64[::1], int64[::1], int32[::1], int64)", cache=True)
def best_of_one_order(
    order: Ids,
    users: npt.NDArray[np.int64],
    train_ptr: Pointers,
    train_items: Ids,
    places: int,
) -> Ids:
    """Return the best items of each user where all rank alike: int32 (users, places), -1 for none.

    Args:
        order: int32 (items,): best first.
        users: int64 (users that count,): their ids.
        train_ptr: int64 (users + 1,), of `Interactions`.
        train_items: int32 (training interactions,): left out.
        places: length of the list.
    """
    best = np.full((users.size, places), -1, np.int32)
    last_with = np.full(order.size, -1, np.int64)
    for row in range(users.size):
        for at in range(train_ptr[users[row]], train_ptr[users[row] + 1]):
            last_with[train_items[at]] = row
        place = 0
        for item in order:
            if place == places:
                break
            if last_with[item] != row:
                best[row, place] = item
                place += 1
    return best
