"""Reads lines of `user item item ...`, as LightGCN and its successors publish them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError
from workloads.heat.line_blocks import line_blocks

MAX_ID = 2**31 - 1
"""Ids are stored as int32."""

MAX_LINE_BYTES = 16 << 20
"""A line holds one user's items: this is two million of them."""

_LINE = "one user's `user item item ...`"

_MAX_DIGITS = 10
"""Of 2^31 - 1."""

_SHOWN = 40
"""Bytes of a bad token that are shown, before and after what is wrong with it."""

_BLANKS = re.compile(rb"[ \t\r\n]")
_TOKEN = re.compile(rb"[^ \t\r\n]+\Z")

_BLANK, _NEWLINE, _DIGIT, _OTHER = range(4)
_KIND = np.full(256, _OTHER, np.uint8)
_KIND[list(b" \t\r")] = _BLANK
_KIND[ord("\n")] = _NEWLINE
_KIND[list(b"0123456789")] = _DIGIT


@dataclass(frozen=True, slots=True)
class Pairs:
    """Users and items, int32 (pairs,), in no order, and the largest user named, items or not."""

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    max_user: int


def read_pairs(path: Path) -> Pairs:
    """Read the pairs of one file.

    A user may have several lines, or no items.

    Raises:
        AssayError: the file cannot be read, is not of this format, or has no pair; names the line.
    """
    parts = [_parse(block, line, path) for line, block in line_blocks(path, MAX_LINE_BYTES, _LINE)]
    if not any(part.items.size for part in parts):
        raise AssayError(f"{path} holds no interaction; each line is {_LINE}")
    return joined(parts)


def joined(parts: list[Pairs]) -> Pairs:
    """Return all pairs of several."""
    return Pairs(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        max(part.max_user for part in parts),
    )


def _parse(block: bytes, first_line: int, path: Path) -> Pairs:
    """Parse whole lines with array operations: one pass a decimal place, none a token."""
    text = np.frombuffer(block, np.uint8)
    kind = _KIND[text]
    other = np.flatnonzero(kind == _OTHER)
    if other.size:
        _refuse(block, int(other[0]), first_line, path)
    edges = np.diff((kind == _DIGIT).view(np.int8), prepend=0, append=0)
    starts = np.flatnonzero(edges == 1)
    ends = np.flatnonzero(edges == -1)
    digits = ends - starts
    long = np.flatnonzero(digits > _MAX_DIGITS)
    if long.size:
        _refuse(block, int(starts[long[0]]), first_line, path)
    values = np.zeros(starts.size, np.int64)
    for place in range(int(digits.max(initial=0))):
        has_place = digits > place
        values[has_place] += (text[ends[has_place] - 1 - place] - np.int64(ord("0"))) * 10**place
    large = np.flatnonzero(values > MAX_ID)
    if large.size:
        _refuse(block, int(starts[large[0]]), first_line, path)
    line = np.searchsorted(np.flatnonzero(kind == _NEWLINE), starts)
    is_user = np.diff(line, prepend=-1) > 0
    owners = values[is_user]
    return Pairs(
        owners[np.cumsum(is_user) - 1][~is_user].astype(np.int32),
        values[~is_user].astype(np.int32),
        int(owners.max(initial=-1)),
    )


def _refuse(block: bytes, at: int, first_line: int, path: Path) -> NoReturn:
    """Raise the error for the token around offset `at`."""
    line = first_line + block.count(b"\n", 0, at)
    token = _TOKEN.search(block, max(0, at - _SHOWN), at)
    start = token.start() if token else at
    rest = _BLANKS.split(block[start : start + 2 * _SHOWN], maxsplit=1)[0]
    word = rest.decode("ascii", "replace")
    if not word.isprintable() or "\ufffd" in word:
        raise AssayError(f"{path}: line {line} is not text; each line is `user item item ...`")
    if word.isdigit():
        raise AssayError(
            f"{path}: line {line}: id {word} is beyond {MAX_ID}; number the ids from 0"
        )
    if word.startswith("-") and word[1:].isdigit():
        raise AssayError(f"{path}: line {line}: id {word} is negative; ids run from 0")
    raise AssayError(
        f"{path}: line {line}: {word!r} is not an integer; each line is `user item item ...`, "
        "and a table is named *.csv"
    )
