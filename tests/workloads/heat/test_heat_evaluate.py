from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.heat import evaluate, ranking, reference
from workloads.heat.instruction_sets import InstructionSet, available
from workloads.heat.interactions import Ids, Interactions, Pointers
from workloads.heat.simd import INT8
from workloads.heat.synthetic import generate
from workloads.heat.training import Factors


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), block=st.sampled_from([1, 8, 512]))
def test_ranking_is_that_of_the_reference(seed: int, block: int) -> None:
    random = np.random.default_rng(seed)
    data = generate(users=30, items=96, interactions=400, seed=seed)
    users = random.standard_normal((30, 6), np.float32)
    items = random.standard_normal((96, 6), np.float32)
    assert quality(users, items, data, block) == pytest.approx(expected(users, items, data))


@settings(max_examples=60, deadline=None)
@given(drawn=st.data(), items=st.integers(1, 70), block=st.sampled_from([1, 4, 512]))
def test_of_equal_scores_the_lower_id_ranks_first(
    drawn: st.DataObject, items: int, block: int
) -> None:
    # Items of length 2 or 0, so that cosines are exact and many are equal.
    kinds = np.array([*np.eye(4) * 2, *-np.eye(4) * 2, [1, 1, 1, 1], [1, -1, 1, -1], [0] * 4])
    random = np.random.default_rng(drawn.draw(st.integers(0, 2**32)))
    item_factors = kinds[random.integers(kinds.shape[0], size=items)].astype(np.float32)
    user_factors = random.integers(-1, 2, (6, 4)).astype(np.float32)
    shares = drawn.draw(st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.0]), min_size=6, max_size=6))
    train = random.random((6, items)) < np.array(shares)[:, None]
    test = random.random((6, items)) < 0.3
    test[0, 0] = True
    data = of_masks(train, test)
    found = quality(user_factors, item_factors, data, block)
    assert found == pytest.approx(expected(user_factors, item_factors, data))


def test_an_item_that_is_not_a_number_is_never_ranked(small: Interactions) -> None:
    random = np.random.default_rng(2)
    users = random.standard_normal((small.users, 8), np.float32)
    items = random.standard_normal((small.items, 8), np.float32)
    items[::3] = np.nan
    everyone = np.arange(small.users)
    best = evaluate.best_items(users, items, small, everyone)
    assert (best[:, -1] >= 0).all()
    assert (best % 3 != 0).all()


def test_a_ranking_that_is_wrong_by_one_place_is_told_apart(small: Interactions) -> None:
    random = np.random.default_rng(3)
    users = random.standard_normal((small.users, 8), np.float32)
    items = random.standard_normal((small.items, 8), np.float32)
    moved = evaluate.of_factors(users, np.roll(items, 1, axis=0), small)
    assert moved != evaluate.of_factors(users, items, small)


def test_best_items_leave_out_training_and_end_early_where_there_are_no_more() -> None:
    train = np.array([[True, True, False, False], [True, True, True, True]])
    data = of_masks(train, ~train)
    users = np.array([[1, 0], [0, 1]], np.float32)
    items = np.array([[1, 0], [1, 0], [1, 2], [1, 1]], np.float32)
    best = evaluate.best_items(users[::-1], items, data, np.array([1, 0]))
    assert best.tolist() == [[-1, -1, -1, -1], [2, 3, -1, -1]]


@pytest.mark.parametrize(
    "kind", [one for one in available() if one.unit != INT8], ids=lambda one: one.name
)
def test_every_instruction_set_ranks_alike(
    small: Interactions, kind: InstructionSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(4)
    users = random.standard_normal((small.users, 33), np.float32)
    items = random.standard_normal((small.items, 33), np.float32)
    items[1::2] = items[::2] + np.float32(1e-2) * items[1::2]  # nearer than bfloat16 tells apart
    monkeypatch.setattr(ranking, "available", lambda: (kind,))
    found = evaluate.best_items(users, items, small, np.arange(100))
    scores = reference.cosine_scores(users[:100], items)
    for user in range(100):
        known = small.train_items[small.train_ptr[user] : small.train_ptr[user + 1]]
        scores[user, known] = -1
        assert len(set(found[user])) == 20
        highest = np.sort(scores[user])[:-21:-1]
        assert scores[user, found[user]] == pytest.approx(highest, abs=1e-6)


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


def quality(users: Factors, items: Factors, data: Interactions, block: int) -> tuple[float, float]:
    """Rank in blocks of so many users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_BLOCK_USERS", block)
        found = evaluate.of_factors(users, items, data)
    return found.recall, found.ndcg


def expected(users: Factors, items: Factors, data: Interactions) -> tuple[float, float]:
    return reference.recall_and_ndcg(reference.cosine_scores(users, items), data)


def of_masks(train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_]) -> Interactions:
    """Return the interactions whose masks, (users, items), these are."""

    def rows(mask: npt.NDArray[np.bool_]) -> tuple[Pointers, Ids]:
        return np.append(0, np.cumsum(mask.sum(axis=1))), np.nonzero(mask)[1].astype(np.int32)

    return Interactions(train.shape[0], train.shape[1], *rows(train), *rows(test))


def only(data: Interactions, user: int) -> Interactions:
    """Keep the test items of one user."""
    first, last = data.test_ptr[user], data.test_ptr[user + 1]
    pointers = np.where(np.arange(data.users + 1) > user, last - first, 0)
    return Interactions(
        data.users, data.items, data.train_ptr, data.train_items, pointers,
        data.test_items[first:last],
    )  # fmt: skip


def test_of_a_large_data_set_a_sample_of_the_users_is_ranked(
    small: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.array_equal(evaluate.ranked_users(small), np.arange(small.users))
    monkeypatch.setattr(evaluate, "_SCORES", 100 * small.items)
    some = evaluate.ranked_users(small)
    assert some.size == 100
    assert np.array_equal(some, np.unique(some))
    assert np.array_equal(some, evaluate.ranked_users(small))
    rows = np.random.default_rng(0).standard_normal((small.users + small.items, 8), np.float32)
    users, items = rows[: small.users], rows[small.users :]
    assert evaluate.of_factors(users, items, small) == evaluate.of_factors(
        users, items, small, some
    )
