"""Cuts a matrix for several ranks: each gets its partition with the row pointer rebased to 0.

After MSREP (arXiv 2209.07552): the partitions hold equal numbers of entries, wherever rows begin,
so a row may be shared by two ranks or by many. The share of a row that began on an earlier rank is
the *carry*; it travels to the rank on which the row begins, which owns it. Nothing here loads
torch or numba.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.records import Params, Variant
from workloads.msrep.partition import Partition

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

MERGES = ("carry", "allgather", "reduce_scatter")
"""How the ranks' products become y; the first two cut rows, the last one columns."""

X_LAYOUTS = ("replicated", "partitioned")
"""Where x lies before a product: whole on every rank, or a slice on each."""

_COLUMNWISE = frozenset({"pcsc"})


@dataclass(frozen=True, slots=True)
class RowCut:
    """One rank's rows.

    Attributes:
        matrix: the rank's entries, shape (rows it touches, columns), its pointer from 0.
        begin: the first row that begins on this rank, in the whole matrix.
        end: the row after the last one that does.
        shared: whether `matrix` begins with the rest of a row that began on an earlier rank.
        carriers: the ranks whose carry belongs to this rank's last row, in order.
    """

    matrix: csr_array
    begin: int
    end: int
    shared: bool
    carriers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ColumnCut:
    """One rank's columns.

    Attributes:
        matrix: the rank's entries, shape (padded rows, columns it touches).
        columns: which columns of the whole matrix these are.
    """

    matrix: csr_array
    columns: slice


def refusal(variant: Variant, params: Params) -> str | None:
    """Return why a variant does not run on as many ranks as these parameters ask for, or None."""
    if int(params["world_size"]) == 1:
        return None
    if importlib.util.find_spec("torch") is None:
        return "several ranks need torch.distributed; pip install 'assay[torch]'"
    if variant.name in _COLUMNWISE and params["merge"] != "reduce_scatter":
        return f"{variant.name} cuts columns, whose sums need -p merge=reduce_scatter"
    return None


def cut_rows(matrix: csr_array, parts: Partition, rank: int) -> RowCut:
    """Return a rank's share of the rows; values and indices are views of the matrix's own."""
    from scipy.sparse import csr_array

    start, stop = int(parts.bounds[rank]), int(parts.bounds[rank + 1])
    begin, end = int(parts.begins[rank]), int(parts.begins[rank + 1])
    shared = bool(parts.first_shared[rank])
    pointer = rebased(matrix.indptr, begin - shared, end, start, stop)
    local = csr_array(
        (matrix.data[start:stop], matrix.indices[start:stop], pointer),
        shape=(end - begin + shared, matrix.shape[1]),
    )
    owner = owners(parts)
    return RowCut(local, begin, end, shared, tuple(np.flatnonzero(owner == rank).tolist()))


def cut_columns(matrix: csc_array, parts: Partition, rank: int, rows: int) -> ColumnCut:
    """Return a rank's share of the columns, with empty rows added up to `rows`."""
    from scipy.sparse import csc_array, csr_array

    start, stop = int(parts.bounds[rank]), int(parts.bounds[rank + 1])
    if start == stop:
        return ColumnCut(csr_array((rows, 0)), slice(0, 0))
    first, last = int(parts.first[rank]), int(parts.last[rank])
    pointer = rebased(matrix.indptr, first, last + 1, start, stop)
    local = csc_array(
        (matrix.data[start:stop], matrix.indices[start:stop], pointer),
        shape=(rows, last + 1 - first),
    )
    return ColumnCut(local.tocsr(), slice(first, last + 1))


def rebased(
    pointer: NDArray[np.integer], begin: int, end: int, start: int, stop: int
) -> NDArray[np.integer]:
    """Return the pointer of lines [begin, end) over entries [start, stop), from 0.

    Lines that reach beyond the entries on either side are cut there.
    """
    clipped: NDArray[np.integer] = np.clip(pointer[begin : end + 1], start, stop)
    return clipped - start


def owners(parts: Partition) -> NDArray[np.int64]:
    """Return for each rank, shape (P,), the rank that its carry goes to; -1 where it has none.

    The row was begun by the last rank that begins at it or before; ranks in between hold nothing
    but that row and begin none.
    """
    begun = np.searchsorted(parts.begins, parts.first, side="right") - 1
    return np.where(parts.first_shared, begun, -1)


def even_slices(length: int, count: int) -> list[slice]:
    """Return `count` slices that cover a vector: of equal length, the last shorter or empty."""
    each = -(-length // count)
    return [slice(min(i * each, length), min((i + 1) * each, length)) for i in range(count)]
