"""Turns tables of interactions into ids that run from 0, each pair once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError
from harness.printable import printable
from workloads.heat.table_format import Names, Table, line_of, no_names, read_table
from workloads.heat.table_layout import shown
from workloads.heat.text_format import MAX_ID

_NEGATIVE = re.compile(rb"-\d+")


@dataclass(frozen=True, slots=True)
class Events:
    """Pairs that occur once, ascending by user and then item.

    Attributes:
        users: int32 (pairs,).
        items: int32 (pairs,).
        times: float64 (pairs,): of the first event of each pair; None where there are none.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Log:
    """What tables hold; `test` is None where they do not tell training from test."""

    users: int
    items: int
    train: Events
    test: Events | None


def read_tables(train: Sequence[Path], test: Path | None) -> Log:
    """Read tables and number their users and items.

    Ids are the places of the names among all, in the order of numbers where every name is one, of
    text where not: neither gaps nor the order of lines matter. Events that repeat a pair are one
    interaction at the time of the first, which is when the user met the item.

    Args:
        train: files of training, put together.
        test: file of test, or None where the others are yet to be split.

    Raises:
        AssayError: a file cannot be read; tests a user or item that is not in training; repeats a
            pair without timestamps; or, where it is not `.inter`, has a negative id, or numbers
            beyond 2^31 - 1 as ids.
    """
    users, items = no_names(), no_names()
    tables = [read_table(path, users, items) for path in train]
    known = len(users), len(items)
    tested = None if test is None else read_table(test, users, items)
    if tested is not None:
        _check_known("user", tested, tested.users, users, known[0])
        _check_known("item", tested, tested.items, items, known[1])
    everything = tables if tested is None else [*tables, tested]
    user_ids = _ids("user", users, [(table, table.users) for table in everything])
    item_ids = _ids("item", items, [(table, table.items) for table in everything])
    return Log(
        *known,
        _first_events(tables, user_ids, item_ids),
        None if tested is None else _first_events([tested], user_ids, item_ids),
    )


def _check_known(
    kind: str, table: Table, numbers: npt.NDArray[np.int32], names: Names, known: int
) -> None:
    if len(names) > known:
        at = int(np.argmax(numbers >= known))
        raise AssayError(
            f"{table.path}: line {line_of(table, at)}: {kind} {_name(names, int(numbers[at]))} is "
            "not in training; remove it, or split the data again"
        )


def _ids(
    kind: str, names: Names, where: Sequence[tuple[Table, npt.NDArray[np.int32]]]
) -> npt.NDArray[np.int32]:
    """Return int32 (names,): the id of each number."""
    known = list(names)
    are_numbers = all(map(bytes.isdigit, known))
    for table, numbers in where:
        if not table.is_inter:
            _check_ids(kind, known, are_numbers, table, numbers)
    # Of 7 and 07 the second is first, always: equal keys would leave it to the order of the lines.
    order = sorted(
        range(len(known)),
        key=(lambda at: _by_value(known[at])) if are_numbers else known.__getitem__,
    )
    ids = np.empty(len(known), np.int32)
    ids[order] = np.arange(len(known), dtype=np.int32)
    return ids


def _by_value(digits: bytes) -> tuple[int, bytes, bytes]:
    """Return a key that orders as the number does, which may have more digits than `int` takes."""
    significant = digits.lstrip(b"0")
    return len(significant), significant, digits


def _check_ids(
    kind: str,
    known: Sequence[bytes],
    are_numbers: bool,
    table: Table,
    numbers: npt.NDArray[np.int32],
) -> None:
    for number, name in enumerate(known):
        if are_numbers and (len(name) > 10 or int(name) > MAX_ID):
            fault = f"is beyond {MAX_ID}; number the ids from 0, or use .inter, where ids are text"
        elif not are_numbers and name.startswith(b"-") and _NEGATIVE.fullmatch(name):
            fault = "is negative; remove the line, or number the ids from 0"
        else:
            continue
        found = np.flatnonzero(numbers == number)
        if found.size:
            line = line_of(table, int(found[0]))
            raise AssayError(f"{table.path}: line {line}: {kind} id {_shown(name)} {fault}")


def _first_events(
    tables: Sequence[Table], user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]
) -> Events:
    """Return the earliest event of each pair."""
    users = np.concatenate([user_ids[table.users] for table in tables])
    items = np.concatenate([item_ids[table.items] for table in tables])
    timed = [table.times for table in tables if table.times is not None]
    times = np.concatenate(timed) if len(timed) == len(tables) else None
    pair = users.astype(np.int64) * item_ids.size + items
    order = np.argsort(pair, kind="stable")
    is_first = np.diff(pair[order], prepend=-1) > 0
    first = order[is_first]
    if times is None:
        if first.size < order.size:
            _refuse_repeat(tables, int(order[~is_first].min()), order.size - first.size)
        return Events(users[first], items[first], None)
    earliest = np.minimum.reduceat(times[order], np.flatnonzero(is_first))
    return Events(users[first], items[first], earliest)


def _refuse_repeat(tables: Sequence[Table], at: int, repeats: int) -> None:
    for table in tables:
        if at < table.users.size:
            raise AssayError(
                f"{table.path}: line {line_of(table, at)} repeats the pair of an earlier line "
                f"({repeats} repeated pairs in all); keep one of each, or add timestamps, of which "
                "the first counts"
            )
        at -= table.users.size


def _name(names: Names, number: int) -> str:
    return _shown(list(names)[number])


def _shown(name: bytes) -> str:
    return printable(shown(name))
