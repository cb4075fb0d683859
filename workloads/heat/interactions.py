"""Reads who interacted with what, from files in any of three formats."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError
from workloads.heat import datasets
from workloads.heat.line_blocks import line_blocks, unreadable
from workloads.heat.splitting import TEST_SHARE, test_mask
from workloads.heat.table_layout import MAX_LINE_BYTES
from workloads.heat.tables import Events, read_tables
from workloads.heat.text_format import joined, read_pairs

Ids = npt.NDArray[np.int32]
Pointers = npt.NDArray[np.int64]

MAX_ROWS_PER_INTERACTION = 4
"""Of users, or of items: every public set has far fewer (Gowalla: 0.05 items an interaction)."""

SPARE_ROWS = 1_000_000
"""Beyond those, so that a small file may have ids with gaps."""

SUFFIXES = (".txt", ".inter", ".csv", ".tsv", ".dat", ".data")
"""Of files in a folder: lines of items a user, RecBole's format, and tables."""

_WHOLE = ("ratings", "interactions")
"""Names of files, but for the suffix, that hold a whole data set without a split."""


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


def files(path: Path) -> list[Path]:
    """Return the files of a data set: those of training, then the test file where there is one.

    Args:
        path: a file that holds everything, or a folder with one file named train.* or *.train.*,
            one for test and perhaps one for valid; or with one file `*.inter`, ratings.* or
            interactions.* that holds everything. Suffixes are `SUFFIXES`.

    Raises:
        AssayError: there is no such path, or a file is missing, there are two for the same part,
            or one links out of the folder.
    """
    train, test = _parts(path)
    return train if test is None else [*train, test]


def read(path: Path) -> Interactions:
    """Read a data set from its file or folder; `files` tells how they are named.

    `valid.*`, where it exists, joins the training interactions: the published results train on
    both. Where nothing tells training from test, `splitting.test_mask` does. In `.txt` files
    numbers are ids; `tables.read_tables` tells what ids are in the others.

    Raises:
        AssayError: a file is missing, empty, not of its format, repeats a pair, has ids that are
            too large or too sparse, or tests a user or item that training does not know.
    """
    train, test = _parts(path)
    return (_from_text if train[0].suffix == ".txt" else _from_tables)(train, test)


def estimated_interactions(path: Path) -> int:
    """Return about how many interactions a data set has, from the sizes of its files.

    Raises:
        AssayError: as `files`, or a file cannot be read.
    """
    return max(1, sum(round(_size(file) / _bytes_each(file)) for file in files(path)))


def compressed_rows(
    row: Ids,
    column: Ids,
    rows: int,
    columns: int,
    source: Path | str,
    may_repeat: bool = False,
) -> tuple[Pointers, Ids]:
    """Return the pointers, int64 (rows + 1,), and the items of each row, ascending.

    Raises:
        AssayError: a pair occurs twice and may not; names `source`.
    """
    key = row.astype(np.int64) * columns + column
    key.sort()
    repeated = np.flatnonzero(key[1:] == key[:-1])
    if repeated.size and not may_repeat:
        user, item = divmod(int(key[repeated[0]]), columns)
        raise AssayError(
            f"{source}: user {user} and item {item} occur together more than once "
            f"({repeated.size} repeated pairs in all); keep one of each"
        )
    key = np.delete(key, repeated)
    pointers = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(key // columns, minlength=rows), out=pointers[1:])
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


def _parts(path: Path) -> tuple[list[Path], Path | None]:
    """Return the files of training and that of test, or the only file and None."""
    if path.is_file():
        return [path], None
    if not path.is_dir():
        raise AssayError(
            f"{path} is not a folder, nor a file; give one that holds train.txt and test.txt, or "
            "a table of interactions"
        )
    try:
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        raise unreadable(path, error) from error
    train, test, valid = (_part(found, name) for name in ("train", "test", "valid"))
    if train is None and test is None:
        if valid is not None:
            raise AssayError(f"{valid} comes without train.* and test.*; add them, or remove it")
        whole = _only([file for file in found if file.suffix == ".inter" or file.stem in _WHOLE])
        if whole is not None:
            return [_within(path, whole)], None
    if train is None or test is None:
        present = train or test
        suffix = present.suffix if present else ".txt"
        missing = path / f"{'train' if train is None else 'test'}{suffix}"
        raise AssayError(
            f"{missing} is missing; a data set has one file train.* and one test.*, or is one file "
            "*.inter, ratings.* or interactions.*"
        )
    training = [train] if valid is None else [train, valid]
    if len({file.suffix == ".txt" for file in (*training, test)}) > 1:
        raise AssayError(f"{path} has both .txt files and tables; convert one to the other")
    return [_within(path, file) for file in training], _within(path, test)


def _within(folder: Path, file: Path) -> Path:
    """Return the file, unless it is a link out of a folder that others may have filled."""
    try:
        is_within = file.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # links in a circle
        is_within = False
    except OSError as error:
        raise unreadable(file, error) from error
    if not is_within:
        raise AssayError(f"{file} links out of its folder; put the file itself there")
    return file


def _part(found: Sequence[Path], name: str) -> Path | None:
    return _only([file for file in found if file.stem == name or file.stem.endswith(f".{name}")])


def _only(found: Sequence[Path]) -> Path | None:
    if len(found) > 1:
        raise AssayError(
            f"{found[0]} and {found[1].name} are the same part of a data set; keep one"
        )
    return found[0] if found else None


def _from_text(train: Sequence[Path], test: Path | None) -> Interactions:
    pairs = joined([read_pairs(file) for file in train])
    source = _named(train)
    users = pairs.max_user + 1
    items = int(pairs.items.max()) + 1
    for kind, count in (("user", users), ("item", items)):
        if count > MAX_ROWS_PER_INTERACTION * pairs.items.size + SPARE_ROWS:
            raise AssayError(
                f"{source}: {kind} id {count - 1} among {pairs.items.size} interactions would "
                f"leave nearly every row empty; number the {kind}s from 0 without gaps"
            )
    may_repeat = any(map(datasets.repeats_pairs, train))
    train_rows = compressed_rows(pairs.users, pairs.items, users, items, source, may_repeat)
    if test is None:
        row = np.repeat(np.arange(users, dtype=np.int32), np.diff(train_rows[0]))
        return _split(users, items, Events(row, train_rows[1], None), train[0])
    tested = read_pairs(test)
    for kind, highest, count in (
        ("user", tested.max_user, users),
        ("item", int(tested.items.max()), items),
    ):
        if highest >= count:
            raise AssayError(
                f"{test}: {kind} {highest} is beyond the {kind}s of training, which end at "
                f"{count - 1}; remove it, or split the data again"
            )
    test_rows = compressed_rows(tested.users, tested.items, users, items, test)
    return Interactions(users, items, *train_rows, *test_rows)


def _from_tables(train: Sequence[Path], test: Path | None) -> Interactions:
    log = read_tables(train, test)
    if test is None or log.test is None:
        return _split(log.users, log.items, log.train, train[0])
    return Interactions(
        log.users,
        log.items,
        *compressed_rows(log.train.users, log.train.items, log.users, log.items, _named(train)),
        *compressed_rows(log.test.users, log.test.items, log.users, log.items, test),
    )


def _named(train: Sequence[Path]) -> str:
    return " and ".join([str(train[0]), *(file.name for file in train[1:])])


def _split(users: int, items: int, events: Events, path: Path) -> Interactions:
    is_test = test_mask(events.users, events.items, events.times)
    if not is_test.any():
        raise AssayError(
            f"{path}: no user has {round(1 / TEST_SHARE)} items of which one can be for test, as "
            "other users have it too; give more data, or split it into train.* and test.*"
        )
    train_rows, test_rows = (
        compressed_rows(events.users[part], events.items[part], users, items, path)
        for part in (~is_test, is_test)
    )
    return Interactions(users, items, *train_rows, *test_rows)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise unreadable(file, error) from error


def _bytes_each(file: Path) -> float:
    """Return the bytes of an interaction: Gowalla's in lines of items, else of the first lines."""
    if file.suffix == ".txt":
        return 5.7
    for _, block in line_blocks(file, MAX_LINE_BYTES, "one interaction"):
        return len(block) / (block.count(b"\n") or 1)
    return 1.0
