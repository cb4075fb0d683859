"""How fast a folder's disk is read, past the page cache: the ceiling of work that reads files."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from harness.records import Ceiling

_FILE_BYTES = 128 << 20
_BLOCKS = (256 << 10, 1 << 20, 4 << 20)
"""Bytes of a read. Which size a device likes best depends on what lies below it: it is tried."""

_WRITTEN_BYTES = _BLOCKS[-1]
_READERS = 16  # fewer leave a fast device idle between their blocks
_REPETITIONS = 5


def disk_ceiling(folder: Path, size_bytes: int = _FILE_BYTES) -> Ceiling | None:
    """Return the rate at which a temporary file in a folder is read from its disk.

    The file is read in blocks of several sizes, of which the quickest counts: with O_DIRECT where
    its file system knows that, and otherwise after the kernel was asked to drop its pages
    (posix_fadvise(2), POSIX_FADV_DONTNEED), which a file system in memory does not follow; `method`
    says which. What lies below, a controller or a host with a cache of its own, is read as it is.

    Args:
        folder: where the file is written, and removed again.
        size_bytes: how much; a multiple of 4 MiB.

    Returns:
        None where no such file can be written or read there.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".assay-disk-") as file:
            # Random, so that a file system that compresses has nothing to gain.
            block = os.urandom(_WRITTEN_BYTES)
            for _ in range(size_bytes // _WRITTEN_BYTES):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            try:
                rates = _rates(file.name, size_bytes, os.O_DIRECT)
                method = "O_DIRECT read"
            except OSError:
                rates = _rates(file.name, size_bytes, 0)
                method = "read after POSIX_FADV_DONTNEED"
    except OSError:
        return None
    return Ceiling("disk_rate", "disk", "B/s", tuple(rates), size_bytes, method)


def _rates(name: str, size_bytes: int, flag: int) -> list[float]:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flag)
    rates: dict[int, list[float]] = {block_bytes: [] for block_bytes in _BLOCKS}
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            for _ in range(_REPETITIONS):
                for block_bytes, found in rates.items():
                    found.append(_rate(descriptor, size_bytes, block_bytes, pool))
    finally:
        os.close(descriptor)
    return max(rates.values(), key=median)


def _rate(descriptor: int, size_bytes: int, block_bytes: int, pool: ThreadPoolExecutor) -> float:
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    offsets = range(0, size_bytes, block_bytes)

    def read_every(first: int) -> None:
        # A mapping starts at a page, as O_DIRECT demands of a buffer (open(2), NOTES).
        with mmap.mmap(-1, block_bytes) as buffer:
            for offset in offsets[first::_READERS]:
                if os.preadv(descriptor, [buffer], offset) != block_bytes:
                    raise OSError("the file is shorter than it was written")

    started = time.perf_counter()
    for _ in pool.map(read_every, range(_READERS)):
        pass
    return size_bytes / (time.perf_counter() - started)
