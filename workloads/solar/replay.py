"""Walks a plan step by step with plain dicts, and refuses it if a loader could not follow it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Planner, Training
from workloads.solar.orders import epoch_order, read_bound


@runtime_checkable
class Reorders(Protocol):
    """A planner whose epochs are the training's, in another order."""

    def visited(self, epoch: int) -> int:
        """Return which of the training's epochs comes at this place."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the epochs of a plan come to.

    Attributes:
        epochs: how many were walked.
        reads: samples read from the file.
        hits: samples found in a buffer.
        bound: the fewest reads that so many epochs can do with.
        worst_load: the sum over steps of the most reads of a rank, over the sum of the mean reads
            of a rank; 1.0 where nothing is read.
        whole_load: the same, but over the mean rounded up to whole samples.
        widest_step: the most by which two local batches of a step differ.
        uneven_steps: steps in which two local batches differ by more than one sample.
        evictions: samples that were overwritten before they were used again.
    """

    epochs: int
    reads: int
    hits: int
    bound: int
    worst_load: float
    whole_load: float
    widest_step: int
    uneven_steps: int
    evictions: int


def check(planner: Planner, plans: Iterable[EpochPlan]) -> Replayed:
    """Walk the plans from epoch 0, prove that they can be followed, and count.

    Proven are: each epoch is a permutation; each step trains on the set of samples that the
    reference order gives it; a sample taken from a slot is in it; one that stays keeps its slot; a
    slot is filled by one sample at a time; no slot is beyond the buffer's.

    Args:
        planner: whose plans they are.
        plans: of epochs 0, 1, ... in turn.

    Raises:
        AssayError: a plan is wrong; the message names the epoch, the step and the sample.
    """
    training = planner.training
    buffers: list[dict[int, int]] = [{} for _ in range(training.ranks)]
    counts = _Counts()
    epochs = 0
    for plan in plans:
        if plan.epoch != epochs:
            raise AssayError(f"the plan of epoch {epochs} is that of epoch {plan.epoch}")
        where = planner.visited(epochs) if isinstance(planner, Reorders) else epochs
        reference = epoch_order(training.seed, where, training.samples)
        _check_shapes(plan, training)
        for step in range(training.steps):
            places = slice(step * training.batch, (step + 1) * training.batch)
            _same_set(plan, step, reference[places], plan.order[places])
            _walk(plan, step, places, training, buffers, counts)
        epochs += 1
    return Replayed(
        epochs=epochs,
        reads=counts.reads,
        hits=counts.hits,
        bound=read_bound(training, epochs),
        worst_load=counts.most / (counts.reads / training.ranks) if counts.reads else 1.0,
        whole_load=counts.most / counts.whole if counts.whole else 1.0,
        widest_step=counts.widest,
        uneven_steps=counts.uneven,
        evictions=counts.evictions,
    )


@dataclass(slots=True)
class _Counts:
    reads: int = 0
    hits: int = 0
    most: int = 0
    whole: int = 0
    widest: int = 0
    uneven: int = 0
    evictions: int = 0


def _check_shapes(plan: EpochPlan, training: Training) -> None:
    for name in ("order", "rank", "source", "target"):
        shape = getattr(plan, name).shape
        if shape != (training.samples,):
            raise AssayError(
                f"epoch {plan.epoch}: {name} has the shape {shape}, not ({training.samples},)"
            )


def _same_set(
    plan: EpochPlan, step: int, reference: NDArray[np.int64], order: NDArray[np.int64]
) -> None:
    wanted, given = sorted(reference.tolist()), sorted(order.tolist())
    for sample, other in zip(given, wanted, strict=True):
        if sample != other:
            raise AssayError(
                f"epoch {plan.epoch}, step {step}: sample {min(sample, other)} is "
                f"{'not wanted or twice' if sample < other else 'missing'}"
            )


def _walk(
    plan: EpochPlan,
    step: int,
    places: slice,
    training: Training,
    buffers: list[dict[int, int]],
    counts: _Counts,
) -> None:
    """Do what one step of a plan says to the buffers, each a dict from slot to sample."""
    rows = list(
        zip(
            plan.order[places].tolist(),
            plan.rank[places].tolist(),
            plan.source[places].tolist(),
            plan.target[places].tolist(),
            strict=True,
        )
    )

    def wrong(sample: int, what: str) -> AssayError:
        return AssayError(f"epoch {plan.epoch}, step {step}, sample {sample}: {what}")

    trained, reads = [0] * training.ranks, [0] * training.ranks
    for sample, rank, source, target in rows:
        if not 0 <= rank < training.ranks:
            raise wrong(sample, f"there is no rank {rank}")
        trained[rank] += 1
        if source == READ:
            reads[rank] += 1
        elif buffers[rank].get(source) != sample:
            raise wrong(sample, f"slot {source} of rank {rank} does not hold it")
        elif target == DROPPED:
            del buffers[rank][source]
        elif target != source:
            raise wrong(sample, f"it moves from slot {source} to slot {target}")
    staying = {
        (rank, target) for _, rank, source, target in rows if source != READ and target != DROPPED
    }
    for sample, rank, source, target in rows:
        if source != READ or target == DROPPED:
            continue
        if not 0 <= target < training.slots:
            raise wrong(sample, f"rank {rank} has no slot {target}")
        if (rank, target) in staying:
            raise wrong(sample, f"slot {target} of rank {rank} keeps another sample of this step")
        staying.add((rank, target))
        counts.evictions += target in buffers[rank]
        buffers[rank][target] = sample
    counts.reads += sum(reads)
    counts.hits += len(rows) - sum(reads)
    counts.most += max(reads)
    counts.whole += -(-sum(reads) // training.ranks)
    counts.widest = max(counts.widest, max(trained) - min(trained))
    counts.uneven += max(trained) - min(trained) > 1
