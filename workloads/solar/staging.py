"""The memory that samples are read into, and one rank's part of an epoch's plan."""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Training
from workloads.solar.layout import SampleFile
from workloads.solar.reads import Requests, requests

# MADV_WIPEONFORK of Linux: after a fork, the child finds zeros, and no page is shared that an
# O_DIRECT read could still fill (open(2), notes on O_DIRECT). MADV_DONTFORK would leave a hole in
# the child, in which other memory comes to lie and is unmapped with the array.
_WIPE_ON_FORK = 18


@dataclass(slots=True, eq=False)
class Stage:
    """Memory for one step's samples.

    Attributes:
        rows: one array a dataset: uint8, shape (capacity, bytes of a row).
        table: the requests that fill it.
    """

    rows: tuple[NDArray[np.uint8], ...]
    table: Requests

    @property
    def capacity(self) -> int:
        """Return how many samples it holds."""
        return len(self.rows[0])


def stage(file: SampleFile, capacity: int) -> Stage:
    """Return memory for `capacity` samples of a file, its pages in place."""
    made = Stage(rows_of(file, capacity), requests(capacity * len(file.datasets)))
    for rows in made.rows:
        rows.fill(0)
    return made


def rows_of(file: SampleFile, capacity: int) -> tuple[NDArray[np.uint8], ...]:
    """Return page-aligned arrays of shape (capacity, bytes of a row), one a dataset."""
    return tuple(
        memory(capacity * row_bytes).reshape(capacity, row_bytes) for row_bytes in file.row_bytes
    )


def memory(size: int) -> NDArray[np.uint8]:
    """Return `size` bytes that begin at a page, as O_DIRECT asks, in huge pages where allowed.

    Raises:
        AssayError: the machine does not give as many.
    """
    try:
        pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise AssayError(
            f"{size} bytes of memory are refused ({error}); ask for fewer slots or smaller steps"
        ) from None
    for advice in (getattr(mmap, "MADV_HUGEPAGE", None), _WIPE_ON_FORK):
        if advice is not None:
            with suppress(OSError):  # a kernel without it
                pages.madvise(advice)
    return np.frombuffer(pages, dtype=np.uint8, count=size)


@dataclass(frozen=True, slots=True, eq=False)
class RankPlan:
    """What one rank does in an epoch.

    Attributes:
        epoch: from 0.
        bounds: int64, shape (steps + 1,): step t has the places bounds[t] to bounds[t + 1].
        samples: int64, shape (m,).
        source: int64, as in the epoch's plan.
        target: int64, as in the epoch's plan.
    """

    epoch: int
    bounds: NDArray[np.int64]
    samples: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]

    @property
    def longest(self) -> int:
        """Return the samples of the longest step."""
        return int(np.diff(self.bounds).max())

    def held(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the samples that the buffer holds before a step, and their slots.

        What an earlier step has kept is there, and what a later one takes: each sample is used
        once an epoch. What is held but taken by neither is never used.
        """
        at = self.bounds[step]
        slots = np.concatenate([self.target[:at], self.source[at:]])
        kept = np.flatnonzero(slots >= 0)
        # Of several samples that one slot has held, the last is there.
        _, last = np.unique(slots[kept][::-1], return_index=True)
        kept = kept[::-1][last]
        return self.samples[kept], slots[kept]


def rank_plan(plan: EpochPlan, training: Training, rank: int) -> RankPlan:
    """Return one rank's part of a plan, checked so that every index of it is within its array.

    Raises:
        AssayError: the plan is not one of this training.
    """
    places = np.flatnonzero(plan.rank == rank)
    starts = np.minimum(np.arange(training.steps + 1) * training.batch, training.samples)
    found = RankPlan(
        plan.epoch,
        np.searchsorted(places, starts).astype(np.int64),
        plan.order[places].astype(np.int64),
        plan.source[places].astype(np.int64),
        plan.target[places].astype(np.int64),
    )
    hit = found.source != READ
    moved = hit & (found.target != DROPPED) & (found.target != found.source)
    if (
        len(plan.order) != training.samples
        or not _within(found.samples, 0, training.samples)
        or not _within(found.source, READ, training.slots)
        or not _within(found.target, DROPPED, training.slots)
        or moved.any()
    ):
        raise AssayError(
            f"the plan of epoch {plan.epoch} does not fit {training.samples} samples and "
            f"{training.slots} slots a rank; plan for the settings that are trained with"
        )
    return found


def _within(values: NDArray[np.int64], low: int, high: int) -> bool:
    return len(values) == 0 or bool(values.min() >= low and values.max() < high)
