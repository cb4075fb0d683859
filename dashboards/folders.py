"""Replaces a whole folder at once, so that no reader meets half of a new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from harness.errors import AssayError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends well.

    When the block raises, `target` stays as it was.

    Raises:
        AssayError: the folder cannot be written, or the disk is full.
    """
    target = target.resolve()
    tag = token_hex(4)
    fresh = target.with_name(f".{target.name}.{tag}.new")
    former = target.with_name(f".{target.name}.{tag}.old")
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if target.exists():
            target.rename(former)
        fresh.rename(target)
    except OSError as error:
        raise AssayError(
            f"cannot write {target}: {error.strerror or error}; make room or choose another folder"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        elif former.exists():
            former.rename(target)
