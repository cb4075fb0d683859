"""Columns: many rows of few unlike values, or of some numbers each; small, and quick to take."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
"""Of rows, or of values: what an array is indexed by."""

_Value = TypeVar("_Value")


class Coded(Generic[_Value]):
    """A column in which many rows have equal values.

    Attributes:
        values: each once, as far as they are known to be equal; maybe some that no row has.
        codes: the place of each row's value among them; [rows].
    """

    __slots__ = ("codes", "values")

    def __init__(self, values: Sequence[_Value], codes: Indices) -> None:
        self.values = values
        self.codes = codes

    def __getitem__(self, row: int) -> _Value:
        return self.values[int(self.codes[row])]

    def rows(self) -> list[_Value]:
        """Return the value of each row."""
        return [self.values[code] for code in self.codes.tolist()]

    def take(self, rows: Indices) -> Coded[_Value]:
        """Return these rows, in this order."""
        return Coded(self.values, self.codes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A column of rows of numbers, of any length each.

    Attributes:
        flat: the numbers of all rows, and maybe of others.
        starts: where each row's begin; [rows].
        counts: how many there are; [rows].
    """

    flat: Floats
    starts: Indices
    counts: Indices

    def __getitem__(self, row: int) -> Floats:
        start, count = int(self.starts[row]), int(self.counts[row])
        return self.flat[start : start + count]

    def take(self, rows: Indices) -> Ragged:
        """Return these rows, in this order."""
        return Ragged(self.flat, self.starts[rows], self.counts[rows])

    def all(self) -> Floats:
        """Return the numbers of all rows, one row's after another's."""
        before = np.cumsum(self.counts) - self.counts
        within = np.arange(self.counts.sum()) - np.repeat(before, self.counts)
        every: Floats = self.flat[np.repeat(self.starts, self.counts) + within]
        return every


def coded(
    rows: Iterable[_Value], key: Callable[[_Value], Hashable] = lambda value: value
) -> Coded[_Value]:
    """Return rows as a column; of those with equal keys the first stands for all."""
    places: dict[Hashable, int] = {}
    values: list[_Value] = []
    codes: list[int] = []
    for row in rows:
        place = places.setdefault(key(row), len(values))
        if place == len(values):
            values.append(row)
        codes.append(place)
    return Coded(values, np.array(codes, np.intp))


def ragged(rows: Iterable[Sequence[float]]) -> Ragged:
    """Return rows of numbers as a column."""
    every = list(rows)
    counts = np.array([len(row) for row in every], np.intp)
    flat = np.array([number for row in every for number in row], np.float64)
    return Ragged(flat, np.cumsum(counts) - counts, counts)


def joined_codes(parts: Sequence[Coded[_Value]]) -> Coded[_Value]:
    """Return the rows of all parts; where parts share one list of values it is taken once."""
    first: dict[int, int] = {}
    values: list[_Value] = []
    codes = [np.zeros(0, np.intp)]
    for part in parts:
        # By identity: values need not be hashable, and lists of many take long to compare.
        if id(part.values) not in first:
            first[id(part.values)] = len(values)
            values += part.values
        codes.append(part.codes + first[id(part.values)])
    return Coded(values, np.concatenate(codes))


def joined_rows(parts: Sequence[Ragged]) -> Ragged:
    """Return the rows of all parts."""
    ends = np.cumsum([0, *(len(part.flat) for part in parts)])
    starts = [part.starts + end for part, end in zip(parts, ends, strict=False)]
    return Ragged(
        joined([part.flat for part in parts]),
        np.concatenate([np.zeros(0, np.intp), *starts]),
        np.concatenate([np.zeros(0, np.intp), *(part.counts for part in parts)]),
    )


def joined(parts: Sequence[Floats]) -> Floats:
    """Return the numbers of all parts."""
    return np.concatenate([np.zeros(0), *parts])


def numbered(values: Iterable[Hashable]) -> Indices:
    """Return a number for each value, from 0 on in order of their first; equal for equal values."""
    found: dict[Hashable, int] = {}
    return np.array([found.setdefault(value, len(found)) for value in values], np.intp)


def ranked(values: Sequence[str]) -> Indices:
    """Return the rank of each value among all of them, equal for equal ones."""
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return np.array([ranks[value] for value in values], np.intp)


def grouped(numbers: Indices) -> list[Indices]:
    """Return the rows of each number, in their order; numbers in order of their first rows."""
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    groups = np.split(order, ends) if len(numbers) else []
    return sorted(groups, key=lambda rows: int(rows[0]))


def newest_rows(numbers: Indices, rows: Indices) -> list[int]:
    """Return the last of some rows, which ascend, for each number that they have; ascending.

    Args:
        numbers: of every row.
        rows: some of them.
    """
    last = np.full(int(numbers.max(initial=-1)) + 1, -1)
    last[numbers[rows]] = rows  # where several are assigned to one number the last stays
    return sorted(last[last >= 0].tolist())
