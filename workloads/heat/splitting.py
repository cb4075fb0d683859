"""Splits interactions that come without a split into training and test, always alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TEST_SHARE = 0.2
"""Of each user's items, rounded down: that of Gowalla, Yelp2018 and Amazon-Book in LightGCN."""

SPLIT_SEED = 20


def test_mask(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    times: npt.NDArray[np.float64] | None,
) -> npt.NDArray[np.bool_]:
    """Return bool (pairs,): which interactions are for test.

    They are each user's newest, or drawn where there are no timestamps; equal timestamps are
    ordered by drawing. A user with fewer than five items has none. An interaction with an item
    that no training interaction is left with stays in training: nothing could be learnt about it.

    Args:
        users: int32 (pairs,), ascending.
        items: int32 (pairs,), ascending within a user, so that equal data are split equally.
        times: float64 (pairs,) or None.
    """
    drawn = np.random.default_rng(SPLIT_SEED).permutation(users.size)
    keys = (users[drawn],) if times is None else (times[drawn], users[drawn])
    order = drawn[np.lexsort(keys)]  # keeps equal ones as they were drawn
    counts = np.bincount(users)
    ends = np.cumsum(counts)
    # `order` keeps users together, so that places within it are places within their items.
    from_end = ends[users] - np.arange(users.size)
    is_test = np.zeros(users.size, bool)
    is_test[order] = from_end <= np.floor(TEST_SHARE * counts)[users]
    has_training = np.zeros(int(items.max(initial=-1)) + 1, bool)
    has_training[items[~is_test]] = True
    return is_test & has_training[items]
