"""Reads by h5py of what does not lie in the file as numpy has it."""

from __future__ import annotations

from types import TracebackType

import h5py
import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.layout import Dataset, SampleFile, opened

_CHUNK_CACHE_BYTES = 2**20  # HDF5's own default before version 2.0


class FallbackReader:
    """A file open in h5py. Its reads take turns: HDF5 has one lock for all."""

    def __init__(self, file: SampleFile) -> None:
        self._path = file.path
        try:
            self._file = h5py.File(file.path, "r")
            self._datasets = {
                dataset.name: _with_cache(self._file, dataset)
                for dataset in file.datasets
                if dataset.fallback
            }
        except (OSError, KeyError) as error:
            raise AssayError(f"{file.path}: not readable as HDF5: {error}") from None

    def read(
        self,
        dataset: Dataset,
        samples: NDArray[np.int64],
        rows: NDArray[np.uint8],
        places: NDArray[np.int64],
    ) -> None:
        """Read samples in the order in which they lie, each chunk once.

        Args:
            dataset: of the file, one with a `fallback`.
            samples: int64, shape (m,).
            rows: uint8, shape (capacity, bytes of a row), C-contiguous.
            places: int64, shape (m,): where in `rows` each goes.

        Raises:
            AssayError: HDF5 cannot read one: truncated, or its checksum is wrong.
        """
        typed = rows.view(dataset.dtype).reshape(len(rows), *dataset.shape)
        source = self._datasets[dataset.name]
        order = np.argsort(samples, kind="stable")
        starts = np.flatnonzero(np.diff(samples[order], prepend=-2) != 1)
        for run in np.split(order, starts[1:]):
            first = int(samples[run[0]])
            try:
                if len(run) == 1:
                    place = int(places[run[0]])
                    source.read_direct(typed[place : place + 1], np.s_[first : first + 1])
                else:
                    typed[places[run]] = source[first : first + len(run)]
            except OSError as error:
                raise AssayError(
                    f"{self._path}: samples {first} to {first + len(run) - 1} of {dataset.name!r} "
                    f"cannot be read: {' '.join(str(error).split())}: the file is damaged"
                ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> FallbackReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def stored(dataset: Dataset, samples: NDArray[np.int64]) -> tuple[int, int]:
    """Return the bytes and pieces of the file that hold samples, each chunk counted once.

    Where a dataset's pieces are not known (virtual, external, contiguous), its delivered bytes,
    one piece a sample.
    """
    if dataset.stored is None:
        return len(samples) * dataset.row_bytes, len(samples)
    touched = dataset.stored[np.unique(samples // dataset.per_chunk)].sum(axis=0)
    return int(touched[0]), int(touched[1])


def _with_cache(file: h5py.File, dataset: Dataset) -> h5py.Dataset:
    """Open a dataset with room for all chunks of one row of chunks, so each is unpacked once."""
    whole = dataset.row_bytes * dataset.per_chunk
    return opened(file, dataset.name, cache_bytes=max(_CHUNK_CACHE_BYTES, 2 * whole))
