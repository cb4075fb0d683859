"""SELL over columns that are renamed by how often they are met.

In a graph with hubs most entries lie in few columns, but these lie anywhere in x, one or two to a
cache line. Renamed so that the column with most entries comes first, they fill whole lines and
stay in a core's cache: the frequency-based clustering of Zhang et al., "Making Caches Work for
Graph Analytics" (IEEE Big Data 2017, section III). Each product first copies x into that order,
which is counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numba import float64, prange, uint32, uint64, void
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.kernels.compiled import compiled
from workloads.msrep import numba_sell
from workloads.msrep.features import met
from workloads.msrep.intrinsics import SOON, ask_ahead
from workloads.msrep.numba_parts import count_partitions
from workloads.msrep.numba_pcsr import padded
from workloads.msrep.product import HostProduct, timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_AHEAD = 64


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product over `partitions` partitions; 0 means one for each thread of numba."""
    from scipy.sparse import csr_array

    spans: dict[str, float] = {}
    with timed(spans, "rename"):
        order = np.argsort(-met(matrix), kind="stable")
        name = np.empty(order.size, dtype=np.int32)
        name[order] = np.arange(order.size, dtype=np.int32)
        renamed = csr_array(
            (np.array(matrix.data), name[matrix.indices], matrix.indptr), shape=matrix.shape
        )
        renamed.has_sorted_indices = False
        renamed.sort_indices()
        ahead = padded(order, _AHEAD)
    ordered = np.zeros(x.size + 1)
    product = numba_sell.prepare_with(ordered, renamed, partitions)
    inner, given = product.kernel, np.array(x)
    parts = count_partitions(partitions)

    def kernel() -> None:
        _copy(given, ahead, ordered, parts)
        inner()

    spans = {**product.spans, "convert": product.spans["convert"] + spans["rename"]}
    scratch = (*product.scratch, ordered[:-1])
    return replace(product, kernel=kernel, spans=spans, scratch=scratch, x=given)


@compiled(void(float64[::1], uint32[::1], float64[::1], uint64), parallel=True)
def _copy(x, order, ordered, parts):  # type: ignore[no-untyped-def]
    for part in prange(parts):
        count = uint64(ordered.size - 1)
        for place in range(count * uint64(part) // parts, count * uint64(part + 1) // parts):
            ask_ahead(x, uint64(order[place + uint64(_AHEAD)]), SOON)
            ordered[place] = x[order[place]]
