from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.heat import evaluate, reference
from workloads.heat.interactions import Interactions
from workloads.heat.synthetic import generate


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), block_scores=st.sampled_from([1, 1_000, 1 << 23]))
def test_ranking_is_that_of_the_reference(seed: int, block_scores: int) -> None:
    random = np.random.default_rng(seed)
    data = generate(users=30, items=96, interactions=400, seed=seed)
    users = random.standard_normal((30, 6), np.float32)
    items = random.standard_normal((96, 6), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_BLOCK_SCORES", block_scores)
        found = evaluate.of_factors(users, items, data)
    expected = reference.recall_and_ndcg(reference.cosine_scores(users, items), data)
    assert (found.recall, found.ndcg) == pytest.approx(expected, rel=1e-9)


def test_popularity_is_that_of_the_reference(small: Interactions) -> None:
    found = evaluate.of_popularity(small)
    expected = reference.recall_and_ndcg(reference.popularity_scores(small), small)
    assert (found.recall, found.ndcg) == pytest.approx(expected, rel=1e-9)


def test_only_the_chosen_users_count(small: Interactions) -> None:
    users = np.array([3, 1, 4, 15, 92])
    scores = reference.popularity_scores(small)
    alone = [
        reference.recall_and_ndcg(scores, only(small, int(user)))[0]
        for user in users
        if small.test_ptr[user] < small.test_ptr[user + 1]
    ]
    assert evaluate.of_popularity(small, users).recall == pytest.approx(np.mean(alone))


def test_fewer_items_than_places_are_all_ranked() -> None:
    data = Interactions(
        users=1,
        items=4,
        train_ptr=np.array([0, 1]),
        train_items=np.array([0], np.int32),
        test_ptr=np.array([0, 1]),
        test_items=np.array([3], np.int32),
    )
    factors = np.eye(4, dtype=np.float32)
    assert evaluate.of_factors(factors[[0]], factors, data).recall == 1.0


def test_a_training_item_is_never_a_hit() -> None:
    data = Interactions(
        users=1,
        items=2,
        train_ptr=np.array([0, 1]),
        train_items=np.array([0], np.int32),
        test_ptr=np.array([0, 1]),
        test_items=np.array([0], np.int32),
    )
    factors = np.eye(2, dtype=np.float32)
    assert evaluate.of_factors(factors[[0]], factors, data).recall == 0.0


def test_without_test_users_there_is_no_number(small: Interactions) -> None:
    nobody = evaluate.of_popularity(small, np.empty(0, np.int64))
    assert np.isnan(nobody.recall)
    assert np.isnan(nobody.ndcg)


def test_factors_that_are_not_numbers_find_nothing(small: Interactions) -> None:
    broken = np.full((small.users, 4), np.nan, np.float32)
    items = np.ones((small.items, 4), np.float32)
    assert evaluate.of_factors(broken, items, small).recall == 0.0


def test_the_mean_loss_is_that_of_the_reference() -> None:
    random = np.random.default_rng(5)
    users = random.standard_normal((4, 8), np.float32)
    items = random.standard_normal((9, 8), np.float32)
    who, what = random.integers(4, size=20), random.integers(9, size=(20, 4))
    expected, _, _ = reference.batch_loss_and_gradient(users, items, who, what, 0.2, 7.0)
    assert evaluate.mean_loss(users, items, who, what, 0.2, 7.0) == pytest.approx(expected)


def only(data: Interactions, user: int) -> Interactions:
    """Keep the test items of one user."""
    first, last = data.test_ptr[user], data.test_ptr[user + 1]
    pointers = np.where(np.arange(data.users + 1) > user, last - first, 0)
    return Interactions(
        data.users, data.items, data.train_ptr, data.train_items, pointers,
        data.test_items[first:last],
    )  # fmt: skip
