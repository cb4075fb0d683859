"""Where the samples of an HDF5 file lie, so that they can be read without the HDF5 library."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar import containment

_MOST_SAMPLES = 2**31 - 1  # plans number slots in 32 bits
_MOST_CHUNKS = 2**24  # HDF5 counts and lists them in one call that cannot be interrupted
_MOST_CHUNK_BYTES = 2**30  # HDF5 unpacks a whole chunk in memory; its own limit is 4 GiB


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file from one put in its place, and from itself after a change."""

    size: int
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One dataset: a sample is what it holds at one index of its first axis.

    Attributes:
        name: in the file, with its groups.
        shape: of one sample.
        dtype: of the samples as delivered, in the machine's byte order.
        row_bytes: of one sample as delivered.
        fallback: why h5py must read it; "" where its bytes can be read as they lie.
        per_chunk: samples that lie one behind the other; all of them where it is contiguous.
        starts: int64, offset in the file of each such chunk; None where h5py must read.
        stored: int64, shape (chunks, 2), bytes and pieces in the file that hold each `per_chunk`
            samples; None where that is not known (then delivered bytes are counted as read).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    row_bytes: int
    fallback: str
    per_chunk: int
    starts: NDArray[np.int64] | None
    stored: NDArray[np.int64] | None

    def offsets(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the offset in the file of each sample. Not for what h5py must read."""
        assert self.starts is not None
        chunk, within = np.divmod(samples, self.per_chunk)
        offsets: NDArray[np.int64] = self.starts[chunk] + within * self.row_bytes
        return offsets

    @property
    def aligned(self) -> bool:
        """Return whether all samples begin and end at multiples of 4096 bytes, as O_DIRECT asks."""
        return (
            self.starts is not None
            and self.row_bytes % 4096 == 0
            and not np.any(self.starts % 4096)
        )


@dataclass(frozen=True, slots=True, eq=False)
class SampleFile:
    """A file of samples; sample i is what each dataset holds at i.

    Attributes:
        path: resolved.
        identity: of the file when it was indexed.
        samples: n, of each dataset.
        datasets: in the order in which they are delivered.
    """

    path: Path
    identity: Identity
    samples: int
    datasets: tuple[Dataset, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the datasets' names."""
        return tuple(dataset.name for dataset in self.datasets)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of one sample of each dataset."""
        return tuple(dataset.shape for dataset in self.datasets)

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """Return the dtype of each dataset as delivered."""
        return tuple(dataset.dtype for dataset in self.datasets)

    @property
    def row_bytes(self) -> tuple[int, ...]:
        """Return the bytes of one sample of each dataset."""
        return tuple(dataset.row_bytes for dataset in self.datasets)

    @property
    def sample_bytes(self) -> int:
        """Return the bytes of one sample of all datasets together."""
        return sum(self.row_bytes)

    @property
    def fallback(self) -> str:
        """Return which datasets h5py must read and why, or ""."""
        return "; ".join(f"{d.name}: {d.fallback}" for d in self.datasets if d.fallback)


def sample_file(path: Path, datasets: Sequence[str] = ()) -> SampleFile:
    """Index a file: O(chunks) time and memory, no sample but the first and last is read.

    What lies in the file as numpy has it (contiguous, or chunks of whole samples without filters)
    is indexed by offset; HDF5 File Format Specification 3.0, sections III.A.1 and IV.A.2.i. The
    rest is left to h5py, each with the reason.

    Args:
        path: of an HDF5 file.
        datasets: names; without any, all of the root whose first axis has the length that most
            have.

    Raises:
        AssayError: no such file or dataset, not HDF5, truncated, no samples, datasets of unequal
            length, or data that lies outside the file's folder.
    """
    path = path.resolve()
    identity = identity_of(path)
    try:
        with h5py.File(path, "r") as file:
            candidates = tuple(datasets) or _arrays(file)
        # The length of a virtual dataset may be that of its sources: HDF5 opens them to tell it.
        containment.check(path, candidates)
        with h5py.File(path, "r") as file:
            names = tuple(datasets) or _common(file, candidates)
            samples = _length(file, names)
            found = tuple(_dataset(file, name, identity.size) for name in names)
            _prove(file, found)
    # A damaged file: any of these; an offset past int64, a link of a class that h5py does not know.
    except (OSError, RuntimeError, KeyError, ValueError, OverflowError, TypeError) as error:
        raise AssayError(f"{path}: not readable as HDF5: {_one_line(error)}") from None
    return SampleFile(path, identity, samples, found)


def identity_of(path: Path) -> Identity:
    """Return the identity of a file now.

    Raises:
        AssayError: there is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise AssayError(f"{path}: {error.strerror}; give the path of an HDF5 file") from None
    return Identity(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def opened(file: h5py.File, name: str, *, cache_bytes: int | None = None) -> h5py.Dataset:
    """Open a dataset; external storage and virtual sources are sought beside the file.

    Args:
        file: that has it.
        name: of it.
        cache_bytes: for its unpacked chunks; HDF5's default without.
    """
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    # HDF5 refuses another prefix than that of whoever has the dataset open in this process.
    if _lies_elsewhere(file, name):
        access.set_efile_prefix(b"${ORIGIN}")
        access.set_virtual_prefix(b"${ORIGIN}")
    if cache_bytes is not None:
        slots, _, preemption = access.get_chunk_cache()
        access.set_chunk_cache(slots, cache_bytes, preemption)
    return h5py.Dataset(h5py.h5d.open(file.id, name.encode(), access))


def _lies_elsewhere(file: h5py.File, name: str) -> bool:
    try:
        creation = h5py.h5d.open(file.id, name.encode()).get_create_plist()
    except (KeyError, RuntimeError):  # it is open with the prefixes already, or there is none
        return True
    virtual = creation.get_layout() == h5py.h5d.VIRTUAL
    return bool(virtual or creation.get_external_count())


def _arrays(file: h5py.File) -> tuple[str, ...]:
    return tuple(
        name
        for name in file
        if isinstance(file.get(name, getlink=True), h5py.HardLink)
        and isinstance(file[name], h5py.Dataset)
    )


def _common(file: h5py.File, names: Sequence[str]) -> tuple[str, ...]:
    lengths = {name: file[name].shape[0] for name in names if file[name].shape}
    ranked = Counter(lengths.values()).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        raise AssayError(
            f"{file.filename}: no length is common to most datasets; name the datasets"
        )
    return tuple(name for name, length in lengths.items() if length == ranked[0][0])


def _length(file: h5py.File, names: Sequence[str]) -> int:
    for name in names:
        if not file[name].shape:
            raise AssayError(
                f"{file.filename}: dataset {name!r} is scalar or empty; samples need a first axis"
            )
    lengths = {name: int(file[name].shape[0]) for name in names}
    first = lengths[names[0]]
    for name, length in lengths.items():
        if length != first:
            raise AssayError(
                f"{file.filename}: datasets of unequal length: {names[0]!r} has {first} samples, "
                f"{name!r} has {length}; name datasets of one length"
            )
    if not 0 < first <= _MOST_SAMPLES:
        raise AssayError(f"{file.filename}: {first} samples; 1 to {_MOST_SAMPLES} can be planned")
    return first


def _dataset(file: h5py.File, name: str, size: int) -> Dataset:
    dataset = opened(file, name)
    where = f"{file.filename}: dataset {name!r}"
    if dataset.dtype.hasobject:
        raise AssayError(f"{where} has values of variable length; store it with a fixed one")
    shape = tuple(int(length) for length in dataset.shape[1:])
    row_bytes = math.prod(shape) * dataset.dtype.itemsize
    if row_bytes == 0:
        raise AssayError(f"{where} has samples of shape {shape}, which hold nothing")
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > _MOST_CHUNK_BYTES:
        raise AssayError(f"{where} has chunks of more than {_MOST_CHUNK_BYTES} bytes; rechunk it")
    reason = _why_not_raw(dataset)
    if dataset.file.filename != file.filename:
        reason = "behind an external link"
    pieces = _contiguous(dataset) if dataset.chunks is None else _chunks(dataset, reason, size)
    if not reason and pieces is None:
        reason = "no storage was allocated for a part of it, or it is compact"
    if not reason and pieces is not None:
        last = int(dataset.shape[0] - 1) % pieces.per_chunk
        end = (
            int(pieces.starts.max())
            + (pieces.per_chunk if dataset.chunks else last + 1) * row_bytes
        )
        if end > size:
            raise AssayError(f"{where} ends at byte {end}, the file at {size}: it is truncated")
    return Dataset(
        name=name,
        shape=shape,
        dtype=dataset.dtype.newbyteorder("="),
        row_bytes=row_bytes,
        fallback=reason,
        per_chunk=pieces.per_chunk if pieces else 1,
        starts=None if reason or pieces is None else pieces.starts,
        stored=pieces.stored if pieces else None,
    )


def _why_not_raw(dataset: h5py.Dataset) -> str:
    plain = h5py.h5t.py_create(dataset.dtype, logical=True)
    creation = dataset.id.get_create_plist()
    if dataset.is_virtual:
        return "virtual"
    if dataset.external:
        return "external storage"
    if creation.get_nfilters():
        filters = [creation.get_filter(i)[3].decode() for i in range(creation.get_nfilters())]
        return f"filtered ({', '.join(filters)})"
    if not dataset.dtype.isnative:
        return "not in this machine's byte order"
    if dataset.dtype.kind not in "biufc" or not dataset.id.get_type().equal(plain):
        return f"its type ({dataset.dtype}) is not stored as numpy has it"
    if dataset.chunks and math.prod(_chunk_counts(dataset)) > _MOST_CHUNKS:
        return f"in more than {_MOST_CHUNKS} chunks"
    if dataset.chunks and dataset.chunks[1:] != dataset.shape[1:]:
        return f"chunks of {dataset.chunks} split or pad a sample"
    return ""


@dataclass(frozen=True, slots=True)
class _Pieces:
    per_chunk: int
    starts: NDArray[np.int64]
    stored: NDArray[np.int64] | None


def _contiguous(dataset: h5py.Dataset) -> _Pieces | None:
    offset = dataset.id.get_offset()
    if offset is None:
        return None
    return _Pieces(int(dataset.shape[0]), np.array([offset], dtype=np.int64), None)


def _chunk_counts(dataset: h5py.Dataset) -> list[int]:
    return [-(-int(n) // k) for n, k in zip(dataset.shape, dataset.chunks, strict=True)]


def _chunks(dataset: h5py.Dataset, reason: str, size: int) -> _Pieces | None:
    """Return where the chunks lie, or None where some were never written or they are too many."""
    counts = _chunk_counts(dataset)
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    # A file may claim more chunks than it can hold; nothing is sized by a claim alone, and HDF5
    # counts chunks that need no index one by one.
    if math.prod(counts) > min(size, _MOST_CHUNKS):
        return None
    if dataset.id.get_num_chunks() != math.prod(counts):
        return None
    if not reason and math.prod(counts) * chunk_bytes > size:
        raise AssayError(
            f"{dataset.file.filename}: dataset {dataset.name!r} needs more bytes than "
            "the file has: it is truncated"
        )
    per_chunk = int(dataset.chunks[0])
    starts = np.full(counts[0], -1, dtype=np.int64)
    stored = np.zeros((counts[0], 2), dtype=np.int64)

    def note(chunk: Any) -> None:
        row = chunk.chunk_offset[0] // per_chunk
        if chunk.byte_offset is not None:
            starts[row] = chunk.byte_offset
            stored[row] += (chunk.size, 1)

    dataset.id.chunk_iter(note)
    return _Pieces(per_chunk, starts, stored) if starts.min() >= 0 else None


def _prove(file: h5py.File, datasets: Sequence[Dataset]) -> None:
    """Raise unless the first and last sample at their offsets are what HDF5 reads."""
    descriptor = os.open(file.filename, os.O_RDONLY)
    try:
        for dataset in datasets:
            if dataset.starts is None:
                continue
            ends = np.array([0, file[dataset.name].shape[0] - 1], dtype=np.int64)
            for sample, offset in zip(ends, dataset.offsets(ends), strict=True):
                raw = os.pread(descriptor, dataset.row_bytes, int(offset))
                if raw != file[dataset.name][int(sample)].tobytes():
                    raise AssayError(
                        f"{file.filename}: sample {sample} of {dataset.name!r} is not at byte "
                        f"{offset}, where HDF5 says it lies; rewrite the file with h5repack"
                    )
    finally:
        os.close(descriptor)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
