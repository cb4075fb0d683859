from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.heat import reference
from workloads.heat.interactions import Interactions


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dim=st.integers(2, 8),
    negatives=st.integers(1, 6),
    margin=st.sampled_from([-1.0, -0.3, 0.0, 0.4]),
)
def test_the_gradient_is_that_of_finite_differences(
    seed: int, dim: int, negatives: int, margin: float
) -> None:
    random = np.random.default_rng(seed)
    user = random.standard_normal(dim)
    items = random.standard_normal((1 + negatives, dim))
    _, of_user, of_items = reference.loss_and_gradient(user, items, margin, 3.0)
    step = 1e-6

    def loss(user: np.ndarray, items: np.ndarray) -> float:
        return reference.loss_and_gradient(user, items, margin, 3.0)[0]

    for d in range(dim):
        move = np.zeros(dim)
        move[d] = step
        slope = (loss(user + move, items) - loss(user - move, items)) / (2 * step)
        assert of_user[d] == pytest.approx(slope, abs=2e-4)
    for index in np.ndindex(items.shape):
        moved = np.zeros(items.shape)
        moved[index] = step
        slope = (loss(user, items + moved) - loss(user, items - moved)) / (2 * step)
        assert of_items[index] == pytest.approx(slope, abs=2e-4)


def test_the_loss_of_known_angles() -> None:
    user = np.array([1.0, 0.0])
    items = np.array([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])  # cosines 0, 1 and 0
    loss, _, of_items = reference.loss_and_gradient(user, items, margin=0.25, weight=4.0)
    assert loss == pytest.approx((1 - 0) + 4 / 2 * (1 - 0.25))
    assert np.array_equal(of_items[2], [0.0, 0.0])  # below the margin


def test_a_batch_is_the_mean_of_its_interactions() -> None:
    random = np.random.default_rng(1)
    users, items = random.standard_normal((3, 4)), random.standard_normal((5, 4))
    rows = np.array([[0, 1, 2], [0, 3, 3]])
    whole = reference.batch_loss_and_gradient(users, items, np.array([1, 1]), rows, 0.1, 2.0)
    parts = [
        reference.batch_loss_and_gradient(users, items, np.array([1]), rows[[k]], 0.1, 2.0)
        for k in range(2)
    ]
    for found, first, second in zip(whole, *parts, strict=True):
        assert np.allclose(found, (np.asarray(first) + np.asarray(second)) / 2)


def test_sgd_on_distinct_rows_is_a_step_down_the_gradient() -> None:
    random = np.random.default_rng(2)
    users, items = random.standard_normal((2, 4)), random.standard_normal((6, 4))
    rows = np.array([[3, 0, 5]])
    _, of_users, of_items = reference.batch_loss_and_gradient(
        users, items, np.array([1]), rows, 0.0, 2.0
    )
    found = reference.sgd_epoch(users, items, np.array([1]), rows, 0.1, 0.0, 2.0)
    assert np.allclose(found[0], users - 0.1 * of_users)
    assert np.allclose(found[1], items - 0.1 * of_items)


def test_sgd_leaves_what_it_was_given() -> None:
    users, items = np.ones((1, 2)), np.array([[1.0, 0.0], [0.0, 1.0]])
    reference.sgd_epoch(users, items, np.array([0]), np.array([[0, 1]]), 0.1, 0.0, 1.0)
    assert np.array_equal(users, np.ones((1, 2)))


def test_recall_and_ndcg_of_a_ranking_done_by_hand() -> None:
    one_user = Interactions(
        users=2,  # the second has no test items and does not count
        items=5,
        train_ptr=np.array([0, 1, 2]),
        train_items=np.array([0, 1], np.int32),
        test_ptr=np.array([0, 2, 2]),
        test_items=np.array([2, 4], np.int32),
    )
    # Item 0 is known; the list of two is 3, 2; of the two wanted items one is second.
    scores = np.array([[9.0, 1.0, 5.0, 7.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    recall, ndcg = reference.recall_and_ndcg(scores, one_user, top=2)
    assert recall == pytest.approx(1 / 2)
    assert ndcg == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_a_perfect_ranking_scores_one(small: Interactions) -> None:
    scores = np.zeros((small.users, small.items))
    users = np.repeat(np.arange(small.users), np.diff(small.test_ptr))
    scores[users, small.test_items] = 1
    recall, ndcg = reference.recall_and_ndcg(scores, small, top=small.items)
    assert recall == pytest.approx(1)
    assert ndcg == pytest.approx(1)
