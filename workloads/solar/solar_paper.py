"""The planner `solar-paper`: SOLAR as published, for comparison.

Sun et al., "SOLAR: A Highly Optimized Data Loading Framework for Distributed Training of CNN-based
Scientific Surrogates" (arXiv 2211.00224): the epochs are visited in an order in which the last
samples of one have much in common with the first of the next; a buffer holds the last samples that
its rank has trained on; a rank trains on what it holds; and the reads of a step are shared out
equally, so that local batches are not equal.

Of what a buffer holds when an epoch begins, only samples among the epoch's first C count, where C
is what all buffers hold together: as published. The others are not stored at all, which changes
neither reads nor hits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from workloads.solar.buffers import Begun, begin, empty
from workloads.solar.epoch_order_search import best_path, overlaps
from workloads.solar.epoch_plan import READ, EpochPlan, Training
from workloads.solar.orders import capacity, checked, checked_start, epoch_order
from workloads.solar.quotas import dealt_in_turn

SEARCHED = 50
"""Epochs whose order is searched at once: the search is quadratic in them, and all
its orders are had before the training begins."""


def planner(training: Training) -> Published:
    """Return the planner of a training; looking for the order of its first epochs takes a while.

    Raises:
        AssayError: a number of the training is out of range.
    """
    checked(training)
    return Published(training, tuple(_searched(training)))


@dataclass(frozen=True, slots=True)
class Published:
    """Plans epoch after epoch.

    Attributes:
        training: what is planned for.
        path: which epochs' orders are visited, in turn. A training without end goes through them
            again and again, one with more epochs than are searched at once in blocks.
        name: of the policy.
    """

    training: Training
    path: tuple[int, ...]
    name: str = field(default="solar-paper", init=False)

    def visited(self, epoch: int) -> int:
        """Return which of the training's epochs comes at this place."""
        return self.path[epoch % len(self.path)]

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`; the earlier ones are planned again for it.

        Raises:
            AssayError: the training has no such epoch.
        """
        training = self.training
        checked_start(training, start)
        held = empty(training)
        any_share = np.full((training.steps, training.ranks), training.batch, dtype=np.int32)
        order = self._order(0)
        for epoch in count():
            begun = begin(held, training, epoch, order, any_share)
            begun.room[:] = _equal_reads(begun)
            begun.deal_rest()
            if epoch + 1 != training.epochs:
                order = self._order(epoch + 1)
                _keep_last(begun, order, training)
            plan = held.fill(begun)
            if epoch >= start:
                yield plan
            if epoch + 1 == training.epochs:
                return

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self.training.seed, self.visited(epoch), self.training.samples)


def _searched(training: Training) -> Iterator[int]:
    """Yield the epochs in the order of the search, block after block."""
    epochs = training.epochs or SEARCHED
    for first in range(0, epochs, SEARCHED):
        block = range(first, min(first + SEARCHED, epochs))
        orders = (epoch_order(training.seed, epoch, training.samples) for epoch in block)
        for place in best_path(overlaps(orders, capacity(training))):
            yield block[place]


def _equal_reads(begun: Begun) -> NDArray[np.int32]:
    """Return how many samples of a step each rank reads, shape (steps, ranks)."""
    steps, ranks = begun.room.shape
    step = np.arange(len(begun.order)) // begun.batch
    reads = np.bincount(step[begun.source == READ], minlength=steps)
    ends = np.concatenate(([0], np.cumsum(reads)))
    return dealt_in_turn(ends, ranks)


def _keep_last(begun: Begun, following: NDArray[np.int64], training: Training) -> None:
    """Keep the last samples of each rank, as far as the next epoch begins with them."""
    early = np.zeros(training.samples, dtype=np.uint8)
    early[following[: capacity(training)]] = 1
    for rank in range(training.ranks):
        mine = np.flatnonzero(begun.rank == rank)
        last = mine[max(len(mine) - training.slots, 0) :]
        begun.kept[last] = early[begun.order[last]]
