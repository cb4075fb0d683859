"""Holds an epoch's batches against h5py, the epoch's order, and the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import h5py
import numpy as np

from harness.records import Verification, verified
from workloads.solar import replay
from workloads.solar.epoch_plan import READ, Planner
from workloads.solar.feed import Delivered
from workloads.solar.layout import opened
from workloads.solar.orders import epoch_order
from workloads.solar.run import Run

_COMPARED_BYTES = 512 << 20
"""An epoch is compared with h5py whole up to this size, and beyond it a part of each batch."""

_REPLAYED = 100_000
"""Samples up to which three epochs of a plan are walked, in plain Python."""


@runtime_checkable
class Planned(Protocol):
    """A feed that follows a plan."""

    @property
    def planner(self) -> Planner:
        """Return what decides."""
        ...


def verify(run: Run) -> Verification:
    """Play the next epoch and compare: bytes, order, all ranks together, and what was read.

    The error is the number of samples that are wrong, and none is allowed.

    Args:
        run: before its next epoch.
    """
    planner = run.feed.planner if isinstance(run.feed, Planned) else None
    training = run.settings.training
    plan = None if planner is None else next(planner.epochs(run.played))
    seed, samples = training.seed, training.samples
    epoch = planner.visited(run.played) if isinstance(planner, replay.Reorders) else run.played
    order = epoch_order(seed, epoch, samples)
    before = dict(run.feed.counters())
    place = np.empty(samples, np.int64)
    place[order] = np.arange(samples)
    stride = max(1, math.ceil(run.file.sample_bytes * samples / _COMPARED_BYTES))
    wrong, delivered = 0, [np.empty(0, np.int64)]
    with h5py.File(run.file.path, "r") as file:
        datasets = [opened(file, name) for name in run.file.names]
        for step, batch in enumerate(run.feed.epoch()):
            wrong += _unlike(batch, slice(step % stride, None, stride), datasets)
            wrong += int(np.count_nonzero(place[batch.samples] // training.batch != step))
            delivered.append(batch.samples.copy())
    run.played += 1
    every = np.concatenate(delivered)
    told = [run.feed.detail]
    if plan is not None and planner is not None:
        planned = np.count_nonzero(plan.source[plan.rank == run.settings.rank] == READ)
        reads = run.feed.counters()["reads"] - before["reads"]
        wrong += abs(int(reads) - int(planned))
        if training.samples <= _REPLAYED:
            told.append(_replayed(planner))
    if run.group is not None:
        every = np.concatenate(run.group.gather(every))
    wrong += int(np.count_nonzero(np.bincount(every, minlength=samples) != 1))
    compared_with = "h5py" if stride == 1 else f"h5py (one sample in {stride})"
    return verified(wrong, 0, f"{compared_with}, the epoch's order, the plan", "; ".join(told))


def _unlike(batch: Delivered, compared: slice, datasets: Sequence[h5py.Dataset]) -> int:
    samples = batch.samples[compared]
    if not len(samples):
        return 0
    ascending = np.argsort(samples)
    unlike = np.zeros(len(samples), bool)
    for array, dataset in zip(batch.arrays, datasets, strict=True):
        given = np.ascontiguousarray(np.asarray(array[compared])[ascending])
        if given.dtype != dataset.dtype.newbyteorder("="):
            return len(samples)
        wanted = np.ascontiguousarray(dataset[samples[ascending]], given.dtype)
        # Bytes, so that NaN equals itself.
        pairs = (each.reshape(len(samples), -1).view(np.uint8) for each in (given, wanted))
        given_bytes, wanted_bytes = pairs
        unlike |= np.any(given_bytes != wanted_bytes, axis=1)
    return int(np.count_nonzero(unlike))


def _replayed(planner: Planner) -> str:
    found = replay.check(planner, islice(planner.epochs(), 3))
    return (
        f"{found.reads:,} reads in {found.epochs} epochs, bound {found.bound:,}; "
        f"busiest rank reads {found.worst_load:.3f} of the mean"
    )
