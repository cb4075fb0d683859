"""What SimpleX adds to `block_kernel.py`: users' vectors at a block's start, slopes at its end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from workloads.heat.meeting import meet
from workloads.heat.pairs import Pairs
from workloads.heat.quantise import Floats, Words
from workloads.heat.simd_matrix import HEIGHT_MULTIPLE, multiply, multiply_turned
from workloads.heat.simd_rows import AHEAD, subtract_from_rows, sum_of_rows
from workloads.kernels.compiled import compiled

_float = np.float32
_STRIP = 16  # float32 in a cache line


class Tower(NamedTuple):
    """What users' vectors are made of, besides the rows.

    Attributes:
        user_weight: g of SimpleX, float32.
        most: items of the longest history.
        first_of: int64 (users + 1,): where each user's training items begin in `items`.
        items: int32 (interactions,): a history is the first `most` of a user's.
        value: float32 (dim, dim): W, trained in place.
    """

    user_weight: np.float32
    most: int
    first_of: npt.NDArray[np.int64]
    items: Words
    value: Floats


class Scratch(NamedTuple):
    """What a thread keeps of a block; users that occur several times have one slot.

    Attributes:
        slot_of_user: int32 (users,): right where `users` names the user at that slot.
        users: int64 (block,): the user of each slot.
        slots: int32 (block,): of each interaction.
        places: int32: the items of all slots' histories, one after the other.
        ends: int64 (block,): where each slot's end in `places`.
        pooled: float32 (block, dim): mean of a history's rows.
        vectors: float32 (block, dim): users' vectors.
        slopes: float32 (block, dim): sum of the losses' gradients by each vector.
        turned: float32 (dim, dim).
    """

    slot_of_user: Words
    users: npt.NDArray[np.int64]
    slots: Words
    places: Words
    ends: npt.NDArray[np.int64]
    pooled: Floats
    vectors: Floats
    slopes: Floats
    turned: Floats


NO_TOWER = Tower(
    np.float32(1), 0, np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 0), np.float32)
)
"""Of matrix factorisation."""


@compiled()
def new_scratch(block: int, users: int, most: int, dim: int) -> Scratch:
    """Return scratch memory.

    Args:
        block: interactions, a multiple of the height of a tile.
        users: all there are.
        most: items of the longest history.
        dim: of the rows.
    """
    return Scratch(
        np.zeros(users, np.int32),
        np.zeros(block, np.int64),
        np.zeros(block, np.int32),
        np.zeros(block * most + AHEAD, np.int32),
        np.zeros(block, np.int64),
        np.zeros((block, dim), np.float32),
        np.zeros((block, dim), np.float32),
        np.zeros((block, dim), np.float32),
        np.zeros((dim, dim), np.float32),
    )


@compiled(fastmath=True, error_model="numpy")
def start_block(
    tower: Tower, scratch: Scratch, users: Floats, items: Floats, pairs: Pairs, first: int,
    last: int,
) -> int:  # fmt: skip
    """Write the vectors of the users of some interactions; return how many users there are.

    Args:
        tower: what they are made of.
        scratch: of at least as many interactions.
        users: float32 (users, dim).
        items: float32 (items, dim).
        pairs: int64 (interactions,), each the user times 2^32 plus the item.
        first: of `pairs`.
        last: of `pairs`, exclusive. Each of their users has at least one training item.
    """
    places, ends, pooled, vectors = scratch.places, scratch.ends, scratch.pooled, scratch.vectors
    dim = items.shape[1]
    count = _assign_slots(tower, scratch, pairs, first, last)
    begin = 0
    for slot in range(count):
        sum_of_rows(items, places, begin, ends[slot], pooled, slot)
        share = _float(1) / _float(ends[slot] - begin)
        for d in range(dim):
            pooled[slot, d] *= share
        begin = ends[slot]
    _transpose(tower.value, scratch.turned)
    tall = _padded(count)
    multiply(pooled[:tall], scratch.turned, vectors[:tall])
    of_history = _float(1) - tower.user_weight
    for slot in range(count):
        user = scratch.users[slot]
        for d in range(dim):
            vectors[slot, d] = tower.user_weight * users[user, d] + of_history * vectors[slot, d]
    scratch.slopes[:tall] = _float(0)
    return count


@compiled()
def _assign_slots(tower: Tower, scratch: Scratch, pairs: Pairs, first: int, last: int) -> int:
    """Give each user a slot, and write the places of all histories; return how many users."""
    count = 0
    length = 0
    for at in range(first, last):
        user = pairs[at] >> 32
        slot: Any = np.int64(scratch.slot_of_user[user])
        if slot >= count or scratch.users[slot] != user:
            slot = count
            scratch.slot_of_user[user] = slot
            scratch.users[slot] = user
            begin = tower.first_of[user]
            for place in range(begin, min(begin + tower.most, tower.first_of[user + 1])):
                scratch.places[length] = tower.items[place]
                length += 1
            scratch.ends[slot] = length
            count += 1
        scratch.slots[at - first] = slot
    scratch.places[length : length + AHEAD] = scratch.places[length - 1]
    return count


@compiled()
def _transpose(matrix: Floats, turned: Floats) -> None:
    """Write the transpose, a cache line's columns at a time."""
    for start in range(0, matrix.shape[0], _STRIP):
        for column in range(matrix.shape[1]):
            for row in range(start, start + _STRIP):
                turned[column, row] = matrix[row, column]


@compiled()
def _padded(count: int) -> int:
    return (count + HEIGHT_MULTIPLE - 1) // HEIGHT_MULTIPLE * HEIGHT_MULTIPLE


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def meet_positive(
    scratch: Scratch, k: int, items: Floats, item: int, lr: np.float32, unit: Floats, dim: int
) -> tuple[np.float32, np.float32]:
    """Write a user's vector at length 1, add the slope of the positive, turn the positive's row.

    Returns one over the vector's length, and the cosine.
    """
    vectors, slopes, slot = scratch.vectors, scratch.slopes, scratch.slots[k]
    user_scale, item_scale, cosine = meet(vectors, slot, items, item, dim)
    across = user_scale * item_scale
    along = cosine * user_scale * user_scale
    item_keeps = _float(1) - lr * cosine * item_scale * item_scale
    for d in range(dim):
        of_user = vectors[slot, d]
        of_item = items[item, d]
        unit[k, d] = of_user * user_scale
        slopes[slot, d] += along * of_user - across * of_item
        items[item, d] = item_keeps * of_item + lr * across * of_user
    return user_scale, cosine


@compiled(fastmath=True, error_model="numpy")
def end_block(
    tower: Tower, scratch: Scratch, users: Floats, items: Floats, count: int, lr: np.float32
) -> None:
    """Move all that the vectors of a block are made of against their slopes.

    Args:
        tower: see `start_block`.
        scratch: as `start_block` left it, slopes added.
        users: float32 (users, dim).
        items: float32 (items, dim).
        count: what `start_block` returned.
        lr: learning rate.
    """
    slopes, ends, value, turned = scratch.slopes, scratch.ends, tower.value, scratch.turned
    owed = scratch.vectors  # no longer needed as such
    dim = items.shape[1]
    of_history = lr * (_float(1) - tower.user_weight)
    tall = _padded(count)
    multiply(slopes[:tall], value, owed[:tall])
    multiply_turned(slopes[:tall], scratch.pooled[:tall], turned)
    for row in range(dim):
        for d in range(dim):
            value[row, d] -= of_history * turned[row, d]
    begin = 0
    for slot in range(count):
        user = scratch.users[slot]
        share = of_history / _float(ends[slot] - begin)
        for d in range(dim):
            users[user, d] -= lr * tower.user_weight * slopes[slot, d]
            owed[slot, d] *= share
        subtract_from_rows(items, scratch.places, begin, ends[slot], owed, slot)
        begin = ends[slot]
