"""Generated files, kept between runs: the largest take minutes to write.

    <cache>/solar/<shape>-<samples>-<digest>.h5

The digest is of everything that the content depends on. The cache is below `ASSAY_CACHE` or the
user's cache folder, is bounded, and may be deleted while nothing runs: a file that a process has
open is not made again before it lets go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from harness import side_cache
from harness.cache import cache_root
from harness.errors import AssayError
from workloads.solar.generate import Layout, file_bytes, generate, remove_parts

CONTENT = 1
"""Counted up whenever the same settings come to mean other bytes."""

MOST_BYTES = 128 << 30
"""Room for the files of the paper size. Beyond it the longest unused are dropped first; never one
in use.
"""


@dataclass(slots=True)
class KeptFile:
    """A cached file that stays as long as this is open.

    Attributes:
        path: of the file.
        lock: descriptor whose lock keeps it; -1 when closed.
    """

    path: Path
    lock: int

    def close(self) -> None:
        """Let the cache drop the file."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def kept_file(
    shape: str,
    samples: int,
    *,
    layout: Layout,
    seed: int,
    most_bytes: int = MOST_BYTES,
    say: Callable[[str], None] = lambda line: None,
) -> KeptFile:
    """Return the cached file of these settings, generated now where there is none.

    Processes that ask for the same file at once wait for the one that writes it.

    Args:
        shape: of a sample, one of `shapes.SHAPES`.
        samples: how many.
        layout: how they lie.
        seed: of their content.
        most_bytes: what all cached files may take.
        say: is told when another process is waited for.

    Raises:
        AssayError: the file cannot be generated, or the cache folder cannot be written.
    """
    path = cache_folder() / f"{shape}-{samples}-{_digest(shape, samples, layout, seed)}.h5"

    def make() -> None:
        remove_parts(path)
        if shutil.disk_usage(path.parent).free < file_bytes(shape, samples):
            side_cache.drop_oldest(path.parent, 0, _remove)
        generate(path, shape, samples, layout=layout, seed=seed)

    try:
        lock = side_cache.hold(
            path,
            complete=path.is_file,
            make=make,
            say=lambda _: say(f"waits for another process, which writes {path}"),
        )
    except OSError as error:
        raise AssayError(
            f"cannot write the cache folder {path.parent}: {error.strerror}; "
            "set ASSAY_CACHE to another folder"
        ) from error
    _drop_beyond(path.parent, most_bytes)
    return KeptFile(path, lock)


def cache_folder() -> Path:
    """Return where generated files are kept."""
    return cache_root().absolute() / "solar"


def _digest(shape: str, samples: int, layout: Layout, seed: int) -> str:
    told = (CONTENT, np.__version__, shape, samples, layout, seed)
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]


def _drop_beyond(folder: Path, most_bytes: int) -> None:
    """Keep the most recently used files that fit, and any that is held."""
    taken = 0
    for kept, lock in enumerate(side_cache.locks_by_use(folder)):
        taken += _bytes(lock.with_suffix(""))
        if taken > most_bytes:
            side_cache.drop_oldest(folder, kept, _remove)
            return


def _remove(path: Path) -> None:
    remove_parts(path)
    path.unlink(missing_ok=True)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
