from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workloads.msrep.partition import partition

LENGTHS = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 40]), max_size=30)
COUNTS = st.integers(1, 20)


def pointer_of(lengths: list[int], dtype: type = np.int64) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths))).astype(dtype)


@settings(deadline=None, max_examples=200)
@given(lengths=LENGTHS, count=COUNTS)
@example(lengths=[], count=3)
@example(lengths=[0, 0, 0], count=2)
@example(lengths=[40], count=7)
@example(lengths=[1] * 30, count=4)
@example(lengths=[0, 0, 2, 0], count=5)
def test_every_entry_lies_in_exactly_one_partition_and_they_balance(
    lengths: list[int], count: int
) -> None:
    parts = partition(pointer_of(lengths), count)
    sizes = np.diff(parts.bounds)
    assert len(sizes) == count
    assert parts.bounds[0] == 0
    assert parts.bounds[-1] == sum(lengths)
    assert sizes.min() >= 0
    assert sizes.max() - sizes.min() <= 1


@settings(deadline=None, max_examples=200)
@given(lengths=LENGTHS, count=COUNTS, dtype=st.sampled_from([np.int32, np.int64]))
@example(lengths=[0, 3, 0, 0, 3, 0], count=2, dtype=np.int32)
def test_lines_and_flags_are_those_of_the_entries_one_by_one(
    lengths: list[int], count: int, dtype: type
) -> None:
    pointer = pointer_of(lengths, dtype)
    line = np.repeat(np.arange(len(lengths)), lengths)
    parts = partition(pointer, count)
    for p in range(count):
        start, end = parts.bounds[p], parts.bounds[p + 1]
        if start == end:
            assert parts.first[p] == parts.last[p] == -1
            assert not parts.first_shared[p]
            assert not parts.last_shared[p]
            continue
        assert parts.first[p] == line[start]
        assert parts.last[p] == line[end - 1]
        assert parts.first_shared[p] == (start > 0 and line[start - 1] == line[start])
        assert parts.last_shared[p] == (end < len(line) and line[end] == line[end - 1])


@settings(deadline=None, max_examples=200)
@given(lengths=LENGTHS, count=COUNTS)
def test_every_line_even_an_empty_one_begins_in_exactly_one_partition(
    lengths: list[int], count: int
) -> None:
    pointer = pointer_of(lengths)
    parts = partition(pointer, count)
    assert parts.begins[0] == 0
    assert parts.begins[-1] == len(lengths)
    assert np.all(np.diff(parts.begins) >= 0)
    for p in range(count):
        for line in range(parts.begins[p], parts.begins[p + 1]):
            if lengths[line]:
                assert parts.bounds[p] <= pointer[line] < parts.bounds[p + 1]


def test_entries_beyond_two_to_the_31_are_cut_without_overflow() -> None:
    nnz = 5 * 2**40 + 3
    pointer = np.array([0, 0, 7, nnz - 1, nnz - 1, nnz, nnz], dtype=np.int64)
    count = 1024
    parts = partition(pointer, count)
    assert parts.bounds.tolist() == [p * nnz // count for p in range(count + 1)]
    assert parts.first[0] == 1
    assert set(parts.first[1:].tolist()) == {2}
    assert parts.last[-1] == 4
    assert parts.first_shared[1:].all()
    assert parts.last_shared[:-1].all()
    assert not parts.last_shared[-1]


def test_the_largest_pointer_of_64_bits_is_cut() -> None:
    nnz = 2**63 - 1
    parts = partition(np.array([0, nnz], dtype=np.int64), 1000)
    assert np.diff(parts.bounds).min() == nnz // 1000
    assert parts.bounds[-1] == nnz


def test_metadata_counts_all_of_its_arrays() -> None:
    parts = partition(pointer_of([3, 4, 5]), 4)
    assert parts.nbytes == 8 * (5 + 4 + 4 + 5) + 2 * 4


@pytest.mark.parametrize(("pointer", "count"), [([0, 3], 0), ([0, 3], -1), ([], 2)])
def test_impossible_arguments_are_refused(pointer: list[int], count: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        partition(np.array(pointer, dtype=np.int64), count)
