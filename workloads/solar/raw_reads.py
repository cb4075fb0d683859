"""How fast a file's bytes come at all: the roof under which a loader stands."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.reads import Requests, read
from workloads.solar.staging import memory


def raw_rate(
    path: Path,
    request_bytes: int,
    total_bytes: int,
    *,
    threads: int = 16,
    direct: bool = True,
    sequential: bool = False,
    seed: int = 0,
) -> float:
    """Read a part of a file by plain positional reads, and return B/s.

    No byte is read twice. Each thread has one request under way and fills the same memory again
    and again; what a loader does beside reading is left out.

    Args:
        path: the file. Nothing is done about its pages in the page cache: see `page_cache.drop`.
        request_bytes: of each read; beyond the file's end there is none. For O_DIRECT a multiple of
            4096.
        total_bytes: to be read, at most; the whole file where it is shorter.
        threads: that read: the queue depth.
        direct: whether to pass by the page cache (O_DIRECT).
        sequential: from the beginning on; else from offsets all over the file, in random order.
        seed: of that order.

    Raises:
        AssayError: the file is shorter than one request, or does not allow O_DIRECT.
    """
    if request_bytes < 1 or threads < 1 or (direct and request_bytes % 4096):
        raise AssayError(
            f"raw reads of {request_bytes} bytes by {threads} threads: take at least one of each, "
            "and for O_DIRECT a multiple of 4096 bytes"
        )
    descriptor = _open(path, direct)
    try:
        blocks = os.fstat(descriptor).st_size // request_bytes
        if blocks == 0:
            raise AssayError(f"{path}: is shorter than one read of {request_bytes} bytes")
        count = max(1, min(blocks, total_bytes // request_bytes))
        order = np.arange(blocks) if sequential else np.random.default_rng(seed).permutation(blocks)
        tables = [
            _table(descriptor, path, order[first:count:threads] * request_bytes, request_bytes)
            for first in range(min(threads, count))
        ]
        return count * request_bytes / _time(tables)
    finally:
        os.close(descriptor)


def _open(path: Path, direct: bool) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
    except OSError as error:
        raise AssayError(
            f"{path}: cannot be opened{' with O_DIRECT' if direct else ''}: {error.strerror}"
        ) from None
    if not direct:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    return descriptor


def _table(
    descriptor: int, path: Path, offsets: NDArray[np.int64], size: int
) -> tuple[Requests, NDArray[np.uint8]]:
    """Return a thread's requests in this very order, and the memory that each of them fills."""
    target = memory(size)
    target.fill(0)
    made = np.zeros((len(offsets), 5), dtype=np.int64)
    made[:, 0], made[:, 1], made[:, 3], made[:, 4] = descriptor, offsets, 1, size
    pieces = np.array([[target.ctypes.data, size]], dtype=np.int64)
    return Requests(made, pieces, len(offsets), 1, paths={descriptor: path}), target


def _time(tables: Sequence[tuple[Requests, NDArray[np.uint8]]]) -> float:
    """Return the s from when all threads are there until the last has read."""
    together = threading.Barrier(len(tables) + 1)

    def run(table: Requests) -> None:
        together.wait()
        read(table, 0, table.count)

    with ThreadPoolExecutor(len(tables)) as threads:
        reading = [threads.submit(run, table) for table, _ in tables]
        together.wait()
        start = time.perf_counter()
        for future in reading:
            future.result()
        return time.perf_counter() - start
