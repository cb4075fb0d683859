"""The planner `assay`: the fewest reads there can be, in equal shares.

Each sample is used once an epoch, so that each reuse crosses one boundary between epochs: buffers
that hold C of n samples save at most C reads a boundary, whatever is in them. Which C are kept is
free. They are chosen so that in each step of the next epoch every rank finds as many of its samples
in its buffer as every other rank does: local batches are equal, and so are the reads.

The setting (the whole shuffle is known ahead) is that of SOLAR (Sun et al., arXiv 2211.00224); the
choice of what to keep is this project's. Three wishes stand in this order, and where they cannot
all be had the later ones give way: the fewest reads; equal local batches; equal reads. With local
batches of 8 samples all three are had up to C = 3n/4, with greater ones further. Near C = n almost
nothing is read: a sample can only be trained on by the rank that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from workloads.solar import keeping
from workloads.solar.buffers import Begun, begin, empty, places_of
from workloads.solar.epoch_plan import EpochPlan, Training
from workloads.solar.orders import checked, checked_start, epoch_order
from workloads.solar.quotas import Shares, shares


def planner(training: Training) -> Schedule:
    """Return the planner of a training.

    Raises:
        AssayError: a number of the training is out of range.
    """
    return Schedule(checked(training))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Plans epoch after epoch; memory grows with the samples, not with the epochs.

    Where the training has an end, its last epoch keeps nothing.

    Attributes:
        training: what is planned for.
        name: of the policy.
    """

    training: Training
    name: str = field(default="assay", init=False)

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`; the earlier ones are planned again for it.

        Raises:
            AssayError: the training has no such epoch.
        """
        training = self.training
        checked_start(training, start)
        share, held = shares(training), empty(training)
        order = epoch_order(training.seed, 0, training.samples)
        for epoch in count():
            begun = begin(held, training, epoch, order, share.local)
            if epoch + 1 != training.epochs:
                order = epoch_order(training.seed, epoch + 1, training.samples)
                _choose(begun, order, share)
            begun.deal_rest()
            plan = held.fill(begun)
            if epoch >= start:
                yield plan
            if epoch + 1 == training.epochs:
                return


def _choose(begun: Begun, following: NDArray[np.int64], share: Shares) -> None:
    """Choose what stays: within the quotas first, then with less and less regard for them.

    Args:
        begun: who trains on what, and what is kept, are filled in.
        following: the order of the next epoch.
        share: of each rank.
    """
    next_step = places_of(following)[begun.order] // begun.batch
    quota, left = np.zeros_like(share.hits), share.held.copy()
    spare = share.local - share.hits
    # One sample more costs equal reads; more than a local batch, equal batches.
    for more in (
        share.hits,
        np.minimum(spare, 1),
        np.maximum(spare - 1, 0),
        begun.batch,
    ):
        quota += more
        keeping.keep(
            next_step,
            begun.batch,
            begun.rank,
            begun.kept,
            begun.room,
            quota,
            left,
            begun.turns,
            begun.held,
        )
        if not left.any():
            break
    keeping.keep_in_time(begun.batch, begun.rank, begun.kept, left, begun.turns, begun.held)
