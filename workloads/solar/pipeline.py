"""Reads the steps of a plan ahead of the training, into memory that is used again and again."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar import digest, fallback
from workloads.solar.access import Access
from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Planner
from workloads.solar.fallback import FallbackReader
from workloads.solar.layout import SampleFile
from workloads.solar.options import Counters, Options
from workloads.solar.read_threads import Done, ReadThreads
from workloads.solar.reads import add, copy, read, shares
from workloads.solar.stages import Stages, StoppedError
from workloads.solar.staging import RankPlan, Stage, memory, rank_plan, rows_of

_CHECK_EVERY_S = 0.5  # a replaced file is noticed within seconds, at no cost to a metadata server

_MOST_COPIERS = 4  # as many keep the memory of common machines busy
_SHARED_COPY_BYTES = 2**20  # a smaller copy ends before another thread has woken


@dataclass(slots=True, eq=False)
class Step:
    """One step of this rank, its samples in place once it is delivered."""

    epoch: int
    step: int
    samples: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    stage: Stage
    counted: Counters
    jobs: int = 0
    done: Done = field(default_factory=SimpleQueue)
    not_before: float = 0.0


class Pipeline:
    """The threads, memory and open file of a loader, from a step of the training on."""

    def __init__(
        self,
        file: SampleFile,
        planner: Planner,
        rank: int,
        options: Options,
        start: tuple[int, int],
    ) -> None:
        self._file = file
        self._training = planner.training
        self._rank = rank
        self._options = options
        self._start = start
        self._epochs = planner.epochs(start[0])
        self._pid = os.getpid()
        self._stages = Stages(file, options.depth, options.staging_bytes)
        self._buffer = rows_of(file, self._training.slots)
        self._scratch = memory(options.gap_bytes)
        self._carried = Counters(buffer_bytes=sum(rows.nbytes for rows in self._buffer))
        self._link_free_at = 0.0
        self._checked_at = 0.0
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._ready: SimpleQueue[Step | BaseException | None] = SimpleQueue()
        self._wanted: SimpleQueue[None] = SimpleQueue()
        with ExitStack() as opened:
            self._access = Access(file, options.direct)
            opened.callback(self._access.close)
            self._h5py = opened.enter_context(FallbackReader(file)) if file.fallback else None
            self._readers = ReadThreads(options.threads)
            opened.callback(self._readers.close)
            self._processors = min(len(os.sched_getaffinity(0)), _MOST_COPIERS)
            self._copiers = ReadThreads(self._processors - 1)
            opened.callback(self._copiers.close)
            self._plans = opened.enter_context(ThreadPoolExecutor(1, "solar-plan"))
            feeder = threading.Thread(target=self._feed, name="solar-feed", daemon=True)
            feeder.start()
            opened.callback(feeder.join)
            self._opened = opened.pop_all()

    @property
    def how(self) -> str:
        """Return in words how each dataset is read."""
        return self._access.how

    def want_epoch(self) -> None:
        """Allow the next epoch to be read, where nothing is read ahead of being asked for."""
        self._wanted.put(None)

    def take(self) -> Step | None:
        """Return the next step, or None after the last.

        Raises:
            AssayError: the file cannot be read, or this is another process than the one it was
                begun in.
        """
        if os.getpid() != self._pid:
            raise AssayError("a loader does not outlive a fork; make one in the new process")
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def give_back(self, staged: Stage) -> None:
        """Let a step's memory be filled again."""
        self._stages.give_back(staged)

    def close(self) -> None:
        """End the threads and close the file. A second caller waits for the first."""
        if os.getpid() != self._pid:
            return
        with self._closing:
            self._stopping.set()
            self._stages.stop()
            self._wanted.put(None)
            self._opened.close()

    def _feed(self) -> None:
        try:
            self._deliver_all()
            self._ready.put(None)
        except StoppedError:
            self._ready.put(None)
        except BaseException as error:
            self._ready.put(error)

    def _deliver_all(self) -> None:
        pending: deque[Step] = deque()
        first = self._start[1]
        coming = self._plans.submit(self._next_plan)
        # The last steps are finished once the next plan is there, so that no planning goes on after
        # an epoch was delivered, when its time is no longer taken.
        while (plan := coming.result()) is not None:
            if not self._options.ahead:
                self._drain(pending)
                self._wanted.get()
                if self._stopping.is_set():
                    raise StoppedError
                self._access.check()
            coming = self._plans.submit(self._next_plan)
            self._stages.fit(plan.longest)
            if (plan.epoch, first) == self._start and plan.epoch + first > 0:
                self._refill(plan, first)
            for step in range(first, self._training.steps):
                staged = self._free_stage(pending)
                pending.append(self._begin(plan, step, staged))
            first = 0
        self._drain(pending)

    def _next_plan(self) -> RankPlan | None:
        plan: EpochPlan | None = None if self._stopping.is_set() else next(self._epochs, None)
        return None if plan is None else rank_plan(plan, self._training, self._rank)

    def _free_stage(self, pending: deque[Step]) -> Stage:
        """Return memory for a step, finishing earlier ones while none is free."""
        while (staged := self._stages.take(wait=not pending)) is None:
            self._finish(pending.popleft())
        return staged

    def _begin(self, plan: RankPlan, step: int, staged: Stage) -> Step:
        """Ask for what a step reads."""
        if time.monotonic() > self._checked_at + _CHECK_EVERY_S:
            self._checked_at = time.monotonic()
            self._access.check()
        at = slice(plan.bounds[step], plan.bounds[step + 1])
        begun = Step(
            plan.epoch,
            step,
            plan.samples[at],
            plan.source[at],
            plan.target[at],
            staged,
            self._carried,
        )
        self._carried = Counters()
        places = np.flatnonzero(begun.source == READ)
        begun.counted.staging_bytes = self._stages.peak_bytes
        begun.counted.samples += len(begun.samples)
        begun.counted.reads += len(places)
        begun.counted.hits += len(begun.samples) - len(places)
        self._ask(begun, begun.samples[places], staged.rows, places)
        return begun

    def _ask(
        self,
        step: Step,
        samples: NDArray[np.int64],
        into: tuple[NDArray[np.uint8], ...],
        places: NDArray[np.int64],
    ) -> None:
        """Hand a step's reads to the threads, and count them."""
        table, counted = step.stage.table, step.counted
        table.clear()
        sizes = []
        for dataset, descriptor, rows in zip(
            self._file.datasets, self._access.descriptors, into, strict=True
        ):
            if self._h5py is None or not dataset.fallback:
                offsets = dataset.offsets(samples)
                add(table, descriptor, self._file.path, offsets, rows, places, self._scratch)
            elif len(samples):
                call = partial(self._h5py.read, dataset, samples, rows, places)
                self._submit(step, call)
                read_bytes, pieces = fallback.stored(dataset, samples)
                counted.useful_bytes += len(samples) * dataset.row_bytes
                counted.read_bytes += read_bytes
                counted.requests += pieces
                sizes.append(np.full(pieces, read_bytes // pieces, dtype=np.int64))
        for first, last in shares(table, self._options.threads):
            self._submit(step, partial(read, table, first, last))
        counted.useful_bytes += table.useful_bytes
        counted.read_bytes += int(table.sizes.sum())
        counted.requests += table.count
        self._simulate(step, [*sizes, table.sizes])

    def _simulate(self, step: Step, sizes: list[NDArray[np.int64]]) -> None:
        """Let a step's reads end no sooner than on a simulated file system.

        A rank has one link to it: a step's requests begin when those of the step before have ended.
        """
        if self._options.delay is None:
            return
        begun = max(time.monotonic(), self._link_free_at)
        self._link_free_at = begun + self._options.delay(np.concatenate(sizes))
        step.not_before = self._link_free_at

    def _submit(self, step: Step, call: Callable[[], None]) -> None:
        step.jobs += 1
        self._readers.submit(partial(self._perform, step, call), step.done)

    def _perform(self, step: Step, call: Callable[[], None]) -> None:
        """Make a call; `step`, though not used, keeps the memory that is read into."""
        if not self._stopping.is_set():
            call()

    def _finish(self, step: Step) -> None:
        """Put a step's samples in place: take from the buffer, wait for the reads, then keep."""
        staged = step.stage
        hits = np.flatnonzero(step.source != READ)
        self._copy(staged.rows, hits, self._buffer, step.source[hits])
        self._wait(step)
        if self._options.digests is not None:
            places = np.flatnonzero(step.source == READ)
            samples = step.samples[places]
            digest.verify(self._file, self._options.digests, samples, staged.rows, places)
        kept = np.flatnonzero((step.source == READ) & (step.target != DROPPED))
        self._copy(self._buffer, step.target[kept], staged.rows, kept)
        if step.step + 1 == self._training.steps:
            self._access.check()
        self._ready.put(step)

    def _copy(
        self,
        into: tuple[NDArray[np.uint8], ...],
        places: NDArray[np.int64],
        source: tuple[NDArray[np.uint8], ...],
        taken: NDArray[np.int64],
    ) -> None:
        """Copy rows of every dataset, each processor its share."""
        size = len(places) * self._file.sample_bytes
        parts = self._processors if size >= _SHARED_COPY_BYTES else 1
        done: Done = SimpleQueue()
        calls = [
            partial(_copy_rows, into, to, source, of)
            for to, of in zip(
                np.array_split(places, parts), np.array_split(taken, parts), strict=True
            )
        ]
        for call in calls[1:]:
            self._copiers.submit(call, done)
        calls[0]()
        errors = [error for _ in calls[1:] if (error := done.get()) is not None]
        if errors:
            raise errors[0]

    def _wait(self, step: Step) -> None:
        errors = [error for _ in range(step.jobs) if (error := step.done.get()) is not None]
        step.jobs = 0
        if errors:
            raise errors[0]
        if self._stopping.wait(max(0.0, step.not_before - time.monotonic())):
            raise StoppedError

    def _drain(self, pending: deque[Step]) -> None:
        while pending:
            self._finish(pending.popleft())

    def _refill(self, plan: RankPlan, step: int) -> None:
        """Read what the buffer holds before a step, as after a training that was interrupted."""
        samples, slots = plan.held(step)
        staged = self._free_stage(deque())
        pieces = staged.capacity
        for first in range(0, len(samples), pieces):
            part = samples[first : first + pieces]
            into = slots[first : first + pieces]
            asked = Step(plan.epoch, step, part, part, part, staged, Counters())
            self._ask(asked, part, self._buffer, into)
            self._wait(asked)
            if self._options.digests is not None:
                digest.verify(self._file, self._options.digests, part, self._buffer, into)
        self._carried.refilled += len(samples)
        self.give_back(staged)


def _copy_rows(
    into: tuple[NDArray[np.uint8], ...],
    places: NDArray[np.int64],
    source: tuple[NDArray[np.uint8], ...],
    taken: NDArray[np.int64],
) -> None:
    for rows, of in zip(into, source, strict=True):
        copy(rows, places, of, taken)
