from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.heat import evaluate
from workloads.heat.interactions import Interactions, digest
from workloads.heat.synthetic import ITEMS_PER_COMMUNITY, MAX_DENSITY, TEST_SHARE, generate


@settings(max_examples=25, deadline=None)
@given(
    users=st.integers(2, 60),
    items=st.integers(ITEMS_PER_COMMUNITY, 300),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_every_shape_that_is_allowed_is_filled_exactly(
    users: int, items: int, density: float, seed: int
) -> None:
    most = int(users * items * MAX_DENSITY)
    interactions = users + round(density * (most - users))
    found = generate(users, items, interactions, seed)
    assert (found.users, found.items) == (users, items)
    assert found.train_items.size == interactions
    assert np.diff(found.train_ptr).min() >= 1
    share = found.test_items.size / (found.test_items.size + interactions)
    assert share == pytest.approx(TEST_SHARE, abs=1 / interactions)
    pairs = pairs_of(found.train_ptr, found.train_items) + pairs_of(
        found.test_ptr, found.test_items
    )
    assert len(set(pairs)) == len(pairs)
    assert all(0 <= item < items for _, item in pairs)


def test_the_seed_decides_everything() -> None:
    assert digest(generate(50, 128, 600, seed=1)) == digest(generate(50, 128, 600, seed=1))
    assert digest(generate(50, 128, 600, seed=1)) != digest(generate(50, 128, 600, seed=2))


def test_there_is_more_to_learn_than_popularity(small: Interactions) -> None:
    seen = np.zeros((small.users, small.items), np.float32)
    seen[small.train_users(), small.train_items] = 1
    taste = seen @ seen.T
    np.fill_diagonal(taste, 0)
    neighbours = evaluate.of_factors(taste / taste.sum(1, keepdims=True), seen.T, small)
    assert neighbours.recall > 1.5 * evaluate.of_popularity(small).recall


def test_few_items_take_most_of_the_interactions(small: Interactions) -> None:
    counts = np.sort(np.bincount(small.train_items, minlength=small.items))[::-1]
    assert counts[: small.items // 5].sum() > 0.4 * counts.sum()


def pairs_of(pointers: np.ndarray, items: np.ndarray) -> list[tuple[int, int]]:
    users = np.repeat(np.arange(pointers.size - 1), np.diff(pointers))
    return list(zip(users.tolist(), items.tolist(), strict=True))
