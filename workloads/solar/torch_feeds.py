"""Feeds over PyTorch's DataLoader, as a tutorial writes it and at its best; they keep nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.solar import page_cache
from workloads.solar.epoch_plan import Training
from workloads.solar.feed import SMALL_FILE_BYTES, Delivered, Settings
from workloads.solar.orders import epoch_order
from workloads.solar.torch_dataloader import DEFAULT, BatchLoader, LoaderSettings, is_chunked
from workloads.solar.torch_sweep import WORKERS, best, candidates


@dataclass(slots=True)
class TorchFeed:
    """A DataLoader that is given each epoch's order.

    Attributes:
        settings: what it reads for.
        chosen: what its user chose.
        loader: stays open from epoch to epoch.
        nothing: a batch without samples.
        tells_reads: whether each sample is read anew: HDF5 keeps chunks that it has read.
        spans: how long choosing took, in s.
        next_epoch: the epoch that comes.
        delivered: samples so far.
    """

    settings: Settings
    chosen: LoaderSettings
    loader: BatchLoader
    nothing: tuple[torch.Tensor, ...]
    tells_reads: bool
    spans: Mapping[str, float] = field(default_factory=dict)
    next_epoch: int = 0
    delivered: int = 0

    @property
    def detail(self) -> str:
        """Return the DataLoader's settings."""
        return f"DataLoader: {self.chosen}"

    def epoch(self) -> Iterator[Delivered]:
        """Yield this rank's batches of the next epoch."""
        training, rank = self.settings.training, self.settings.rank
        order = epoch_order(training.seed, self.next_epoch, training.samples)
        self.next_epoch += 1
        mine = dealt(order, training, rank)
        batches = self.loader.epoch(mine)
        start = 0
        for step in range(training.steps):
            in_step = min(training.batch, training.samples - step * training.batch)
            # A short last step may leave nothing for this rank, which takes part all the same.
            left = len(range(rank, in_step, training.ranks))
            tensors = next(batches) if left else self.nothing
            samples = mine[start : start + left]
            start += left
            self.delivered += left
            yield Delivered(samples, tensors, left * training.ranks / in_step)

    def counters(self) -> Mapping[str, float]:
        """Return the samples, and how many were read where HDF5 has no cache of its own."""
        told = {"samples": float(self.delivered)}
        return {**told, "reads": told["samples"]} if self.tells_reads else told

    def begin_again(self) -> None:
        """Go back to before the first epoch."""
        self.next_epoch = 0

    def close(self) -> None:
        """Nothing: the workers end with the DataLoader."""


def dealt(order: NDArray[np.int64], training: Training, rank: int) -> NDArray[np.int64]:
    """Return a rank's samples of an epoch, dealt out of each step in turn.

    As torch's DistributedSampler deals, but that it would repeat samples of a last step that ranks
    cannot share evenly.
    """
    places = np.arange(training.samples)
    mine: NDArray[np.int64] = order[places % training.batch % training.ranks == rank]
    return mine


def dataloader(settings: Settings, device: Device) -> TorchFeed:
    """Return the feed with PyTorch's defaults."""
    return _feed(settings, DEFAULT, {})


def tuned(settings: Settings, device: Device) -> TorchFeed:
    """Return the feed with the settings that win a sweep over a part of an epoch."""
    training, file = settings.training, settings.file
    order = epoch_order(training.seed, 0, training.samples)
    # Starting workers takes longer than reading a small file.
    small = file.identity.size < SMALL_FILE_BYTES
    tried = candidates(
        workers=(0, 2) if small else WORKERS,
        chunked=not small and is_chunked(file.path, file.names),
    )
    memory = training.slots * file.sample_bytes
    tried = tuple(one for one in tried if _cache_bytes(one, len(file.names)) <= memory)

    def before() -> None:
        if settings.cold:
            page_cache.drop(file.path)

    start = time.perf_counter()
    chosen = best(
        file.path,
        file.names,
        dealt(order, training, settings.rank),
        _local_batch(settings),
        tried=tried,
        before=before,
    )
    # Each rank has swept beside the others, and they go on with one choice.
    chosen = settings.agree(chosen)
    return _feed(settings, chosen, {"sweep": time.perf_counter() - start})


def _feed(settings: Settings, chosen: LoaderSettings, spans: Mapping[str, float]) -> TorchFeed:
    file = settings.file
    loader = BatchLoader(file.path, file.names, _local_batch(settings), chosen)
    nothing = tuple(
        torch.from_numpy(np.empty((0, *shape), dtype))
        for shape, dtype in zip(file.shapes, file.dtypes, strict=True)
    )
    tells_reads = not file.fallback and not is_chunked(file.path, file.names)
    return TorchFeed(settings, chosen, loader, nothing, tells_reads, spans)


def _cache_bytes(settings: LoaderSettings, datasets: int) -> int:
    """Return what the chunk caches that were asked for take, in all workers together."""
    return max(1, settings.workers) * datasets * (settings.cache_bytes or 0)


def _local_batch(settings: Settings) -> int:
    return len(range(settings.rank, settings.training.batch, settings.training.ranks))
