"""Empties the page cache of one file, and tells how much of a file it holds.

A cold run is one that has proved to be: on tmpfs, and where another process maps the file, advice
to drop pages is taken and nothing happens.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from harness.errors import AssayError

MOST_CACHED = 0.01
"""Of a file that counts as dropped: its header may be read again by whoever has it open."""

_WINDOW_BYTES = 1 << 32
"""Mapped at a time, so that the kernel's answer (a byte a page) stays small."""


def drop(path: Path) -> None:
    """Write back what is dirty of a file and ask the kernel to drop all its pages.

    Raises:
        AssayError: the file cannot be opened.
    """
    descriptor = _open(path)
    try:
        # Dirty pages are not dropped (posix_fadvise(2), POSIX_FADV_DONTNEED).
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def drop_surely(path: Path) -> None:
    """Drop a file's pages and make sure that they are gone.

    Raises:
        AssayError: more than MOST_CACHED of the file is still there.
    """
    drop(path)
    share = cached_share(path)
    if share > MOST_CACHED:
        raise AssayError(
            f"{share:.0%} of {path} stays in memory, so no cold reading can be timed; keep it on a "
            "disk (ASSAY_CACHE), not on tmpfs, or take cache=warm"
        )


def cached_share(path: Path) -> float:
    """Return the share of a file's pages that are in the page cache; 0 for an empty file.

    As mincore(2) tells it. It tells only those who own the file or may write it, since Linux 5.2;
    for anyone else all pages seem to be there.

    Raises:
        AssayError: the file cannot be opened, or the kernel does not tell.
    """
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        cached = 0
        for start in range(0, size, _WINDOW_BYTES):
            cached += _cached_pages(descriptor, start, min(_WINDOW_BYTES, size - start), path)
    finally:
        os.close(descriptor)
    return cached / max(1, -(-size // mmap.PAGESIZE))


def _cached_pages(descriptor: int, start: int, length: int, path: Path) -> int:
    told = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
    with mmap.mmap(descriptor, length, prot=mmap.PROT_READ, offset=start) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        address = view.ctypes.data
        # What points into the mapping would keep it from being closed.
        del view
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mincore(
            ctypes.c_void_p(address),
            ctypes.c_size_t(length),
            ctypes.c_void_p(told.ctypes.data),
        )
    if failed:
        why = os.strerror(ctypes.get_errno())
        raise AssayError(f"the kernel does not tell what of {path} it has cached: {why}")
    # Only the lowest bit of each byte means anything.
    return int(np.count_nonzero(told & 1))


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AssayError(f"cannot open {path}: {error.strerror}") from error
