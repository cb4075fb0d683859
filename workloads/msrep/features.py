"""What of a matrix's structure decides which format is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CORE_CACHE_BYTES = 1 << 20
"""Of a core's own cache: an x up to this size is met there in any order."""

_LINE = 8
"""float64 in a cache line."""

_WINDOWS, _WINDOW = 64, 4096
"""Samples of successive entries, and how many entries each has."""

SCATTERED_LINES = 0.2
"""Lines of x an entry, from which on x counts as met in no order: stencils stay below 0.1, graphs
lie above 0.4."""


@dataclass(frozen=True, slots=True)
class Features:
    """The structure of one matrix.

    Attributes:
        rows: number of rows.
        entries_per_row: on average.
        longest_row: entries of the longest row.
        spread: standard deviation of the rows' lengths over their mean.
        lines_per_entry: cache lines of x that 4,096 successive entries touch, an entry.
        x_bytes: size of x.
        span: most columns between the first and the last entry of a row.
    """

    rows: int
    entries_per_row: float
    longest_row: int
    spread: float
    lines_per_entry: float
    x_bytes: int
    span: int

    @property
    def x_is_scattered(self) -> bool:
        """Whether elements of x are met in no order and miss a core's cache."""
        return self.x_bytes > CORE_CACHE_BYTES and self.lines_per_entry > SCATTERED_LINES


def features_of(matrix: csr_array) -> Features:
    """Return the features of a matrix with sorted indices."""
    rows, columns = matrix.shape
    lengths = np.diff(matrix.indptr)
    nnz = int(matrix.nnz)
    if not nnz:
        return Features(rows, 0.0, 0, 0.0, 0.0, 8 * columns, 0)
    filled = np.flatnonzero(lengths)
    first, last = matrix.indptr[filled], matrix.indptr[filled + 1] - 1
    span = int((matrix.indices[last].astype(np.int64) - matrix.indices[first]).max())
    starts = np.unique(np.linspace(0, max(0, nnz - _WINDOW), _WINDOWS).astype(np.int64))
    windows = [matrix.indices[start : start + _WINDOW] for start in starts]
    lines = sum(np.unique(window // _LINE).size for window in windows)
    mean = nnz / rows
    return Features(
        rows=rows,
        entries_per_row=mean,
        longest_row=int(lengths.max()),
        spread=float(lengths.std() / mean),
        lines_per_entry=lines / sum(window.size for window in windows),
        x_bytes=8 * columns,
        span=span,
    )


def met(matrix: csr_array) -> NDArray[np.int64]:
    """Return how many entries each column has."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1])


def hub_share(matrix: csr_array) -> float:
    """Return the share of the entries in the columns that are met most, beyond chance.

    They are as many columns as fill half of a core's cache; chance is their share of all columns.
    """
    hubs, counts = CORE_CACHE_BYTES // 16, met(matrix)
    if hubs >= counts.size:
        return 0.0
    most = np.partition(counts, counts.size - hubs)[counts.size - hubs :]
    return float(most.sum() / counts.sum() - hubs / counts.size)
