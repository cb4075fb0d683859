"""The compiled parts of the schedule: which samples stay across the end of an epoch, and where.

All functions work on one epoch. Arrays of places have the shape (samples,) and are in the order of
training; `kept` is 1 where a sample stays in its rank's buffer, `rank` is -1 where it is open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workloads.kernels.compiled import compiled

_Ints = NDArray[np.int32]
_Longs = NDArray[np.int64]
_Flags = NDArray[np.uint8]


@compiled(nogil=True)
def find_held(
    order: _Longs,
    batch: int,
    home: _Ints,
    rank: _Ints,
    source: _Ints,
    room: _Ints,
    turns: _Ints,
    held: _Ints,
) -> None:
    """Fill in who trains on what the buffers hold, and the room that is left in local batches.

    Args:
        order: of the epoch.
        batch: of all ranks together.
        home: shape (samples, 2), the rank that holds each sample and the slot, or -1 and -1.
        rank: filled in.
        source: filled in.
        room: shape (steps, ranks), the local batches; what is held is taken off. Where that is
            more than a local batch, those of the other ranks make up for it.
        turns: filled in, the places in another order: in each step, what is held comes first.
        held: shape (steps,), filled in, the turn after that of the last that is held in a step.
    """
    for step in range(len(room)):
        first, last = step * batch, min((step + 1) * batch, len(order))
        front, back = first, last - 1
        for place in range(first, last):
            rank[place] = home[order[place], 0]
            source[place] = home[order[place], 1]
            is_held = source[place] >= 0
            turns[front if is_held else back] = place
            front += is_held
            back -= not is_held
        held[step] = front
        for turn in range(first, front):
            room[step, rank[turns[turn]]] -= 1
        for over in range(room.shape[1]):
            while room[step, over] < 0:
                room[step, np.argmax(room[step])] -= 1
                room[step, over] += 1


@compiled(nogil=True)
def keep(
    next_step: _Ints,
    batch: int,
    rank: _Ints,
    kept: _Flags,
    room: _Ints,
    quota: _Ints,
    left: _Longs,
    turns: _Ints,
    held: _Ints,
) -> None:
    """Keep samples as quotas allow, from the last step of the epoch to the first.

    Late samples are kept first because a buffer is full until its samples have been used.

    Args:
        next_step: of each place, the step of the next epoch in which its sample is needed.
        batch: of all ranks together.
        rank: of each place; where it is open, any rank with room may train on the sample. Filled
            in where it is kept.
        kept: filled in.
        room: shape (steps, ranks), of local batches; what is kept is taken off.
        quota: shape (steps, ranks), of the next epoch; what is kept is taken off.
        left: shape (ranks,), what a rank may keep in all; what is kept is taken off.
        turns: as `find_held` gives them.
        held: as `find_held` gives it.
    """
    ranks, remaining = room.shape[1], left.sum()
    # What is held already can be kept by its holder alone: what is read makes up for the ranks
    # that will be short of it.
    held_ahead = np.zeros_like(quota)
    for step in range(len(room)):
        for turn in range(step * batch, held[step]):
            place = turns[turn]
            held_ahead[next_step[place], rank[place]] += 1 - kept[place]
    for step in range(len(room) - 1, -1, -1):
        if remaining == 0:
            return
        first, last = step * batch, min((step + 1) * batch, len(rank))
        open_to = room[step]
        for turn in range(first, held[step]):
            place = turns[turn]
            if kept[place]:
                continue
            holder, needed = rank[place], next_step[place]
            held_ahead[needed, holder] -= 1
            if quota[needed, holder] > 0 and left[holder] > 0:
                quota[needed, holder] -= 1
                left[holder] -= 1
                remaining -= 1
                kept[place] = 1
        for turn in range(held[step], last):
            place = turns[turn]
            if rank[place] >= 0:
                continue
            needed, ahead = quota[next_step[place]], held_ahead[next_step[place]]
            best, most = -1, -(8 * batch)
            other = place % ranks
            for _ in range(ranks):
                if open_to[other] > 0 and needed[other] > 0 and left[other] > 0:
                    score = 4 * (needed[other] - ahead[other]) + open_to[other]
                    if score > most:
                        best, most = other, score
                other = other + 1 if other + 1 < ranks else 0
            if best >= 0:
                rank[place] = best
                open_to[best] -= 1
                needed[best] -= 1
                left[best] -= 1
                remaining -= 1
                kept[place] = 1


@compiled(nogil=True)
def keep_in_time(
    batch: int,
    rank: _Ints,
    kept: _Flags,
    left: _Longs,
    turns: _Ints,
    held: _Ints,
) -> None:
    """Keep later samples instead of earlier ones where a buffer would still have been full.

    A buffer that is full when the epoch begins and when it ends never holds too much exactly if
    from each step to the end at least as many samples are kept as are taken from it. Where too few
    are, there is one among those taken in that very step that can stay in its slot.

    Args:
        batch: of all ranks together.
        rank: of each place, or -1 where it is open (and not kept).
        kept: amended.
        left: shape (ranks,), what each rank may still keep; amended, to 0 where it was exceeded.
        turns: as `find_held` gives them.
        held: as `find_held` gives it.
    """
    ahead = np.zeros(len(left), dtype=np.int64)
    for step in range(len(held) - 1, -1, -1):
        first, last = step * batch, min((step + 1) * batch, len(rank))
        for place in range(first, last):
            ahead[rank[place]] += kept[place]  # what is open is not kept, and adds nothing
        for turn in range(first, held[step]):
            ahead[rank[turns[turn]]] -= 1
        for turn in range(first, held[step]):
            place = turns[turn]
            if ahead[rank[place]] < 0 and not kept[place]:
                kept[place] = 1
                left[rank[place]] -= 1
                ahead[rank[place]] += 1
    too_many = -left.sum()
    for place in range(len(rank)):
        if too_many == 0:
            return
        if kept[place] and left[rank[place]] < 0:
            kept[place] = 0
            left[rank[place]] += 1
            too_many -= 1


@compiled(nogil=True)
def deal_rest(place_of: _Ints, batch: int, rank: _Ints, room: _Ints) -> None:
    """Give what is still open to the ranks with room, to each a range of the file.

    A rank's reads of a step are neighbours then, as far as they can be.

    Args:
        place_of: of each sample of the file, its place.
        batch: of all ranks together.
        rank: of each place; what is -1 is filled in.
        room: shape (steps, ranks), of local batches; used up.
    """
    taker = np.zeros(len(room), dtype=np.int32)
    for place in place_of:
        if rank[place] < 0:
            step = place // batch
            while room[step, taker[step]] <= 0:
                taker[step] += 1
            room[step, taker[step]] -= 1
            rank[place] = taker[step]


@compiled(nogil=True)
def fill_slots(
    order: _Longs,
    batch: int,
    source: _Ints,
    rank: _Ints,
    kept: _Flags,
    target: _Ints,
    home: _Ints,
    free: _Ints,
    free_count: _Longs,
    turns: _Ints,
    held: _Ints,
) -> None:
    """Fill in the slots that the kept samples go to, and bring the buffers up to date.

    Args:
        order: of the epoch.
        batch: of all ranks together.
        source: of each place.
        rank: of each place.
        kept: of each place.
        target: filled in.
        home: of each sample, its rank and slot; amended.
        free: shape (ranks, slots), the free slots of each rank, a stack; amended.
        free_count: shape (ranks,), the height of each stack; amended.
        turns: as `find_held` gives them.
        held: as `find_held` gives it.
    """
    for step in range(len(held)):
        first, last = step * batch, min((step + 1) * batch, len(order))
        for turn in range(first, held[step]):
            place = turns[turn]
            target[place] = source[place]
            if not kept[place]:
                holder, sample = rank[place], order[place]
                free[holder, free_count[holder]] = source[place]
                free_count[holder] += 1
                target[place] = home[sample, 0] = home[sample, 1] = -1
        for turn in range(held[step], last):
            place = turns[turn]
            target[place] = -1
            if kept[place]:
                holder, sample = rank[place], order[place]
                free_count[holder] -= 1
                target[place] = home[sample, 1] = free[holder, free_count[holder]]
                home[sample, 0] = holder
