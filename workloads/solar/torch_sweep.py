"""Finds the DataLoader settings that read a file fastest, among a declared set of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workloads.solar.torch_dataloader import BatchLoader, LoaderSettings, is_chunked

WORKERS = (0, 1, 2, 4)
PREFETCH = (2, 8)
"""Batches a worker reads ahead: PyTorch's default, and four times as many."""

CACHE_BYTES = (None, 0, 64 << 20)
"""HDF5's chunk cache: its default, none, and room for chunks larger than that."""

STEPS = (4, 16)
"""Batches that a timing takes in the first round and at most: one and four for each of four
workers. They double from round to round, as the candidates become fewer.
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """One candidate of the sweep.

    Attributes:
        settings: tried.
        sample_s: median of its timings, in s a sample.
        rounds: how many timings it had; the slower half drops out after each.
    """

    settings: LoaderSettings
    sample_s: float
    rounds: int


def candidates(
    *, workers: Sequence[int] = WORKERS, pin: bool = False, chunked: bool = True
) -> tuple[LoaderSettings, ...]:
    """Return the settings that are tried, PyTorch's defaults first.

    Workers are persistent wherever there are any: without that each epoch would start them anew.

    Args:
        workers: how many there may be.
        pin: whether batches go to a device that copies from pinned memory.
        chunked: whether the file has chunks: only then is there a chunk cache to choose.
    """
    return tuple(
        LoaderSettings(
            workers=count,
            persistent=count > 0,
            prefetch=ahead,
            cache_bytes=cache_bytes,
            batched=batched,
            pin=pin,
        )
        for count in workers
        for ahead in (PREFETCH if count else (None,))
        for batched in (False, True)
        for cache_bytes in (CACHE_BYTES if chunked else CACHE_BYTES[:1])
    )


def best(
    path: Path,
    datasets: Sequence[str],
    order: NDArray[np.int64],
    batch: int,
    *,
    tried: Sequence[LoaderSettings] = (),
    before: Callable[[], None] = lambda: None,
) -> LoaderSettings:
    """Return the fastest settings; for the arguments see `sweep`."""
    return sweep(path, datasets, order, batch, tried=tried, before=before)[0].settings


def sweep(
    path: Path,
    datasets: Sequence[str],
    order: NDArray[np.int64],
    batch: int,
    *,
    tried: Sequence[LoaderSettings] = (),
    before: Callable[[], None] = lambda: None,
    steps: tuple[int, int] = STEPS,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Timed, ...]:
    """Time candidates by turns, halve them, and go on until one is left; the fastest comes first.

    Successive halving (Jamieson and Talwalkar, AISTATS 2016): who is clearly slow is timed once
    and shortly, and the few that are close to each other again and for longer.

    Args:
        path: of the HDF5 file.
        datasets: to read from it.
        order: int64, an epoch's samples; timings go through it part by part.
        batch: samples a step.
        tried: the candidates; all of `candidates()` where none are named.
        before: called before each timing, such as to drop the file from the page cache.
        steps: batches of a timing in the first round, and at most.
        clock: tells s.
    """
    left = list(tried or candidates(chunked=is_chunked(path, datasets)))
    seconds: dict[LoaderSettings, list[float]] = {settings: [] for settings in left}
    length, longest = steps
    start = 0
    while True:
        # Every candidate of a round reads the same part; the next round reads another.
        rolled = np.roll(order, -start)
        samples, others = rolled[: length * batch], rolled[::-1]
        for settings in left:
            taken_s = _time(path, datasets, samples, others, batch, settings, before, clock)
            seconds[settings].append(taken_s / len(samples))
        left.sort(key=lambda settings: statistics.median(seconds[settings]))
        left = left[: -(-len(left) // 2)]
        if len(left) == 1:
            break
        start += len(samples)
        length = min(2 * length, longest)
    timed = [
        Timed(settings, statistics.median(taken), len(taken)) for settings, taken in seconds.items()
    ]
    return tuple(sorted(timed, key=lambda one: (-one.rounds, one.sample_s)))


def _time(
    path: Path,
    datasets: Sequence[str],
    samples: NDArray[np.int64],
    others: NDArray[np.int64],
    batch: int,
    settings: LoaderSettings,
    before: Callable[[], None],
    clock: Callable[[], float],
) -> float:
    loader = BatchLoader(path, datasets, batch, settings)
    # Each worker starts, opens the file and reads a batch before the clock runs: of others, because
    # HDF5 keeps chunks that it has read.
    for _ in loader.epoch(others[: max(1, settings.workers) * batch]):
        pass
    before()
    began = clock()
    for _ in loader.epoch(samples):
        pass
    return clock() - began
