"""MF-CCL in torch: rows of items, their cosines with users, and the two ways to share negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from workloads.heat.reference import NORM_FLOOR


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors that were asked for: those of `values`, one after the other or by place.

    Attributes:
        values: (rows, dim).
        places: int64 (vectors,): which of the rows each vector is; None where each is the next.
    """

    values: Tensor
    places: Tensor | None

    def select(self, of_rows: Tensor) -> Tensor:
        """Return what `of_rows` has for each vector: (vectors, ...) of (rows, ...)."""
        return of_rows if self.places is None else of_rows.index_select(0, self.places)


def rows_of(table: Tensor, ids: Tensor) -> Rows:
    """Return the vectors of the ids, int64 (n,): the whole table where that has fewer rows."""
    if ids.numel() < table.shape[0]:
        return Rows(table.index_select(0, ids), None)
    return Rows(table, ids)


def independent_loss(users: Tensor, items: Rows, margin: float, weight: float) -> Tensor:
    """Return the sum of the losses of a batch whose interactions have negatives of their own.

    Args:
        users: (batch, dim), of any length.
        items: batch * (1 + negatives) vectors, each interaction's positive before its negatives.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.
    """
    batch, dim = users.shape
    # Lengths divide the products, not the vectors: a copy of all vectors less, there and back.
    scale = torch.linalg.vector_norm(items.values, dim=1).clamp_min(NORM_FLOOR).reciprocal()
    vectors = items.select(items.values).view(batch, -1, dim)
    # Faster on a CPU than torch.bmm: an update takes 114 against 151 ms on one core.
    products = (vectors * _directions(users).unsqueeze(1)).sum(dim=2)
    cosines = products * items.select(scale).view(batch, -1)
    return _loss(cosines[:, 0], cosines[:, 1:], margin, weight)


def shared_loss(users: Tensor, items: Rows, negatives: int, margin: float, weight: float) -> Tensor:
    """Return the sum of the losses of a batch whose interactions share their negatives.

    Args:
        users: (batch, dim), of any length.
        items: batch + negatives vectors, the positives first.
        negatives: how many.
        margin: see `independent_loss`.
        weight: see `independent_loss`.
    """
    directions = _directions(users)
    of_items = _directions(items.select(items.values))
    positive, negative = torch.split(of_items, [users.shape[0], negatives])
    return _loss((directions * positive).sum(dim=1), directions @ negative.t(), margin, weight)


def _loss(positive: Tensor, negative: Tensor, margin: float, weight: float) -> Tensor:
    above = torch.relu(negative - margin).sum()
    return (1 - positive).sum() + weight / negative.shape[1] * above


def _directions(rows: Tensor) -> Tensor:
    return functional.normalize(rows, dim=1, eps=NORM_FLOOR)
