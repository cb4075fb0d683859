"""How fast a folder's disk is read, past the page cache: the ceiling of work that reads files."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.records import Ceiling

_FILE_BYTES = 128 << 20
_BLOCK_BYTES = 4 << 20  # many requests of a device at once
_READERS = 4  # one reader leaves a fast device idle between its blocks
_REPETITIONS = 5


def disk_ceiling(folder: Path, size_bytes: int = _FILE_BYTES) -> Ceiling | None:
    """Return the rate at which a temporary file in a folder is read from its disk.

    The file is read with O_DIRECT where its file system knows that, and otherwise after the kernel
    was asked to drop its pages (posix_fadvise(2), POSIX_FADV_DONTNEED), which a file system in
    memory does not follow; `method` says which. What lies below, a controller or a host with a
    cache of its own, is read as it is.

    Args:
        folder: where the file is written, and removed again.
        size_bytes: how much; a multiple of 4 MiB.

    Returns:
        None where no such file can be written or read there.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".assay-disk-") as file:
            # Random, so that a file system that compresses has nothing to gain.
            block = os.urandom(_BLOCK_BYTES)
            for _ in range(size_bytes // _BLOCK_BYTES):
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
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            return [_rate(descriptor, size_bytes, pool) for _ in range(_REPETITIONS)]
    finally:
        os.close(descriptor)


def _rate(descriptor: int, size_bytes: int, pool: ThreadPoolExecutor) -> float:
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    offsets = range(0, size_bytes, _BLOCK_BYTES)

    def read_every(first: int) -> None:
        # A mapping starts at a page, as O_DIRECT demands of a buffer (open(2), NOTES).
        with mmap.mmap(-1, _BLOCK_BYTES) as buffer:
            for offset in offsets[first::_READERS]:
                if os.preadv(descriptor, [buffer], offset) != _BLOCK_BYTES:
                    raise OSError("the file is shorter than it was written")

    started = time.perf_counter()
    for _ in pool.map(read_every, range(_READERS)):
        pass
    return size_bytes / (time.perf_counter() - started)
