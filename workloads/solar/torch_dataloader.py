"""The baselines: PyTorch's DataLoader over h5py, as a tutorial writes it and as it can be tuned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from workloads.solar.layout import opened

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """What a user of the DataLoader may choose; the defaults are PyTorch's and h5py's own.

    Attributes:
        workers: processes that read; 0 reads in the training process.
        persistent: whether they outlive an epoch.
        prefetch: batches that each worker reads ahead; None for PyTorch's default.
        cache_bytes: of HDF5's chunk cache, a dataset (`rdcc_nbytes`); None for HDF5's default.
        batched: whether a batch is read by one sorted selection a dataset, rather than by sample.
        pin: whether batches are copied into pinned memory.
    """

    workers: int = 0
    persistent: bool = False
    prefetch: int | None = None
    cache_bytes: int | None = None
    batched: bool = False
    pin: bool = False

    def __str__(self) -> str:
        words = [f"{self.workers} workers" if self.workers != 1 else "1 worker"]
        if self.persistent:
            words.append("persistent")
        if self.prefetch is not None:
            words.append(f"{self.prefetch} batches ahead each")
        words.append("a batch at once" if self.batched else "sample by sample")
        if self.cache_bytes is not None:
            words.append(f"chunk cache {self.cache_bytes} B")
        return ", ".join([*words, "pinned"] if self.pin else words)


DEFAULT = LoaderSettings()
"""What PyTorch's tutorial writes ("Datasets & DataLoaders"): the batch size and nothing else."""


class BatchLoader:
    """A DataLoader that stays open from epoch to epoch."""

    def __init__(
        self, path: Path, datasets: Sequence[str], batch: int, settings: LoaderSettings
    ) -> None:
        """Prepare; the file is opened with the first batch, in each worker by itself.

        Args:
            path: of the HDF5 file.
            datasets: to read from it.
            batch: samples a step.
            settings: of the DataLoader.
        """
        self._order = _Batches(batch)
        kind = _BatchedSamples if settings.batched else _Samples
        with _as_many_workers_as_asked():
            self._loader: DataLoader[Any] = DataLoader(
                kind(str(path), tuple(datasets), settings.cache_bytes),
                batch_sampler=self._order,
                num_workers=settings.workers,
                persistent_workers=settings.persistent,
                prefetch_factor=settings.prefetch,
                pin_memory=settings.pin,
                collate_fn=_as_it_is if settings.batched else None,
            )

    def epoch(self, order: NDArray[np.int64]) -> Iterator[Tensors]:
        """Yield the batches of one epoch, a tensor for each dataset.

        Args:
            order: int64, the samples in the order of training.
        """
        self._order.samples = order.tolist()
        with _as_many_workers_as_asked():
            delivered = iter(self._loader)
        for tensors in delivered:
            yield tuple(tensors)


def batches(
    path: Path,
    datasets: Sequence[str],
    order: NDArray[np.int64],
    batch: int,
    settings: LoaderSettings = DEFAULT,
) -> Iterator[Tensors]:
    """Yield the batches of a single epoch; see BatchLoader, which serves several."""
    yield from BatchLoader(path, datasets, batch, settings).epoch(order)


def is_chunked(path: Path, datasets: Sequence[str]) -> bool:
    """Return whether any of a file's datasets is stored in chunks."""
    with h5py.File(path, "r") as file:
        return any(file[name].chunks is not None for name in datasets)


@contextmanager
def _as_many_workers_as_asked() -> Iterator[None]:
    """Silence PyTorch's advice: whether more workers than processors help, the sweep finds out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


class _Batches:
    """The batches of the current epoch; a DataLoader asks for them anew each time."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.samples: list[int] = []

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.samples), self.batch):
            yield self.samples[start : start + self.batch]

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch)


class _Samples(Dataset[Tensors]):
    """A file's samples, one by one; opened when first asked, because HDF5 must not be forked."""

    def __init__(self, path: str, names: tuple[str, ...], cache_bytes: int | None) -> None:
        self.path = path
        self.names = names
        self.cache_bytes = cache_bytes
        self._datasets: tuple[h5py.Dataset, ...] = ()

    def datasets(self) -> tuple[h5py.Dataset, ...]:
        if not self._datasets:
            file = h5py.File(self.path, "r")
            self._datasets = tuple(
                opened(file, name, cache_bytes=self.cache_bytes) for name in self.names
            )
        return self._datasets

    def __len__(self) -> int:
        return len(self.datasets()[0])

    def __getitem__(self, index: int) -> Tensors:
        return tuple(_tensor(dataset[index]) for dataset in self.datasets())


class _BatchedSamples(_Samples):
    """A file's samples, a batch at a time: h5py takes selections in ascending order only."""

    def __getitems__(self, indices: list[int]) -> Tensors:
        ascending, back = np.unique(indices, return_inverse=True)
        return tuple(_tensor(dataset[ascending][back]) for dataset in self.datasets())


def _tensor(values: Any) -> torch.Tensor:
    array = np.asarray(values)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _as_it_is(batch: Any) -> Any:
    return batch
