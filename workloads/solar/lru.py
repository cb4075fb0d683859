"""The planner `lru`: each rank keeps what it used last, as a cache that knows no future does.

A rank trains on the samples that PyTorch's DistributedSampler gives it: every ranks-th place of the
epoch's order. A sample that another rank holds is read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from workloads.kernels.compiled import compiled
from workloads.solar.epoch_plan import EpochPlan, Training
from workloads.solar.orders import checked, checked_start, epoch_order


def planner(training: Training) -> LeastRecentlyUsed:
    """Return the planner of a training.

    Raises:
        AssayError: a number of the training is out of range.
    """
    return LeastRecentlyUsed(checked(training))


@dataclass(frozen=True, slots=True)
class LeastRecentlyUsed:
    """Plans epoch after epoch.

    With one rank and a buffer of the share c of the samples, c + (1 - c) ln(1 - c) of them are
    found in it: between two uses of a sample, at places u and v of their epochs (as shares), there
    is the share (1 - u) + v - v (1 - u) of others, which must be less than c.

    A slot is overwritten when its sample is the one least recently used.

    Attributes:
        training: what is planned for.
        name: of the policy.
    """

    training: Training
    name: str = field(default="lru", init=False)

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`; the earlier ones are planned again for it.

        Raises:
            AssayError: the training has no such epoch.
        """
        training = self.training
        checked_start(training, start)
        slots = min(training.slots, training.samples)
        content = np.full((training.ranks, slots), -1, dtype=np.int32)
        # A ring of slots from the one least recently used; row `slots` is where it begins and ends.
        ring = np.arange(slots + 1, dtype=np.int32)
        newer = np.tile(np.roll(ring, -1), (training.ranks, 1))
        older = np.tile(np.roll(ring, 1), (training.ranks, 1))
        slot = np.full(training.samples, -1, dtype=np.int32)
        rank = (np.arange(training.samples) % training.ranks).astype(np.int32)
        for epoch in count():
            order = epoch_order(training.seed, epoch, training.samples)
            source, target = np.full((2, training.samples), -1, dtype=np.int32)
            if slots:
                for one in range(training.ranks):
                    _use(
                        order, training.batch, one, training.ranks, content[one], newer[one],
                        older[one], slot, source, target,
                    )  # fmt: skip
            if epoch >= start:
                yield EpochPlan(epoch, order, rank.copy(), source, target)
            if epoch + 1 == training.epochs:
                return


@compiled(nogil=True)
def _use(
    order: NDArray[np.int64], batch: int, rank: int, ranks: int, content: NDArray[np.int32],
    newer: NDArray[np.int32], older: NDArray[np.int32], slot: NDArray[np.int32],
    source: NDArray[np.int32], target: NDArray[np.int32],
) -> None:  # fmt: skip
    """Fill in one rank's sources and targets of an epoch.

    Args:
        order: of the epoch.
        batch: of all ranks together.
        rank: whose.
        ranks: how many.
        content: of each slot, the sample or -1; amended.
        newer: of each slot, the one used next after it; amended.
        older: of each slot, the one used before it; amended.
        slot: of each sample, -1; used in between.
        source: by place, filled in at the rank's.
        target: by place, filled in at the rank's.
    """
    end = len(content)
    used = np.full(end, -1, dtype=np.int64)
    for held in range(end):
        if content[held] >= 0:
            slot[content[held]] = held
    for place in range(rank, len(order), ranks):
        sample = order[place]
        taken = slot[sample]
        source[place] = taken
        if taken < 0:
            taken = newer[end]
            if content[taken] >= 0:
                slot[content[taken]] = -1
            if used[taken] >= place // batch * batch:
                target[used[taken]] = -1
            content[taken] = sample
            slot[sample] = taken
        target[place] = taken
        used[taken] = place
        newer[older[taken]], older[newer[taken]] = newer[taken], older[taken]
        latest = older[end]
        newer[latest], older[taken], newer[taken], older[end] = taken, latest, end, taken
    for held in range(end):
        if content[held] >= 0:
            slot[content[held]] = -1
