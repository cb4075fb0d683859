"""Digests of samples, so that a flipped bit is caught where the file has no checksum of its own."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.fallback import FallbackReader
from workloads.solar.layout import SampleFile
from workloads.solar.reads import add, read
from workloads.solar.staging import memory, stage

_AT_ONCE_BYTES = 2**24


def digests(file: SampleFile) -> NDArray[np.uint32]:
    """Return the CRC-32 of each sample as delivered, reading the whole file once.

    Returns:
        uint32, shape (samples, datasets).

    Raises:
        AssayError: the file cannot be read.
    """
    found = np.zeros((file.samples, len(file.datasets)), dtype=np.uint32)
    capacity = min(file.samples, max(1, _AT_ONCE_BYTES // file.sample_bytes))
    staged = stage(file, capacity)
    with FallbackReader(file) as reader, file.path.open("rb") as raw:
        for first in range(0, file.samples, capacity):
            samples = np.arange(first, min(first + capacity, file.samples))
            places = samples - first
            staged.table.clear()
            for dataset, rows in zip(file.datasets, staged.rows, strict=True):
                if dataset.fallback:
                    reader.read(dataset, samples, rows, places)
                else:
                    offsets = dataset.offsets(samples)
                    add(staged.table, raw.fileno(), file.path, offsets, rows, places, memory(0))
            read(staged.table, 0, staged.table.count)
            found[samples] = crc32(staged.rows, places)
    return found


def save(path: Path, values: NDArray[np.uint32]) -> None:
    """Write digests as a .npy file."""
    with path.open("wb") as file:
        np.save(file, values)


def load(path: Path, file: SampleFile) -> NDArray[np.uint32]:
    """Read the digests of a file.

    Raises:
        AssayError: not digests, or of another number of samples or datasets.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AssayError(f"{path}: no digests ({error}); write them with digest.save") from None
    return checked(values, file)


def checked(values: NDArray[np.uint32], file: SampleFile) -> NDArray[np.uint32]:
    """Return digests that can be those of a file.

    Raises:
        AssayError: they cannot.
    """
    shape = (file.samples, len(file.datasets))
    if values.dtype != np.uint32 or values.shape != shape:
        raise AssayError(
            f"digests of shape {values.shape} and type {values.dtype} for {file.path}, which needs "
            f"{shape} and uint32; make them anew from this file"
        )
    return values


def verify(
    file: SampleFile,
    expected: NDArray[np.uint32],
    samples: NDArray[np.int64],
    rows: tuple[NDArray[np.uint8], ...],
    places: NDArray[np.int64],
) -> None:
    """Raise if a sample that was read is not what its digest says.

    Args:
        file: that they are of.
        expected: uint32, shape (samples of the file, datasets).
        samples: int64, shape (m,).
        rows: one uint8 array a dataset.
        places: int64, shape (m,): the index in `rows` of each.

    Raises:
        AssayError: names the first that differs.
    """
    wrong = np.argwhere(crc32(rows, places) != expected[samples])
    if len(wrong):
        sample, dataset = int(samples[wrong[0, 0]]), file.datasets[wrong[0, 1]].name
        raise AssayError(
            f"{file.path}: sample {sample} of {dataset!r} differs from its digest: the file is "
            "damaged; restore it, or make the digests anew if it was changed on purpose"
        )


def crc32(rows: tuple[NDArray[np.uint8], ...], places: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the CRC-32 of rows: uint32, shape (len(places), len(rows))."""
    values = [[zlib.crc32(of[place]) for of in rows] for place in places.tolist()]
    return np.array(values, dtype=np.uint32).reshape(len(places), len(rows))
