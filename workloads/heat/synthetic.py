"""Makes interactions with a structure that can be learnt: communities of items that users share."""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Ids, Interactions, compressed_rows

TEST_SHARE = 0.2115
"""Of Gowalla: 217,242 of 1,027,370 interactions are for testing."""

MAX_DENSITY = 0.25
"""Of all pairs: users draw items until they have enough different ones."""

ITEMS_PER_COMMUNITY = 32
"""Small enough that a community lifts its items far above the popular ones."""

COMMUNITIES_PER_USER = 4
COMMUNITY_SHARE = 0.8
"""The rest is drawn by popularity alone: taste explains most of what people do, not all."""

POPULARITY_EXPONENT = 0.63
"""Of Gowalla: slope of an item's interactions over its rank, both as logarithms."""

DEGREE_SIGMA = 1.3
"""Of Gowalla: standard deviation of log(interactions of a user - `LEAST_DEGREE`)."""

LEAST_DEGREE = 10
"""Gowalla is a 10-core: its users have ten interactions or more (some lost one later)."""

EVEN_SHARES = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Of draws that ignore taste, round by round: a user who has nearly all they like still ends."""

Random = np.random.Generator
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def generate(users: int, items: int, interactions: int, seed: int) -> Interactions:
    """Return interactions with planted structure; equal arguments give equal interactions.

    Each item belongs to a community and has a Zipf popularity. Each user prefers a few communities
    with Dirichlet weights and takes four in five items from them, the rest by popularity alone.

    Args:
        users: number of users.
        items: number of items, at least `ITEMS_PER_COMMUNITY`.
        interactions: number of training interactions, from `users` to `MAX_DENSITY` of all pairs;
            about a quarter as many again are for testing.
        seed: of all draws.
    """
    random = np.random.default_rng(seed)
    total = round(interactions / (1 - TEST_SHARE))
    degrees = _degrees(random, users, items, total)
    taste = _Taste(random, users, items)
    pairs = np.empty(0, np.int64)
    missing = degrees
    for even_share in chain(EVEN_SHARES, repeat(EVEN_SHARES[-1])):
        who = np.repeat(np.arange(users), missing)
        if not who.size:
            break
        is_even = random.random(who.size) < even_share
        what = np.where(is_even, random.integers(0, items, who.size), taste.draw(random, who))
        pairs = np.union1d(pairs, who * items + what)
        missing = degrees - np.bincount(pairs // items, minlength=users)
    return _split(random, pairs, users, items, interactions)


class _Taste:
    """What each user likes, as cumulative distributions to draw from."""

    def __init__(self, random: Random, users: int, items: int) -> None:
        communities = items // ITEMS_PER_COMMUNITY
        community = random.permutation(items) % communities
        popularity = random.permutation(np.arange(1, items + 1) ** -POPULARITY_EXPONENT)
        self._by_community = np.argsort(community, kind="stable")
        self._cumulative = np.cumsum(popularity[self._by_community])
        last = np.searchsorted(community[self._by_community], np.arange(communities), "right")
        self._upper = self._cumulative[last - 1]
        self._lower = np.concatenate([[0.0], self._upper[:-1]])
        liked = random.random((users, COMMUNITIES_PER_USER)) * self._upper[-1]
        self._liked = np.searchsorted(self._upper, liked).clip(max=communities - 1)
        weights = random.dirichlet(np.full(COMMUNITIES_PER_USER, 0.7), users)
        self._weights = np.cumsum(weights, axis=1)

    def draw(self, random: Random, users: Integers) -> Integers:
        """Return int64 (n,): one item for each of the users, int64 (n,)."""
        choice = (random.random(users.size)[:, None] > self._weights[users]).sum(axis=1)
        community = self._liked[users, choice.clip(max=COMMUNITIES_PER_USER - 1)]
        from_community = random.random(users.size) < COMMUNITY_SHARE
        low = np.where(from_community, self._lower[community], 0.0)
        high = np.where(from_community, self._upper[community], self._upper[-1])
        at = low + random.random(users.size) * (high - low)
        place = np.searchsorted(self._cumulative, at).clip(max=self._by_community.size - 1)
        return np.asarray(self._by_community[place], np.int64)


def _degrees(random: Random, users: int, items: int, total: int) -> Integers:
    """Return int64 (users,) that sums to `total`: how many items each user has in all."""
    most = items // 2
    weights = random.lognormal(0, DEGREE_SIGMA, users)
    degrees = np.full(users, min(LEAST_DEGREE, total // users, most), np.int64)
    while (left := total - int(degrees.sum())) > 0:
        share = np.where(degrees < most, weights, 0.0)
        degrees = np.minimum(degrees + random.multinomial(left, share / share.sum()), most)
    return degrees


def _split(
    random: Random, pairs: Integers, users: int, items: int, interactions: int
) -> Interactions:
    """Give `interactions` of the pairs to training: one a user at least, and the rest by chance."""
    pairs = random.permutation(pairs)
    _, kept = np.unique(pairs // items, return_index=True)
    is_train = np.zeros(pairs.size, bool)
    is_train[kept] = True
    others = np.flatnonzero(~is_train)
    is_train[random.choice(others, interactions - kept.size, replace=False)] = True
    train = _rows(pairs[is_train], users, items)
    test = _rows(pairs[~is_train], users, items)
    return Interactions(users, items, *train, *test)


def _rows(pairs: Integers, users: int, items: int) -> tuple[npt.NDArray[np.int64], Ids]:
    user, item = np.divmod(pairs, items)
    return compressed_rows(
        user.astype(np.int32), item.astype(np.int32), users, items, "synthetic interactions"
    )
