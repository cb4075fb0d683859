"""Planners of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Training


@dataclass(frozen=True)
class KeepFirst:
    """Keeps the first samples that each rank reads, and never another."""

    training: Training
    name: str = "keep-first"

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        home = np.full(self.training.samples, -1)
        slot = np.full(self.training.samples, DROPPED)
        filled = np.zeros(self.training.ranks, dtype=int)
        epoch = 0
        while self.training.epochs == 0 or epoch < self.training.epochs:
            random = np.random.default_rng([self.training.seed, epoch])
            order = random.permutation(self.training.samples)
            place = np.arange(self.training.samples) % self.training.ranks
            rank = np.where(home[order] >= 0, home[order], place)
            source = np.where(slot[order] >= 0, slot[order], READ)
            for sample, of in zip(order, rank, strict=True):
                if slot[sample] < 0 and filled[of] < self.training.slots:
                    home[sample], slot[sample] = of, filled[of]
                    filled[of] += 1
            target = slot[order]
            if epoch >= start:
                yield EpochPlan(
                    epoch,
                    order.astype(np.int64),
                    rank.astype(np.int32),
                    source.astype(np.int32),
                    target.astype(np.int32),
                )
            epoch += 1


@dataclass(frozen=True)
class Written:
    """Has one rank and its plans written down: for each epoch the order, source and target."""

    training: Training
    plans: tuple[tuple[list[int], list[int], list[int]], ...]
    name: str = "written"

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        for epoch, (order, source, target) in enumerate(self.plans):
            if epoch >= start:
                yield EpochPlan(
                    epoch,
                    np.array(order, dtype=np.int64),
                    np.zeros(len(order), dtype=np.int32),
                    np.array(source, dtype=np.int32),
                    np.array(target, dtype=np.int32),
                )
