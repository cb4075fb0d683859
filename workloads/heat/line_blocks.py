"""Reads files that need not be trusted, a bounded block of whole lines at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.errors import AssayError

MAX_FILE_BYTES = 4 << 30
"""Goodreads, the largest set in use, has 1 GB. Reading takes up to ten times the file in memory,
fifteen where it is yet to be split, and as much as sixty where most ids have no interaction or
nearly every line of a table names others."""

_BLOCK_BYTES = 4 << 20
"""Of one read; a block is as long as a line more: up to 20 MiB in lines of items, 5 MiB in tables.
Parsing takes up to sixty times the block in memory."""


def line_blocks(path: Path, max_line_bytes: int, line_is: str) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line, from 1.

    Args:
        path: of the file.
        max_line_bytes: longer lines are refused before they are read to their end.
        line_is: what a line is, for the message.

    Raises:
        AssayError: it is no regular file, cannot be read, or it or one of its lines is too long.
    """
    try:
        with open(path, "rb", opener=_opened) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise AssayError(f"{path} is not a regular file; give one that holds interactions")
            if found.st_size > MAX_FILE_BYTES:
                raise AssayError(
                    f"{path} has {found.st_size} bytes, more than the {MAX_FILE_BYTES} that are "
                    "read; use a part of it"
                )
            yield from _blocks(file, path, max_line_bytes, line_is)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> AssayError:
    """Return the error for a file or folder that the system does not let be read."""
    return AssayError(
        f"cannot read {path}: {error.strerror}; check that it is there and its permissions"
    )


def _opened(path: str, flags: int) -> int:
    # Opening a pipe would wait for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _blocks(
    file: BinaryIO, path: Path, max_line_bytes: int, line_is: str
) -> Iterator[tuple[int, bytes]]:
    line = 1
    pieces: list[bytes] = []
    pending_bytes = 0
    total_bytes = 0
    while piece := file.read(_BLOCK_BYTES):
        total_bytes += len(piece)
        if total_bytes > MAX_FILE_BYTES:
            raise AssayError(f"{path} grew beyond {MAX_FILE_BYTES} bytes; let it be finished first")
        end = piece.rfind(b"\n") + 1
        if end:
            block = b"".join([*pieces, piece[:end]])
            yield line, block
            line += block.count(b"\n")
            pieces, pending_bytes = [], 0
        pieces.append(piece[end:])
        pending_bytes += len(piece) - end
        if pending_bytes > max_line_bytes:
            raise AssayError(
                f"{path}: line {line} is longer than {max_line_bytes} bytes; each line is {line_is}"
            )
    if pending_bytes:
        yield line, b"".join(pieces)
