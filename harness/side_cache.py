"""Keeps what `assay ab` prepares: cached folders under locks, so that no half-made one is used."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from harness.cache import cache_root
from harness.errors import AssayError

WORKTREES, ENVIRONMENTS, PACKAGES = "worktrees", "environments", "packages"

_MARKER = ".assay-complete"
_POLL_S = 0.2


def cache_folder() -> Path:
    """Return where `assay ab` keeps its folders: below `ASSAY_CACHE` or the user's cache folder.

    Raises:
        AssayError: the path cannot be part of PYTHONPATH.
    """
    folder = cache_root().absolute() / "ab"
    if os.pathsep in str(folder):
        raise AssayError(
            f"the cache folder {folder} cannot be put on PYTHONPATH, whose paths hold no "
            f"{os.pathsep!r}; set ASSAY_CACHE to another folder"
        )
    return folder


def hold(
    folder: Path,
    *,
    complete: Callable[[], bool],
    make: Callable[[], None],
    say: Callable[[str], None],
) -> int:
    """Return a descriptor whose shared lock keeps the folder; make the folder where it is missing.

    While one process makes the folder, others wait for it. What is not complete is made again, by
    `make`, which leaves it complete or raises.

    Args:
        folder: what is kept; its lock is the file beside it with the suffix `.lock`.
        complete: whether the folder is there and whole.
        make: removes what there is and makes the folder; starts children with `close_fds=False`.
        say: is told when another process is waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = _lock(folder, fcntl.LOCK_SH, say)
        with ExitStack() as closing:
            closing.callback(os.close, descriptor)
            if complete():
                os.utime(descriptor)
                closing.pop_all()
                return descriptor
        descriptor = _lock(folder, fcntl.LOCK_EX, say)
        # A child that outlives a kill of this process goes on writing, so it keeps the lock too.
        os.set_inheritable(descriptor, True)
        try:
            if not complete():
                make()
        finally:
            os.close(descriptor)


def mark_complete(folder: Path, description: str) -> None:
    """Say that the folder is whole, as the last thing when it is made."""
    (folder / _MARKER).write_text(description, encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Return whether the folder was made to its end."""
    return (folder / _MARKER).is_file()


def remove(folder: Path) -> None:
    """Remove a folder so that a kill on the way leaves nothing that looks whole."""
    (folder / _MARKER).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def drop_oldest(folder: Path, keep: int, remove: Callable[[Path], None]) -> list[Path]:
    """Remove all but the `keep` most recently used folders in `folder`; never one that is held.

    Returns:
        What was removed.
    """
    return [lock.with_suffix("") for lock in locks_by_use(folder)[keep:] if _drop(lock, remove)]


def locks_by_use(folder: Path) -> list[Path]:
    """Return the locks of what is kept in `folder`, the most recently used first."""
    return sorted(folder.glob("*.lock"), key=_used_s, reverse=True)


def _drop(lock: Path, remove: Callable[[Path], None]) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(lock.with_suffix(""))
        lock.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _used_s(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _lock(folder: Path, mode: int, say: Callable[[str], None]) -> int:
    """Return the descriptor of the folder's lock file, locked in that mode."""
    lock = folder.with_name(f"{folder.name}.lock")
    told = False
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if not told:
                say(f"waits for another `assay ab`, which uses {folder}")
                told = True
            time.sleep(_POLL_S)
            continue
        # Whoever dropped the folder has removed the lock's file too: that lock guards nothing.
        if _is_still(lock, descriptor):
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
