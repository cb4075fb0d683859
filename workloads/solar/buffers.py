"""What the buffers of all ranks hold between two epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workloads.solar import keeping
from workloads.solar.epoch_plan import EpochPlan, Training


@dataclass(frozen=True, slots=True)
class Buffers:
    """Each sample is in one buffer at most. Planning an epoch changes the arrays in place.

    Attributes:
        home: shape (samples, 2), int32, the rank that holds each sample and the slot that it is in,
            or -1 and -1.
        free: shape (ranks, slots), int32, stacks of free slots.
        free_count: shape (ranks,), int64, the height of each stack.
    """

    home: NDArray[np.int32]
    free: NDArray[np.int32]
    free_count: NDArray[np.int64]

    def fill(self, begun: Begun) -> EpochPlan:
        """Return the plan of an epoch for which it is known who trains on what and what stays."""
        target = np.empty_like(begun.rank)
        keeping.fill_slots(
            begun.order, begun.batch, begun.source, begun.rank, begun.kept, target,
            self.home, self.free, self.free_count, begun.turns, begun.held,
        )  # fmt: skip
        return EpochPlan(begun.epoch, begun.order, begun.rank, begun.source, target)


@dataclass(frozen=True, slots=True)
class Begun:
    """The plan of an epoch while it is made; arrays of shape (samples,) by place.

    Attributes:
        epoch: which.
        batch: of all ranks together.
        order: int64, the samples.
        rank: int32, who trains on each; -1 where that is open.
        source: int32, the slot that holds it, or -1.
        kept: uint8, 1 where it stays in its rank's buffer.
        room: shape (steps, ranks), int32, what is open of the local batches.
        turns: int32, the places in another order: in each step, what is held comes first.
        held: shape (steps,), int32, the turn that follows the last of what is held in a step.
    """

    epoch: int
    batch: int
    order: NDArray[np.int64]
    rank: NDArray[np.int32]
    source: NDArray[np.int32]
    kept: NDArray[np.uint8]
    room: NDArray[np.int32]
    turns: NDArray[np.int32]
    held: NDArray[np.int32]

    def deal_rest(self) -> None:
        """Give what is open to the ranks with room, to each a range of the file."""
        keeping.deal_rest(places_of(self.order), self.batch, self.rank, self.room)


def empty(training: Training) -> Buffers:
    """Return the buffers before the first epoch."""
    # Slots beyond a rank's share of all samples would never be used.
    slots = min(training.slots, -(-training.samples // training.ranks))
    return Buffers(
        home=np.full((training.samples, 2), -1, dtype=np.int32),
        free=np.tile(np.arange(slots, dtype=np.int32)[::-1], (training.ranks, 1)),
        free_count=np.full(training.ranks, slots, dtype=np.int64),
    )


def begin(
    buffers: Buffers, training: Training, epoch: int, order: NDArray[np.int64],
    local: NDArray[np.int32],
) -> Begun:  # fmt: skip
    """Return an epoch in which those samples that are held go to the ranks that hold them.

    Args:
        buffers: as they are when the epoch begins.
        training: what is planned for.
        epoch: which.
        order: its samples.
        local: shape (steps, ranks), the local batches that are wanted. A rank that holds more of a
            step trains on more.
    """
    rank, source, turns = np.empty((3, training.samples), dtype=np.int32)
    last_held = np.empty(training.steps, dtype=np.int32)
    kept = np.zeros(training.samples, dtype=np.uint8)
    room = local.copy()
    keeping.find_held(order, training.batch, buffers.home, rank, source, room, turns, last_held)
    return Begun(epoch, training.batch, order, rank, source, kept, room, turns, last_held)


def places_of(order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the place of each sample in an order, shape (samples,)."""
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places
