"""How many samples of each step a rank trains on, and how many of them its buffer should hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workloads.solar.epoch_plan import Training


@dataclass(frozen=True, slots=True)
class Shares:
    """What would be each rank's share of every epoch.

    Attributes:
        local: shape (steps, ranks), int32, the samples of a step that a rank trains on.
        hits: shape (steps, ranks), int32, how many of these its buffer should hold when the epoch
            begins.
        held: shape (ranks,), int64, the sums of the hits: a rank's slots, or all that it trains on
            in an epoch where that is less.
    """

    local: NDArray[np.int32]
    hits: NDArray[np.int32]
    held: NDArray[np.int64]


def shares(training: Training) -> Shares:
    """Return the shares of a training.

    The hits leave each rank the same number of reads in a step, and a steady number from step to
    step, as nearly as whole numbers and the local batches allow.
    """
    local = local_batches(training)
    held = np.minimum(local.sum(axis=0, dtype=np.int64), training.slots)
    return Shares(local, _hits(training, local, held), held)


def local_batches(training: Training) -> NDArray[np.int32]:
    """Return how many samples each rank trains on in each step, as equal as can be.

    The places of an epoch are dealt to the ranks in turn, across steps, so that the ranks' sums
    over an epoch differ by no more than one either.

    Returns:
        Shape (steps, ranks), int32.
    """
    ends = np.minimum(np.arange(training.steps + 1) * training.batch, training.samples)
    return dealt_in_turn(ends, training.ranks)


def dealt_in_turn(ends: NDArray[np.int64], ranks: int) -> NDArray[np.int32]:
    """Return how much each rank gets in each step where it is dealt in turn, across steps.

    Args:
        ends: shape (steps + 1,), how much has been dealt before each step, and in all.
        ranks: how many there are.

    Returns:
        Shape (steps, ranks), int32.
    """
    # Rank r has the places r, r + ranks, ...: of the first x places that is ceil((x - r) / ranks).
    before = -((np.arange(ranks) - ends[:, None]) // ranks)
    return np.diff(before, axis=0).astype(np.int32)


def _hits(
    training: Training, local: NDArray[np.int32], held: NDArray[np.int64]
) -> NDArray[np.int32]:
    reads_each = max(training.samples // training.ranks - training.slots, 0)
    ends = np.minimum(np.arange(1, training.steps + 1) * training.batch, training.samples)
    wanted = reads_each * ends // training.samples
    # By each step a rank has read what is wanted, or less where a step had no room for it: then all
    # that it trained on since.
    trained = local.cumsum(axis=0, dtype=np.int64)
    behind = np.minimum.accumulate(np.minimum(wanted[:, None] - trained, 0), axis=0)
    reads = np.diff(trained + behind, axis=0, prepend=0)
    hits = (local - reads).astype(np.int32)
    # A rank that trains on one sample more than others, or had no room in a short step, reads more.
    for rank in range(training.ranks):
        too_many = int(hits[:, rank].sum() - held[rank])
        step = training.steps
        while too_many > 0:
            step -= 1
            fewer = min(too_many, int(hits[step, rank]))
            hits[step, rank] -= fewer
            too_many -= fewer
    return hits
