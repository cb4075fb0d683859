"""Cuts the entries of a compressed matrix into parts of equal cost.

The partition of MSREP (Chen et al., arXiv 2209.07552) gives partition p the entries
`p * nnz // P` up to `(p + 1) * nnz // P`, wherever rows begin, so a row may be shared. Only the
pointer array is read, by binary search, so that the time grows with P log(rows) and not with nnz.

A row costs something too, however few entries it has. With a cost of its own, equal parts are those
of Merrill & Garland's merge path (SC 2016), where a row costs as much as an entry.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Partition:
    """P partitions of one matrix; a *line* is a row for pCSR and pCOO, a column for pCSC.

    Attributes:
        bounds: int64, shape (P + 1,): partition p holds the entries bounds[p] to bounds[p + 1].
        first: int64, shape (P,): the line of the partition's first entry; -1 where it has none.
        last: int64, shape (P,): the line of the partition's last entry; -1 where it has none.
        first_shared: bool, shape (P,): whether the first line began in an earlier partition.
        last_shared: bool, shape (P,): whether the last line goes on in a later partition.
        begins: int64, shape (P + 1,): the lines that begin in partition p, empty ones included,
            are begins[p] to begins[p + 1]; together they are all lines, each once.
    """

    bounds: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    first_shared: NDArray[np.bool_]
    last_shared: NDArray[np.bool_]
    begins: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Return the bytes of all of the partitions' metadata."""
        return sum(
            array.nbytes
            for array in (
                self.bounds, self.first, self.last, self.first_shared, self.last_shared, self.begins
            )
        )  # fmt: skip


def partition(pointer: NDArray[np.integer], count: int, line_cost: int = 0) -> Partition:
    """Cut the matrix with that row (or column) pointer, shape (lines + 1,), into `count` parts.

    Args:
        pointer: where each line begins, and at the end nnz.
        count: how many parts.
        line_cost: of a line, in entries; 0 for parts of equal nnz.

    Raises:
        ValueError: `count` is not positive or `pointer` is empty.
    """
    if count < 1 or len(pointer) < 1:
        raise ValueError(f"cannot cut {len(pointer) - 1} lines into {count} partitions")
    bounds = _bounds(pointer, count, line_cost)
    # Keys of another type would make the search convert the whole pointer.
    keys = bounds.astype(pointer.dtype)
    start, end = keys[:-1], keys[1:]
    filled = start < end
    first = np.where(filled, np.searchsorted(pointer, start, side="right") - 1, -1)
    last = np.where(filled, np.searchsorted(pointer, end, side="left") - 1, -1)
    begins = np.searchsorted(pointer[:-1], keys, side="left").astype(np.int64)
    # Empty lines behind the last entry begin nowhere else.
    begins[-1] = len(pointer) - 1
    return Partition(
        bounds=bounds,
        first=first.astype(np.int64),
        last=last.astype(np.int64),
        first_shared=filled & (pointer[first] < start),
        last_shared=filled & (pointer[last + 1] > end),
        begins=begins,
    )


def _bounds(pointer: NDArray[np.integer], count: int, line_cost: int) -> NDArray[np.int64]:
    # Python's integers cannot overflow: p * nnz passes 2^63 for nnz beyond 2^31 and many parts.
    nnz, lines = int(pointer[-1]), len(pointer) - 1
    cost = nnz + line_cost * lines
    if not line_cost:
        return np.array([p * nnz // count for p in range(count + 1)], dtype=np.int64)

    def before(line: int) -> int:
        return int(pointer[line]) + line_cost * line

    bounds = np.empty(count + 1, dtype=np.int64)
    for p in range(count + 1):
        wanted = p * cost // count
        line = bisect_right(range(lines), wanted, key=before) - 1
        # A line's own cost comes before its entries.
        inside = max(0, wanted - before(line) - line_cost) if lines else 0
        bounds[p] = min(int(pointer[line]) + inside, int(pointer[line + 1])) if lines else 0
    bounds[0], bounds[-1] = 0, nnz
    return bounds
