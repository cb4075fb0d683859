"""What a loader does in one epoch, decided before it begins: the common form of every policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

READ = -1
"""As a source: the sample is read from the file."""

DROPPED = -1
"""As a target: the sample is in no buffer after its step."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of a training before it begins.

    Attributes:
        samples: n, of the file.
        batch: samples that all ranks together train on in one step; the last step of an epoch has
            what is left.
        ranks: how many ranks share a step.
        slots: samples that each rank's buffer holds.
        epochs: epochs of the training; 0 for one that does not end.
        seed: of the epochs' orders.
    """

    samples: int
    batch: int
    ranks: int
    slots: int
    epochs: int
    seed: int

    @property
    def steps(self) -> int:
        """Return the steps of an epoch."""
        return -(-self.samples // self.batch)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Where each sample of an epoch comes from, who trains on it, and where it is kept.

    All arrays have the shape (n,) and are in the order of training: step t has the places from
    t * batch to (t + 1) * batch. Within a step a rank first takes what its buffer holds, which
    empties the slots of what is not kept, and then keeps what it has read: a slot that is emptied
    in a step may be filled in the same step. A slot may also be filled while it holds a sample that
    was not used again: that sample is lost, as in a cache that knows no future.

    Attributes:
        epoch: from 0.
        order: int64, the samples.
        rank: int32, the rank that trains on each.
        source: int32, the slot of that rank's buffer which holds the sample, or READ.
        target: int32, the slot that holds it after its step, or DROPPED. One that stays in the
            buffer stays in its slot.
    """

    epoch: int
    order: NDArray[np.int64]
    rank: NDArray[np.int32]
    source: NDArray[np.int32]
    target: NDArray[np.int32]

    def reads(self) -> int:
        """Return how many samples are read from the file."""
        return int(np.count_nonzero(self.source == READ))


class Planner(Protocol):
    """A policy: which samples the buffers keep, and which rank trains on which."""

    @property
    def name(self) -> str:
        """Return the policy's name."""
        ...

    @property
    def training(self) -> Training:
        """Return what is planned for."""
        ...

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`, one at a time.

        Equal for equal settings: an epoch's plan does not depend on where the iteration began.
        """
        ...
