"""Compiled training on blocks of interactions that share their negatives; `block.py` explains."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from workloads.heat.block_simplex_kernel import (
    NO_TOWER,
    Tower,
    end_block,
    meet_positive,
    new_scratch,
    start_block,
)
from workloads.heat.instruction_sets import InstructionSet, native_lanes
from workloads.heat.meeting import meet, scale_of
from workloads.heat.pairs import LOW
from workloads.heat.quantise import (
    Floats,
    Words,
    limit_bfloat16,
    limit_float32,
    pack_bfloat16,
    pack_negative_int8,
    pack_user_int8,
)
from workloads.heat.random_stream import first_state, item_of, next_state
from workloads.heat.simd import (
    BFLOAT16,
    INT8,
    SUMMED,
    TILE_VECTORS,
    filter_tile,
    lowest_bit,
    prefetch,
    sum_rows,
)
from workloads.kernels.compiled import compiled
from workloads.kernels.llvm_vectors import LINE

_float = np.float32
_LANES = native_lanes()
_AHEAD = 8  # interactions whose rows are asked for before they are needed
_WORD_BITS = 64
_TILE = 8  # rows of the highest tile

ROW_MULTIPLE = max(LINE, SUMMED * _LANES)
"""Rows are padded with zeros to a multiple of this many columns."""


@compiled(forceinline=True)
def _fetch(rows: Floats, row: int, dim: int) -> None:
    for d in range(0, dim, LINE):
        prefetch(rows, row, d)


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def _positive(
    users: Floats, user: int, items: Floats, item: int, lr: np.float32, unit: Floats, row: int,
    dim: int,
) -> tuple[np.float32, np.float32]:  # fmt: skip
    """Write the user's row at length 1, turn both rows; return one over its length, the cosine."""
    user_scale, item_scale, cosine = meet(users, user, items, item, dim)
    across = lr * user_scale * item_scale
    user_keeps = _float(1) - lr * cosine * user_scale * user_scale
    item_keeps = _float(1) - lr * cosine * item_scale * item_scale
    for d in range(dim):
        of_user = users[user, d]
        of_item = items[item, d]
        unit[row, d] = of_user * user_scale
        users[user, d] = user_keeps * of_user + across * of_item
        items[item, d] = item_keeps * of_item + across * of_user
    return user_scale, cosine


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def _normalise(items: Floats, item: int, unit: Floats, row: int, dim: int) -> np.float32:
    """Write a row at length 1; return one over its length."""
    square = _float(0)
    for d in range(dim):
        square += items[item, d] * items[item, d]
    scale = scale_of(square)
    for d in range(dim):
        unit[row, d] = items[item, d] * scale
    return scale


@compiled(forceinline=True)
def _listed(
    found: npt.NDArray[np.uint64], rows: int, columns: int, row_of: Words, column_of: Words
) -> int:
    """Write row and column of every bit that is set, row by row; return how many there are."""
    count = 0
    for row in range(rows):
        for word in range((columns + _WORD_BITS - 1) // _WORD_BITS):
            bits = found[row, word]
            left = columns - word * _WORD_BITS
            if left < _WORD_BITS:
                bits &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
            while bits != 0:
                row_of[count] = row
                column_of[count] = word * _WORD_BITS + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                count += 1
    return count


@compiled(forceinline=True, fastmath=True)
def _rescored(
    users: Floats, items: Floats, ids: npt.NDArray[np.int64], scales: Floats, row_of: Words,
    column_of: Words, item_of_pair: Words, scale_of: Floats, cosines: Floats, count: int,
    margin: np.float32, dim: int,
) -> int:  # fmt: skip
    """Keep the pairs above the margin, with their cosines in float32; return how many there are."""
    kept = 0
    for place in range(count):
        row = row_of[place]
        column = column_of[place]
        item = ids[column]
        cosine = _float(0)
        for d in range(dim):
            cosine += users[row, d] * items[item, d]
        cosine *= scales[column]
        row_of[kept] = row
        column_of[kept] = column
        item_of_pair[kept] = item
        scale_of[kept] = scales[column]
        cosines[kept] = cosine
        kept += int(cosine > margin)
    return kept


@compiled(forceinline=True, fastmath=True)
def _sum(
    rows: Floats, places: Words, weights: Floats, first: int, last: int, total: Floats, dim: int
) -> None:
    """Write the weighted sum of some rows."""
    for start in range(0, dim, SUMMED * _LANES):
        sum_rows(rows, places, weights, first, last, total, start, _LANES)


def block_epoch(dim: int, kind: InstructionSet, tower: Tower | None = None) -> Callable[..., Any]:
    """Return what trains on a part of the interactions, compiled for rows of one length.

    It takes, before what every `host_sgd.Epoch` does, `block`: interactions that share negatives, a
    multiple of the tile's height; and `panel`: negatives that are filtered together, a multiple
    of 64.

    Args:
        dim: of the rows, a multiple of `ROW_MULTIPLE`.
        kind: how negatives are filtered.
        tower: what makes users' vectors in SimpleX; None where their rows are their vectors.
    """
    return partial(_compiled(dim, kind, tower is not None), tower or NO_TOWER)


@lru_cache(maxsize=16)
def _compiled(dim: int, kind: InstructionSet, has_tower: bool) -> Callable[..., Any]:
    unit, lanes, height = kind.unit, kind.lanes, kind.height
    units = dim // (1, 2, 4)[unit]
    number = np.int32 if unit == INT8 else np.float32

    @compiled(nogil=True, fastmath=True, error_model="numpy")
    def train(  # type: ignore[no-untyped-def]
        tower, block, panel, users, items, interactions, first, last, negatives, lr, margin,
        weight, seed, thread, told,
    ):  # fmt: skip
        state = first_state(np.uint64(seed), np.uint64(thread))
        # No more than the interactions fill, in whole tiles.
        room = max(_TILE, min(block, (last - first + _TILE - 1) // _TILE * _TILE))
        user_unit = np.empty((room, dim), np.float32)
        item_unit = np.empty((1, dim), np.float32)
        left = np.zeros((room, units), np.int32)
        packed = np.zeros((panel, units), np.int32)
        right = np.zeros((units, panel), np.int32)
        left_int8, left_half = left.view(np.int8), left.view(np.uint16)
        packed_int8, packed_half = packed.view(np.uint8), packed.view(np.uint16)
        left_float, packed_float = left.view(np.float32), packed.view(np.float32)
        user_bits, item_bits = user_unit.view(np.uint32), item_unit.view(np.uint32)
        user_scale = np.empty(room, np.float32)
        item_scale = np.empty(panel, np.float32)
        limit = np.zeros(room, number)
        bias = np.zeros(panel, number)
        mask = np.zeros((room, panel // 8), np.uint8)
        mask_words = mask.view(np.uint64)
        ids = np.empty(panel, np.int64)
        following = np.empty(panel, np.int64)
        row_of = np.empty(room * panel, np.int32)
        column_of = np.empty(room * panel, np.int32)
        by_column = np.empty(room * panel, np.int32)
        item_of_pair = np.empty(room * panel, np.int32)
        scale_of = np.empty(room * panel, np.float32)
        cosines = np.empty(room * panel, np.float32)
        ones = np.ones(room * panel, np.float32)
        ends = np.empty(panel, np.int32)
        along = np.empty(panel, np.float32)
        total = np.empty(dim, np.float32)
        slope = _float(weight / negatives)
        if has_tower:
            scratch = new_scratch(block, users.shape[0], tower.most, dim)
        loss: Any = 0.0
        passed = 0
        active = 0
        for j in range(panel):
            state = next_state(state)
            following[j] = item_of(state, items.shape[0])
        for start in range(first, last, block):
            rows = min(block, last - start)
            if has_tower:
                met = start_block(tower, scratch, users, items, interactions, start, start + rows)
            for k in range(rows):
                if start + k + _AHEAD < last:
                    ahead = interactions[start + k + _AHEAD]
                    _fetch(users, ahead >> 32, dim)
                    _fetch(items, ahead & LOW, dim)
                pair = interactions[start + k]
                if has_tower:
                    user_scale[k], cosine = meet_positive(
                        scratch, k, items, pair & LOW, lr, user_unit, dim
                    )
                else:
                    user_scale[k], cosine = _positive(
                        users, pair >> 32, items, pair & LOW, lr, user_unit, k, dim
                    )
                loss += 1.0 - cosine
                if unit == INT8:
                    pack_user_int8(user_unit, k, left_int8, limit, margin, dim)
                elif unit == BFLOAT16:
                    pack_bfloat16(user_bits, k, left_half, k, dim)
                    limit[k] = limit_bfloat16(margin, dim)
                else:
                    for d in range(dim):
                        left_float[k, d] = user_unit[k, d]
                    limit[k] = limit_float32(margin, dim)
            for panel_start in range(0, negatives, panel):
                columns = min(panel, negatives - panel_start)
                for j in range(columns):
                    ids[j] = following[j]
                    state = next_state(state)
                    following[j] = item_of(state, items.shape[0])
                    _fetch(items, following[j], dim)
                    item_scale[j] = _normalise(items, ids[j], item_unit, 0, dim)
                    if unit == INT8:
                        pack_negative_int8(item_unit, 0, packed_int8, j, bias, dim)
                    elif unit == BFLOAT16:
                        pack_bfloat16(item_bits, 0, packed_half, j, dim)
                    else:
                        for d in range(dim):
                            packed_float[j, d] = item_unit[0, d]
                    for d in range(units):
                        right[d, j] = packed[j, d]
                for j in range(0, columns, lanes * TILE_VECTORS):
                    for k in range(0, rows, height):
                        filter_tile(left, k, right, j, bias, limit, mask, unit, lanes, height)
                count = _listed(mask_words, rows, columns, row_of, column_of)
                passed += count
                count = _rescored(
                    user_unit, items, ids, item_scale, row_of, column_of, item_of_pair, scale_of,
                    cosines, count, margin, dim,
                )  # fmt: skip
                active += count
                for j in range(columns):
                    ends[j] = 0
                    along[j] = _float(0)
                place = 0
                while place < count:
                    k = row_of[place]
                    begin = place
                    owed = _float(0)
                    while place < count and row_of[place] == k:
                        owed += cosines[place]
                        ends[column_of[place]] += 1
                        along[column_of[place]] += cosines[place]
                        place += 1
                    loss += slope * (owed - margin * (place - begin))
                    _sum(items, item_of_pair, scale_of, begin, place, total, dim)
                    rate = slope * user_scale[k]
                    if has_tower:
                        slot = scratch.slots[k]
                        for d in range(dim):
                            scratch.slopes[slot, d] += rate * (total[d] - owed * user_unit[k, d])
                    else:
                        user = interactions[start + k] >> 32
                        rate *= lr
                        for d in range(dim):
                            users[user, d] -= rate * (total[d] - owed * user_unit[k, d])
                place = 0
                for j in range(columns):
                    size = ends[j]
                    ends[j] = place
                    place += size
                for place in range(count):
                    j = column_of[place]
                    by_column[ends[j]] = row_of[place]
                    ends[j] += 1
                begin = 0
                for j in range(columns):
                    if ends[j] > begin:
                        _sum(user_unit, by_column, ones, begin, ends[j], total, dim)
                        rate = lr * slope * item_scale[j]
                        keeps = _float(1) + rate * along[j] * item_scale[j]
                        for d in range(dim):
                            items[ids[j], d] = keeps * items[ids[j], d] - rate * total[d]
                    begin = ends[j]
            if has_tower:
                end_block(tower, scratch, users, items, met, lr)
        told[thread, 0] = loss
        told[thread, 1] = passed
        told[thread, 2] = active

    return train
