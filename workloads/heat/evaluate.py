"""Ranks all items for each user, a block of users at a time: Recall and NDCG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Ids, Interactions
from workloads.heat.reference import NORM_FLOOR
from workloads.heat.training import Factors

_Floats = TypeVar("_Floats", npt.NDArray[np.float32], npt.NDArray[np.float64])
Users = npt.NDArray[np.int64]

TOP = 20
"""Length of the list, as in LightGCN, SimpleX and HEAT."""

_BLOCK_USERS = 32_768
"""Users whose rows are held a second time, and packed: 24 MiB with 128 columns."""


_SCORES = 4_000_000_000
"""Users times items that are ranked where nobody says which users: three times Gowalla's."""


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
        users: ids of those who count; None for `ranked_users`.
    """
    tested = _tested(interactions, users)
    best = best_items(user_factors, item_factors, interactions, tested)
    return _quality(best, interactions, tested)


def of_popularity(interactions: Interactions, users: Users | None = None) -> RankingQuality:
    """Return the quality of ranking by the number of training interactions: the least to beat."""
    from workloads.heat.ranking import best_of_one_order

    counts = np.bincount(interactions.train_items, minlength=interactions.items)
    order = np.argsort(-counts, kind="stable").astype(np.int32)
    tested = _tested(interactions, users)
    best = best_of_one_order(
        order, tested, interactions.train_ptr, interactions.train_items, _places(interactions)
    )
    return _quality(best, interactions, tested)


def ranked_users(interactions: Interactions) -> Users:
    """Return the users that are ranked: all, or of large data sets a sample, always the same."""
    most = max(1, _SCORES // interactions.items)
    if interactions.users <= most:
        return np.arange(interactions.users, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(interactions.users, most, replace=False))


def best_items(
    user_factors: Factors, item_factors: Factors, interactions: Interactions, users: Users
) -> Ids:
    """Return the items of the largest cosines for each user, training items left out.

    Of equal cosines the lower id ranks first; what is not a number is not ranked.

    Args:
        user_factors: float32 (users, dim).
        item_factors: float32 (items, dim).
        interactions: whose training items are left out.
        users: int64 (users that count,): their ids.

    Returns:
        int32 (users that count, places), best first, -1 where there are no more; places is `TOP`,
        or the number of items where that is less.
    """
    from workloads.heat.ranking import best_by_product

    best = np.empty((users.size, _places(interactions)), np.int32)
    items = normalised(item_factors)
    for start in range(0, users.size, _BLOCK_USERS):
        block = users[start : start + _BLOCK_USERS]
        best[start : start + block.size] = best_by_product(
            normalised(user_factors[block]),
            items,
            block,
            interactions.train_ptr,
            interactions.train_items,
            best.shape[1],
        )
    return best


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


def _places(interactions: Interactions) -> int:
    return min(TOP, interactions.items)


def _tested(interactions: Interactions, users: Users | None) -> Users:
    """Return those of the users that have test items."""
    everyone = ranked_users(interactions) if users is None else users
    return everyone[np.diff(interactions.test_ptr)[everyone] > 0]


def _quality(best: Ids, interactions: Interactions, users: Users) -> RankingQuality:
    """Return the means over users that have test items and whose best items these are."""
    if not users.size:
        return RankingQuality(float("nan"), float("nan"))
    # Pairs as single numbers, ascending as rows and their items are: found by one binary search.
    owners = np.repeat(np.arange(interactions.users), np.diff(interactions.test_ptr))
    wanted = owners * interactions.items + interactions.test_items
    listed = users[:, None] * interactions.items + best
    at = np.minimum(np.searchsorted(wanted, listed), wanted.size - 1)
    hits = (wanted[at] == listed) & (best >= 0)
    counts = np.diff(interactions.test_ptr)[users]
    discount = 1 / np.log2(np.arange(2, best.shape[1] + 2))
    ideal = np.cumsum(discount)[np.minimum(counts, best.shape[1]) - 1]
    return RankingQuality(
        recall=float((hits.sum(axis=1) / counts).mean()),
        ndcg=float((hits @ discount / ideal).mean()),
    )
