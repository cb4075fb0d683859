"""Ranks all items for each user, a block of users at a time: Recall and NDCG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Ids, Interactions, Pointers
from workloads.heat.reference import NORM_FLOOR
from workloads.heat.training import Factors

_Floats = TypeVar("_Floats", npt.NDArray[np.float32], npt.NDArray[np.float64])
Scores = npt.NDArray[np.float32]
Users = npt.NDArray[np.int64]

TOP = 20
"""Length of the list, as in LightGCN, SimpleX and HEAT."""

_BLOCK_SCORES = 1 << 23
"""Scores held at a time: 32 MiB."""


@dataclass(frozen=True, slots=True)
class RankingQuality:
    """Means over the users that have test items; `reference.recall_and_ndcg` defines them."""

    recall: float
    ndcg: float


def of_factors(
    user_factors: Factors,
    item_factors: Factors,
    interactions: Interactions,
    users: Users | None = None,
) -> RankingQuality:
    """Return the quality of ranking by cosine.

    Args:
        user_factors: float32 (users, dim).
        item_factors: float32 (items, dim).
        interactions: training items are left out, test items are to be found.
        users: ids of those who count; None for all.
    """
    # All lengths of users rank alike, so only the items are normalised.
    items = normalised(item_factors).T
    return _rank(lambda block: user_factors[block] @ items, interactions, users)


def of_popularity(interactions: Interactions, users: Users | None = None) -> RankingQuality:
    """Return the quality of ranking by the number of training interactions: the least to beat."""
    counts = np.bincount(interactions.train_items, minlength=interactions.items)
    rank = np.empty(interactions.items, np.float32)
    rank[np.argsort(-counts, kind="stable")] = np.arange(interactions.items)
    return _rank(lambda block: np.tile(-rank, (block.size, 1)), interactions, users)


def normalised(factors: _Floats) -> _Floats:
    """Return the rows at length 1, in the same dtype; rows of length 0 stay."""
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    unit: _Floats = factors / np.maximum(lengths, factors.dtype.type(NORM_FLOOR))
    return unit


def mean_loss(
    user_factors: Factors,
    item_factors: Factors,
    users: npt.NDArray[np.integer],
    items: npt.NDArray[np.integer],
    margin: float,
    weight: float,
) -> float:
    """Return the mean loss over interactions, in float64.

    Args:
        user_factors: float32 (users, dim).
        item_factors: float32 (items, dim).
        users: (interactions,) ids.
        items: (interactions, 1 + negatives) ids, the positive first.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.
    """
    similarity = np.array(
        [
            normalised(item_factors[row].astype(np.float64))
            @ normalised(user_factors[[user]].astype(np.float64))[0]
            for user, row in zip(users, items, strict=True)
        ]
    )
    above = np.maximum(similarity[:, 1:] - margin, 0.0)
    return float((1 - similarity[:, 0] + weight * above.mean(axis=1)).mean())


def _rank(
    score: Callable[[Users], Scores], interactions: Interactions, users: Users | None
) -> RankingQuality:
    everyone = np.arange(interactions.users, dtype=np.int64) if users is None else users
    tested = everyone[np.diff(interactions.test_ptr)[everyone] > 0]
    top = min(TOP, interactions.items)
    block = max(1, _BLOCK_SCORES // interactions.items)
    found = [
        _hits(
            score(tested[start : start + block]), tested[start : start + block], interactions, top
        )
        for start in range(0, tested.size, block)
    ]
    if not found:
        return RankingQuality(float("nan"), float("nan"))
    hits = np.concatenate(found)
    wanted = np.diff(interactions.test_ptr)[tested]
    discount = 1 / np.log2(np.arange(2, top + 2))
    ideal = np.cumsum(discount)[np.minimum(wanted, top) - 1]
    return RankingQuality(
        recall=float((hits.sum(axis=1) / wanted).mean()),
        ndcg=float((hits @ discount / ideal).mean()),
    )


def _hits(
    scores: Scores, users: Users, interactions: Interactions, top: int
) -> npt.NDArray[np.bool_]:
    """Return bool (users, top): whether the item at each place, best first, is a test item."""
    row, item = _members(interactions.train_ptr, interactions.train_items, users)
    scores[row, item] = -np.inf
    places = interactions.items - top
    best = np.argpartition(scores, places, axis=1)[:, places:]
    value = np.take_along_axis(scores, best, axis=1)
    by_value = np.argsort(-value, axis=1, kind="stable")
    best = np.take_along_axis(best, by_value, axis=1)
    ranked = np.take_along_axis(value, by_value, axis=1) > -np.inf
    wanted_row, wanted_item = _members(interactions.test_ptr, interactions.test_items, users)
    is_wanted = np.zeros(scores.shape, bool)
    is_wanted[wanted_row, wanted_item] = True
    return np.take_along_axis(is_wanted, best, axis=1) & ranked


def _members(pointers: Pointers, items: Ids, users: Users) -> tuple[Users, Ids]:
    """Return where in `users` each of their items belongs, and the item."""
    counts = pointers[users + 1] - pointers[users]
    row = np.repeat(np.arange(users.size), counts)
    first = np.cumsum(counts) - counts
    at = np.arange(row.size) - first[row] + pointers[users][row]
    return row, items[at]
