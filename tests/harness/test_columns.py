"""Columns hold the rows that they were made of, however they are cut and put together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.columns import (
    Coded,
    Ragged,
    coded,
    grouped,
    joined_codes,
    joined_rows,
    newest_rows,
    numbered,
    ragged,
    ranked,
)

WORDS = st.lists(st.sampled_from("abc"), max_size=12)
ROWS = st.lists(st.lists(st.floats(0.0, 9.0), max_size=4), max_size=12)


def rows_of(column: Ragged) -> list[list[float]]:
    return [column[row].tolist() for row in range(len(column.counts))]


@given(words=WORDS, data=st.data())
def test_a_coded_column_has_its_rows_and_each_value_once(
    words: list[str], data: st.DataObject
) -> None:
    column = coded(words)
    assert column.rows() == words
    assert sorted(column.values) == sorted(set(words))
    taken = picked(len(words), data)
    assert column.take(np.array(taken, np.intp)).rows() == [words[row] for row in taken]


@given(rows=ROWS, data=st.data())
def test_a_ragged_column_has_its_rows(rows: list[list[float]], data: st.DataObject) -> None:
    column = ragged(rows)
    assert rows_of(column) == rows
    taken = picked(len(rows), data)
    part = column.take(np.array(taken, np.intp))
    assert rows_of(part) == [rows[row] for row in taken]
    assert part.all().tolist() == [number for row in taken for number in rows[row]]


def picked(count: int, data: st.DataObject) -> list[int]:
    return data.draw(st.lists(st.integers(0, count - 1), max_size=9)) if count else []


@given(parts=st.lists(WORDS, max_size=5))
def test_joined_codes_are_the_rows_of_all_parts(parts: list[list[str]]) -> None:
    found = joined_codes([coded(part) for part in parts])
    assert found.rows() == [word for part in parts for word in part]


@given(parts=st.lists(ROWS, max_size=5))
def test_joined_numbers_are_the_rows_of_all_parts(parts: list[list[list[float]]]) -> None:
    found = joined_rows([ragged(part) for part in parts])
    assert rows_of(found) == [row for part in parts for row in part]


def test_parts_that_share_their_values_do_so_when_joined() -> None:
    values = ["a", "b"]
    parts = [Coded(values, np.array(codes, np.intp)) for codes in ([0, 1], [1, 1], [0])]
    assert joined_codes(parts).values == values
    assert joined_codes(parts).rows() == ["a", "b", "b", "b", "a"]


@given(words=WORDS)
def test_numbers_and_ranks_are_equal_for_equal_values(words: list[str]) -> None:
    order = [*dict.fromkeys(words)]
    assert numbered(words).tolist() == [order.index(word) for word in words]
    assert ranked(words).tolist() == [sorted(set(words)).index(word) for word in words]


@given(words=WORDS)
def test_groups_come_in_order_of_their_first_rows(words: list[str]) -> None:
    expected = [
        [row for row, one in enumerate(words) if one == word] for word in dict.fromkeys(words)
    ]
    assert [group.tolist() for group in grouped(numbered(words))] == expected


@given(words=WORDS, data=st.data())
def test_the_newest_row_of_each_number_is_the_last_that_was_asked_of(
    words: list[str], data: st.DataObject
) -> None:
    rows = sorted(set(picked(len(words), data)))
    expected = sorted({words[row]: row for row in rows}.values())
    assert newest_rows(numbered(words), np.array(rows, np.intp)) == expected
