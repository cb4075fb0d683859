"""Picks the format that a matrix's structure asks for, and says which and why.

The rules are those that the formats were measured to win by (docs/workloads/msrep.md): they read
the features of `features.py` and whether rows share columns; nothing is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.msrep import numba_compressed, numba_csb, numba_hubs, numba_pcsr, numba_sell
from workloads.msrep.features import SCATTERED_LINES, Features, features_of, hub_share
from workloads.msrep.product import HostProduct, timed, together

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SHORT_ROWS = 4.0
"""Entries a row, below which the ends of rows cost more than what CSB reads and writes for each."""

FEW_ENTRIES = 16.0
"""Entries a row, below which the ends of rows cost more than writing y out of order."""

UNLIKE_ROWS = 1.0
"""Spread of the rows' lengths from which on sorting them pays, where x stays in a core's cache."""

HUB_SHARE = 0.3
"""Of the entries, beyond chance: from there on copying x into another order pays."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A format and why it was chosen.

    Attributes:
        variant: its name.
        why: in words, with the features that decided.
    """

    variant: str
    why: str


_PREPARES = {
    "compressed": numba_compressed.prepare,
    "csb": numba_csb.prepare,
    "hubs": numba_hubs.prepare,
    "pcsr": numba_pcsr.prepare,
    "sell": numba_sell.prepare,
}


def choose(features: Features, shares_columns: bool, hubs: Callable[[], float]) -> Choice:
    """Return the format for a matrix of these features.

    Args:
        features: of the matrix.
        shares_columns: whether successive rows share column indices.
        hubs: finds `hub_share`, asked for only where x is scattered: it reads every index.
    """
    mean = f"{features.entries_per_row:.3g} entries a row"
    if shares_columns:
        return Choice("compressed", "rows that follow each other share their columns")
    if 0 < features.entries_per_row < SHORT_ROWS:
        return Choice("csb", f"short rows: {mean}")
    if features.x_is_scattered and (found := hubs()) > HUB_SHARE:
        share = f"{found:.0%} of the entries beyond chance"
        return Choice("hubs", f"a graph with hubs: {share} in columns that a core's cache holds")
    if features.x_is_scattered and features.entries_per_row < FEW_ENTRIES:
        return Choice("sell", f"few entries a row ({mean}), and x met in no order")
    if features.x_is_scattered:
        lines = f"{features.lines_per_entry:.2g} cache lines of x an entry"
        return Choice("pcsr", f"x is met in no order ({lines}): it is asked for ahead")
    if features.spread > UNLIKE_ROWS:
        return Choice("sell", f"rows of unlike lengths: spread {features.spread:.2g}, {mean}")
    if features.lines_per_entry > SCATTERED_LINES:
        return Choice("sell", "x is met in no order within a core's cache")
    if features.span < 1 << 16:
        return Choice("compressed", f"a row spans {features.span} columns: 16 bits tell them")
    return Choice("pcsr", "no structure that another format would use")


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> HostProduct:
    """Return the product by the format chosen; choosing is the span `choose`."""
    spans: dict[str, float] = {}
    with timed(spans, "choose"):
        features = features_of(matrix)
        slices = numba_compressed.slices_of(matrix)
        choice = choose(features, slices is not None, partial(hub_share, matrix))
    if slices is not None:
        product = numba_compressed.prepare_slices(matrix, slices, x, partitions, {})
    else:
        product = _PREPARES[choice.variant](matrix, x, device, partitions)
    return replace(
        product,
        spans=together(spans, product.spans),
        detail=f"chose {choice.variant}: {choice.why}",
    )
