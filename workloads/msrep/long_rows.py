"""Takes out rows so long that no format of short rows bears them: they are cut by pCSR instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workloads.msrep import numba_pcsr
from workloads.msrep.product import HostProduct, timed, together

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_LEAST, _TIMES_MEAN = 1024, 64
"""A row is long from so many entries on, if they are also so many times the mean."""


@dataclass(frozen=True, slots=True)
class Split:
    """A matrix in two.

    Attributes:
        rest: all rows, the long ones empty.
        rows: int64, shape (long,): which are long.
        long: these alone, shape (long, columns).
    """

    rest: csr_array
    rows: NDArray[np.int64]
    long: csr_array


def split(matrix: csr_array) -> Split | None:
    """Return the matrix in two; None where it has no long row."""
    from scipy.sparse import csr_array

    lengths = np.diff(matrix.indptr)
    mean = matrix.nnz / max(1, len(lengths))
    is_long = lengths > max(_LEAST, _TIMES_MEAN * mean)
    if not is_long.any():
        return None
    of_long = np.repeat(is_long, lengths)
    pointer = np.concatenate(([0], np.cumsum(np.where(is_long, 0, lengths))))
    rest = csr_array(
        (matrix.data[~of_long], matrix.indices[~of_long], pointer.astype(matrix.indptr.dtype)),
        shape=matrix.shape,
    )
    rows = np.flatnonzero(is_long)
    return Split(rest, rows, matrix[rows])


def with_long_rows(
    prepare_rest: Callable[[csr_array, NDArray[np.float64], int], HostProduct],
    matrix: csr_array,
    x: NDArray[np.float64],
    partitions: int,
) -> HostProduct:
    """Return the product by another format, but for long rows, which pCSR does.

    Args:
        prepare_rest: prepares a matrix without long rows, given x and the number of partitions.
        matrix: float64, sorted indices.
        x: float64, shape (columns,), or longer, as the other format wants it; its owner may
            change it.
        partitions: how many; 0 for one a thread.
    """
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        parts = split(matrix)
    if parts is None:
        product = prepare_rest(matrix, x, partitions)
        return replace(product, spans=together(spans, product.spans))
    rest = prepare_rest(parts.rest, x, partitions)
    long = numba_pcsr.prepare_with(x[: matrix.shape[1]], parts.long, partitions)
    busy = np.full(rest.busy.shape, np.nan)

    def kernel() -> None:
        rest.kernel()
        long.kernel()
        rest.y[parts.rows] = long.y
        np.add(rest.busy, long.busy, out=busy)

    counters = {
        **rest.counters,
        "long_rows": float(parts.rows.size),
        "long_entries": float(parts.long.nnz),
    }
    index_bytes = rest.index_bytes
    if index_bytes is not None:
        index_bytes += 4 * (parts.long.nnz + parts.rows.size + 1)
    return replace(
        rest,
        kernel=kernel,
        scratch=(*rest.scratch, long.y, *long.scratch),
        spans=together(spans, rest.spans, long.spans),
        index_bytes=index_bytes,
        counters=counters,
        busy=busy,
    )
