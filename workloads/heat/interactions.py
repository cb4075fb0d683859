"""Reads who interacted with what: lines of `user item item ...`, as LightGCN has them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError

Ids = npt.NDArray[np.int32]
Pointers = npt.NDArray[np.int64]

MAX_ID = 2**31 - 1
"""Ids are stored as int32."""

MAX_FILE_BYTES = 4 << 30
"""Reading takes up to six times the file in memory; Goodreads, the largest set in use, has 1 GB."""

MAX_LINE_BYTES = 16 << 20
"""A line holds one user's items: this is two million of them."""

MAX_ROWS_PER_INTERACTION = 50
"""Denser ids are found in every public set (Gowalla: 0.05 items an interaction)."""

_BLOCK_BYTES = 4 << 20
"""Parsing takes about sixty times the block in memory."""

_MAX_DIGITS = 10
"""Of 2^31 - 1."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Training and test interactions in compressed rows: one row a user, items ascending.

    Attributes:
        users: number of users; ids run from 0.
        items: number of items; ids run from 0.
        train_ptr: int64 (users + 1,); user u's training items are
            `train_items[train_ptr[u]:train_ptr[u + 1]]`.
        train_items: int32 (training interactions,).
        test_ptr: int64 (users + 1,).
        test_items: int32 (test interactions,).
    """

    users: int
    items: int
    train_ptr: Pointers
    train_items: Ids
    test_ptr: Pointers
    test_items: Ids

    def train_users(self) -> Ids:
        """Return int32 (training interactions,): the user of each training interaction."""
        return np.repeat(np.arange(self.users, dtype=np.int32), np.diff(self.train_ptr))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of one file, in its order, and the largest user named, items or not."""

    users: Ids
    items: Ids
    max_user: int


def files(folder: Path) -> list[Path]:
    """Return the files of a data set: train.txt, test.txt and, where it exists, valid.txt.

    Raises:
        AssayError: the folder, or one of the two files that must be there, is missing.
    """
    if not folder.is_dir():
        raise AssayError(f"{folder} is not a folder; give one that holds train.txt and test.txt")
    found = [folder / "train.txt", folder / "test.txt"]
    for path in found:
        if not path.is_file():
            raise AssayError(f"{path} is missing; a data set has one train.txt and one test.txt")
    validation = folder / "valid.txt"
    return [*found, validation] if validation.is_file() else found


def read(folder: Path) -> Interactions:
    """Read a data set from its folder.

    A user may have several lines; their items are put together. Users without items are kept.
    `valid.txt`, where it exists, joins the training interactions: the published results train on
    both. The number of users and items is told by training alone.

    Args:
        folder: holds train.txt and test.txt, and perhaps valid.txt, each with lines of
            `user item item ...`, non-negative integers separated by blanks.

    Raises:
        AssayError: a file is missing, empty, not of this format, repeats a pair, has ids that are
            too large or too sparse, or tests a user or item that training does not know.
    """
    train_path, test_path, *validation = files(folder)
    train = _joined([_read_pairs(path) for path in (train_path, *validation)])
    test = _read_pairs(test_path)
    users = train.max_user + 1
    items = int(train.items.max()) + 1
    for kind, count in (("user", users), ("item", items)):
        if count > MAX_ROWS_PER_INTERACTION * train.items.size:
            raise AssayError(
                f"{train_path}: {kind} id {count - 1} among {train.items.size} interactions would "
                f"leave nearly every row empty; number the {kind}s from 0 without gaps"
            )
    for kind, highest, count in (
        ("user", test.max_user, users),
        ("item", int(test.items.max()), items),
    ):
        if highest >= count:
            raise AssayError(
                f"{test_path}: {kind} {highest} is beyond the {kind}s of training, which end at "
                f"{count - 1}; remove it, or split the data again"
            )
    train_ptr, train_items = compressed_rows(train.users, train.items, users, items, train_path)
    test_ptr, test_items = compressed_rows(test.users, test.items, users, items, test_path)
    return Interactions(users, items, train_ptr, train_items, test_ptr, test_items)


def compressed_rows(
    row: Ids, column: Ids, rows: int, columns: int, source: Path | str
) -> tuple[Pointers, Ids]:
    """Return the pointers, int64 (rows + 1,), and the items of each row, ascending.

    Raises:
        AssayError: a pair occurs twice; names `source`.
    """
    key = row.astype(np.int64) * columns + column
    key.sort()
    repeated = np.flatnonzero(key[1:] == key[:-1])
    if repeated.size:
        user, item = divmod(int(key[repeated[0]]), columns)
        raise AssayError(
            f"{source}: user {user} and item {item} occur together more than once "
            f"({repeated.size} repeated pairs in all); keep one of each"
        )
    pointers = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=rows), out=pointers[1:])
    return pointers, (key % columns).astype(np.int32)


def digest(interactions: Interactions) -> str:
    """Return sixteen hexadecimal digits that name the content, wherever it came from."""
    sha256 = hashlib.sha256(f"{interactions.users} {interactions.items}".encode())
    for array in (
        interactions.train_ptr,
        interactions.train_items,
        interactions.test_ptr,
        interactions.test_items,
    ):
        sha256.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return sha256.hexdigest()[:16]


def _joined(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        max(part.max_user for part in parts),
    )


def _read_pairs(path: Path) -> _Pairs:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise AssayError(
                f"{path} has {size_bytes} bytes, more than the {MAX_FILE_BYTES} that are read; "
                "use a part of it"
            )
        with path.open("rb") as file:
            parts = [_parse(block, line, path) for line, block in _blocks(file, path)]
    except OSError as error:
        raise AssayError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if not any(part.items.size for part in parts):
        raise AssayError(f"{path} holds no interaction; each line is `user item item ...`")
    return _joined(parts)


def _blocks(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of whole lines, each with the number of its first line, from 1."""
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
        if pending_bytes > MAX_LINE_BYTES:
            raise AssayError(
                f"{path}: line {line} is longer than {MAX_LINE_BYTES} bytes; each line is one "
                "user's `user item item ...`"
            )
    if pending_bytes:
        yield line, b"".join(pieces)


_SHOWN = 40
"""Bytes of a bad token that are shown, before and after what is wrong with it."""

_BLANKS = re.compile(rb"[ \t\r\n]")
_TOKEN = re.compile(rb"[^ \t\r\n]+\Z")

_BLANK, _NEWLINE, _DIGIT, _OTHER = range(4)
_KIND = np.full(256, _OTHER, np.uint8)
_KIND[list(b" \t\r")] = _BLANK
_KIND[ord("\n")] = _NEWLINE
_KIND[list(b"0123456789")] = _DIGIT


def _parse(block: bytes, first_line: int, path: Path) -> _Pairs:
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
    return _Pairs(
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
        f"{path}: line {line}: {word!r} is not an integer; each line is `user item item ...`"
    )
