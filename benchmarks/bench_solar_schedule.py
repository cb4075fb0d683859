"""The schedule of `solar` against plain Python ones, interleaved, of the same training.

    python benchmarks/bench_solar_schedule.py                     the median ratios, from 5 rounds
    python benchmarks/bench_solar_schedule.py --samples 200000 --ranks 32 --batch 1024 --rounds 3
    python benchmarks/bench_solar_schedule.py --samples 6300000 --ranks 32 --batch 1024 --rounds 0

Two are compared with ours, both written with sets and dicts as one would at first: `published` does
what SOLAR does (a buffer keeps the last samples of an epoch that the next begins with), and
`quotas` chooses by the rules of ours, and reads as little. A ratio above 1 means that ours is
faster. Each plans all epochs; the epochs' orders are part of every time. With no rounds, ours alone
is told, epoch by epoch. The plans of all three are walked by the validator first.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from workloads.solar import replay, schedule
from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Planner, Training
from workloads.solar.orders import capacity, epoch_order
from workloads.solar.quotas import local_batches, shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.5, help="of the samples, in buffers")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    slots = int(asked.share * asked.samples / asked.ranks)
    training = Training(asked.samples, asked.batch, asked.ranks, slots, asked.epochs, seed=0)
    if asked.rounds:
        compare(training, asked.rounds)
    else:
        tell_epochs(training)


def tell_epochs(training: Training) -> None:
    """Print how long each epoch takes to plan, compiled before."""
    small = Training(64, 8, 2, 16, 2, 0)
    list(schedule.planner(small).epochs())
    started = perf_counter()
    for plan in schedule.planner(training).epochs():
        print(f"epoch {plan.epoch}: {plan.reads()} reads, {perf_counter() - started:.2f} s")
        started = perf_counter()


def compare(training: Training, rounds: int) -> None:
    """Print what each comes to, and the median ratios of their times."""
    planners: tuple[Planner, ...] = (
        schedule.planner(training),
        Plain(training, published),
        Plain(training, quotas),
    )
    for planner in planners:
        found = replay.check(planner, planner.epochs())
        print(
            f"{planner.name}: {found.reads} reads, {found.reads / found.bound:.3f} of the bound, "
            f"load {found.worst_load:.3f}, local batches differ by {found.widest_step} at most"
        )
    times = [[seconds(planner) for planner in planners] for _ in range(rounds)]
    for which, planner in enumerate(planners[1:], start=1):
        ratios = sorted(one[which] / one[0] for one in times)
        print(
            f"{planner.name}: ours is {median(ratios):.0f} times as fast "
            f"({ratios[0]:.0f} to {ratios[-1]:.0f} in {rounds} rounds)"
        )


def seconds(planner: Planner) -> float:
    started = perf_counter()
    for _ in planner.epochs():
        pass
    return perf_counter() - started


@dataclass(slots=True)
class Epoch:
    """What a plain scheduler knows of an epoch, and fills in."""

    number: int
    training: Training
    steps: list[list[int]]
    next_place: dict[int, int]
    buffers: list[dict[int, int]]
    rank: dict[int, int]
    kept: set[int]


Policy = Callable[[Epoch], None]


@dataclass(frozen=True, slots=True)
class Plain:
    """A planner in plain Python."""

    training: Training
    policy: Policy

    @property
    def name(self) -> str:
        """Return what it is called."""
        return f"plain Python, {self.policy.__name__}"

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`."""
        training = self.training
        buffers: list[dict[int, int]] = [{} for _ in range(training.ranks)]
        free = [set(range(training.slots)) for _ in range(training.ranks)]
        order = epoch_order(training.seed, 0, training.samples)
        for number in range(training.epochs):
            samples = order.tolist()
            steps = [
                samples[first : first + training.batch]
                for first in range(0, training.samples, training.batch)
            ]
            next_place = {}
            following = epoch_order(training.seed, number + 1, training.samples)
            if number + 1 < training.epochs:
                next_place = {sample: place for place, sample in enumerate(following.tolist())}
            epoch = Epoch(number, training, steps, next_place, buffers, {}, set())
            self.policy(epoch)
            rank, source, target = filled(epoch, free)
            if number >= start:
                yield EpochPlan(number, order, rank, source, target)
            order = following


def filled(epoch: Epoch, free: list[set[int]]) -> list[NDArray[np.int32]]:
    """Return ranks, sources and targets, and bring the buffers up to date."""
    ranks, sources, targets = [], [], []
    for step in epoch.steps:
        for sample in step:
            rank = epoch.rank[sample]
            source = epoch.buffers[rank].get(sample, READ)
            if source != READ and sample not in epoch.kept:
                free[rank].add(epoch.buffers[rank].pop(sample))
            ranks.append(rank)
            sources.append(source)
        for sample in step:
            rank = epoch.rank[sample]
            if sample in epoch.kept and sample not in epoch.buffers[rank]:
                epoch.buffers[rank][sample] = free[rank].pop()
            targets.append(epoch.buffers[rank].get(sample, DROPPED))
    return [np.array(one, dtype=np.int32) for one in (ranks, sources, targets)]


def published(epoch: Epoch) -> None:
    """Share out the reads of each step; keep what is last here and first in the next epoch."""
    training = epoch.training
    owner = {sample: rank for rank, buffer in enumerate(epoch.buffers) for sample in buffer}
    trained: list[list[int]] = [[] for _ in epoch.buffers]
    for step in epoch.steps:
        reads = 0
        for sample in step:
            if sample in owner:
                rank = owner[sample]
            else:
                rank, reads = reads % training.ranks, reads + 1
            epoch.rank[sample] = rank
            trained[rank].append(sample)
    early = {sample for sample, place in epoch.next_place.items() if place < capacity(training)}
    for mine in trained:
        epoch.kept.update(early.intersection(mine[max(len(mine) - training.slots, 0) :]))


def quotas(epoch: Epoch) -> None:
    """Keep, from the last step to the first, what the quotas of the next epoch's steps allow."""
    training = epoch.training
    owner = {sample: rank for rank, buffer in enumerate(epoch.buffers) for sample in buffer}
    rooms, share = local_batches(training).tolist(), shares(training)
    quota = share.hits.tolist() if epoch.next_place else np.zeros_like(share.hits).tolist()
    step_of = {sample: place // training.batch for sample, place in epoch.next_place.items()}
    ahead = Counter((step_of.get(sample, 0), rank) for sample, rank in owner.items())
    for step, room in reversed(list(zip(epoch.steps, rooms, strict=True))):
        reads, rest = [], []
        for sample in step:
            if sample not in owner:
                reads.append(sample)
                continue
            rank, following = owner[sample], step_of.get(sample, 0)
            epoch.rank[sample] = rank
            room[rank] -= 1
            ahead[following, rank] -= 1
            if quota[following][rank] > 0:
                quota[following][rank] -= 1
                epoch.kept.add(sample)
        for sample in reads:
            following = step_of.get(sample, 0)
            needed = quota[following]
            wanting = [one for one in range(training.ranks) if needed[one] > 0 and room[one] > 0]
            if not wanting:
                rest.append(sample)
                continue
            scores = {one: 4 * (needed[one] - ahead[following, one]) + room[one] for one in wanting}
            rank = epoch.rank[sample] = max(wanting, key=scores.__getitem__)
            needed[rank] -= 1
            room[rank] -= 1
            epoch.kept.add(sample)
        rank = 0
        for sample in sorted(rest):
            while room[rank] <= 0:
                rank += 1
            epoch.rank[sample] = rank
            room[rank] -= 1


if __name__ == "__main__":
    main()
