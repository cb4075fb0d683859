"""SimpleX in torch against loops in float64, whose gradients are held against differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the torch variants need torch")

import torch
from torch import Tensor

from backends._host_device import HostDevice
from harness.host import read_cpu
from harness.protocols import Device
from workloads.heat import evaluate, reference, synthetic, torch_variants
from workloads.heat import simplex_reference as simplex
from workloads.heat.interactions import Interactions
from workloads.heat.settings import POOLINGS, settings
from workloads.heat.simplex_reference import SELF_ATTENTION, USER_ATTENTION
from workloads.heat.torch_tower import Histories, UserTower
from workloads.heat.torch_trainer import TorchTrainer
from workloads.heat.training import Training, training
from workloads.heat.update_check import draw_negatives, expected_gradient, ragged_problem

Run = Callable[[Training, Device], TorchTrainer]
Float64s = npt.NDArray[np.float64]

RUNS: dict[str, Run] = {
    "torch": torch_variants.dense,
    "torch-sparse": torch_variants.sparse,
    "torch-shared": torch_variants.shared,
    "torch-shared-sparse": torch_variants.shared_sparse,
}

TOLERANCE = 1e-4
"""That of the workload's verification."""

SETTINGS = settings(
    {"dim": 32, "negatives": 8, "epochs": 8, "margin": 0.1, "weight": 3.0}
    | {"batch": 128, "lr_adam": 0.01, "lr_sgd": 0.005, "history": 20, "user_weight": 0.5}
)

every = pytest.mark.parametrize("name", RUNS)
each_pooling = pytest.mark.parametrize("pooling", POOLINGS)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep torch's threads from waiting for each other where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def host() -> Device:
    return HostDevice("cpu", read_cpu())


@pytest.fixture(scope="module")
def few() -> Interactions:
    return synthetic.generate(users=300, items=512, interactions=5_000, seed=7)


@limits(deadline=None, max_examples=40)
@given(
    pooling=st.sampled_from(POOLINGS),
    user_weight=st.floats(0, 1),
    margin=st.sampled_from([-1.0, 0.0, 0.3]),
    seed=seeds,
)
def test_the_gradient_of_the_reference_is_that_of_differences(
    pooling: str, user_weight: float, margin: float, seed: int
) -> None:
    chosen = replace(
        SETTINGS, dim=4, negatives=2, pooling=pooling, user_weight=user_weight, margin=margin
    )
    problem = ragged_problem(chosen, seed, spare=0)
    weights = as_float64(simplex.initial_weights(4, pooling, seed))
    negatives = draw_negatives(problem, shared=False, spare=0)
    parts: dict[str, Float64s] = {
        "users": problem.user_factors.astype(np.float64),
        "items": problem.item_factors.astype(np.float64),
        **weights,
    }

    def loss(values: dict[str, Float64s]) -> float:
        return gradient_of(problem, values, negatives)[0]

    _, of_users, of_items, of_weights = gradient_of(problem, parts, negatives)
    of_parts: dict[str, Float64s] = {"users": of_users, "items": of_items, **of_weights}
    step = 1e-6
    for name, value in parts.items():
        # One random direction for all entries at once: a wrong entry shows as surely as alone.
        way = np.random.default_rng(seed).standard_normal(value.shape)
        higher, lower = (loss({**parts, name: value + sign * step * way}) for sign in (1, -1))
        slope = float((of_parts[name] * way).sum())
        assert (higher - lower) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-5)


def as_float64(weights: simplex.Weights) -> dict[str, Float64s]:
    return {name: value.astype(np.float64) for name, value in weights.items()}


def gradient_of(
    problem: Training, parts: dict[str, Float64s], negatives: npt.NDArray[np.int64]
) -> tuple[float, Float64s, Float64s, dict[str, Float64s]]:
    chosen, pairs = problem.settings, problem.interactions
    return simplex.batch_loss_and_gradient(
        parts["users"],
        parts["items"],
        {name: value for name, value in parts.items() if name not in ("users", "items")},
        simplex.histories(pairs, chosen.history),
        pairs.train_users(),
        np.column_stack([pairs.train_items, negatives]),
        chosen.margin,
        chosen.weight,
        chosen.user_weight,
        chosen.pooling,
    )


@each_pooling
def test_the_reference_with_the_users_own_row_alone_is_matrix_factorisation(pooling: str) -> None:
    problem = ragged_problem(replace(SETTINGS, user_weight=1.0, pooling=pooling), 5, spare=0)
    negatives = draw_negatives(problem, shared=False, spare=0)
    weights = simplex.initial_weights(SETTINGS.dim, pooling, 5)
    tower = expected_gradient(problem, weights, negatives)
    plain = expected_gradient(problem, None, negatives)
    assert not np.abs(tower["weights"]).any()
    for name, value in plain.items():
        assert np.allclose(tower[name], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pooling", [SELF_ATTENTION, USER_ATTENTION])
def test_attention_goes_to_the_item_whose_key_is_along_the_query(pooling: str) -> None:
    query = np.array([5.0, 0.0])
    weights = {"key": np.eye(2), "key_bias": np.zeros(2), "query": query}
    history = np.array([[2.0, 0.0], [-2.0, 0.0]])
    shares = simplex.shares(query, history, weights, pooling)
    assert shares == pytest.approx([1.0, 0.0], abs=1e-4)


def test_the_mean_ignores_everything_but_the_number_of_items() -> None:
    history = np.array([[2.0, 0.0], [-1.0, 0.0], [5.0, 3.0]])
    vector = simplex.user_vector(np.zeros(2), history, {"value": np.eye(2)}, 0.5, "mean")
    assert vector == pytest.approx([1.0, 0.5])


@every
@limits(deadline=None, max_examples=15)
@given(
    pooling=st.sampled_from(POOLINGS),
    # In two dimensions a pool may come out so short that float32 does not know where it points.
    dim=st.integers(4, 70),
    negatives=st.integers(1, 20),
    history=st.integers(1, 200),
    user_weight=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.05, 0.95)),
    margin=st.floats(-1, 0.95),
    seed=seeds,
)
def test_an_update_is_that_of_the_reference(
    name: str,
    pooling: str,
    dim: int,
    negatives: int,
    history: int,
    user_weight: float,
    margin: float,
    seed: int,
    few: Interactions,
    host: Device,
) -> None:
    chosen = replace(
        SETTINGS,
        pooling=pooling,
        dim=dim,
        negatives=negatives,
        history=history,
        user_weight=user_weight,
        margin=margin,
    )
    assert RUNS[name](training(few, chosen, 0), host).update_error(seed) < TOLERANCE


Shares = Callable[[UserTower, Tensor, object, Tensor], Tensor]


def shares_that_count_padding(
    right: Shares, tower: UserTower, users: Tensor, history: object, present: Tensor
) -> Tensor:
    return right(tower, users, history, torch.ones_like(present))


def shares_that_do_not_sum_to_one(
    right: Shares, tower: UserTower, users: Tensor, history: object, present: Tensor
) -> Tensor:
    return 1.01 * right(tower, users, history, present)


def shares_that_repel(
    right: Shares, tower: UserTower, users: Tensor, history: object, present: Tensor
) -> Tensor:
    return -right(tower, users, history, present)


def shares_of_one_item(
    right: Shares, tower: UserTower, users: Tensor, history: object, present: Tensor
) -> Tensor:
    return torch.eye(present.shape[1])[0] * present.any(1, keepdim=True)


@every
@each_pooling
@pytest.mark.parametrize(
    "wrong",
    [
        shares_that_count_padding,
        shares_that_do_not_sum_to_one,
        shares_that_repel,
        shares_of_one_item,
    ],
)
def test_a_wrong_pool_is_rejected(
    name: str,
    pooling: str,
    wrong: Callable[..., Tensor],
    few: Interactions,
    host: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, pooling=pooling), 0), host)
    right = UserTower._shares
    monkeypatch.setattr(UserTower, "_shares", lambda *given: wrong(right, *given))
    assert trainer.update_error(0) > 10 * TOLERANCE


@every
@pytest.mark.parametrize("pooling", [SELF_ATTENTION, USER_ATTENTION])
def test_attention_that_is_not_trained_is_rejected(
    name: str,
    pooling: str,
    few: Interactions,
    host: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, pooling=pooling), 0), host)
    right = UserTower._shares
    monkeypatch.setattr(UserTower, "_shares", lambda *given: right(*given).detach())
    assert trainer.update_error(0) > 10 * TOLERANCE


@every
def test_one_pooling_is_not_taken_for_another(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, pooling=SELF_ATTENTION), 0), host)

    def mean(tower: UserTower, users: Tensor, history: object, present: Tensor) -> Tensor:
        kept = present.to(users.dtype)
        # All weights keep a part in the loss, of nothing.
        idle = sum((0 * weight).sum() for weight in tower.by_name())
        return kept / kept.sum(1, keepdim=True).clamp_min(1) + idle

    monkeypatch.setattr(UserTower, "_shares", mean)
    assert trainer.update_error(0) > 10 * TOLERANCE


@every
@each_pooling
@pytest.mark.parametrize("plain", [{"user_weight": 1.0}, {"history": 0}])
def test_without_history_or_its_weight_it_is_matrix_factorisation(
    name: str, pooling: str, plain: dict[str, float], few: Interactions, host: Device
) -> None:
    factors = []
    for chosen in (
        replace(SETTINGS, pooling=pooling, epochs=1, **plain),  # type: ignore[arg-type]
        replace(SETTINGS, epochs=1, history=0, user_weight=1.0),
    ):
        trainer = RUNS[name](training(few, chosen, 3), host)
        trainer.train_part(3)
        factors.append(trainer.factors())
    for tower, alone in zip(*factors, strict=True):
        assert np.allclose(tower, alone, rtol=1e-4, atol=1e-6)


@each_pooling
def test_a_tower_that_weighs_the_users_own_row_with_one_returns_it(pooling: str) -> None:
    weights = simplex.initial_weights(8, pooling, 0)
    problem = ragged_problem(replace(SETTINGS, dim=8), 0, spare=0)
    histories = Histories(problem.interactions, 3, torch.device("cpu"))
    tower = UserTower(weights, 1.0, pooling, torch.device("cpu"))
    users = torch.from_numpy(problem.user_factors)
    ids, present = histories.of(torch.arange(len(users)))
    from workloads.heat.torch_model import rows_of

    rows = rows_of(torch.from_numpy(problem.item_factors), ids)
    assert torch.equal(tower(users, rows, present), users)


@st.composite
def ragged(draw: st.DrawFn) -> Interactions:
    items = draw(st.integers(1, 12))
    row = st.lists(st.integers(0, items - 1), max_size=6, unique=True).map(sorted)
    rows = draw(st.lists(row, min_size=1, max_size=8).filter(any))
    return Interactions(
        users=len(rows),
        items=items,
        train_ptr=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        train_items=np.concatenate(rows).astype(np.int32),
        test_ptr=np.zeros(len(rows) + 1, np.int64),
        test_items=np.empty(0, np.int32),
    )


@limits(deadline=None)
@given(pairs=ragged(), most=st.integers(1, 9))
def test_a_history_is_the_first_items_of_the_user(pairs: Interactions, most: int) -> None:
    ids, present = Histories(pairs, most, torch.device("cpu")).of(torch.arange(pairs.users))
    found = [row[kept].tolist() for row, kept in zip(ids.view(present.shape), present, strict=True)]
    assert found == [row.tolist() for row in simplex.histories(pairs, most)]


@every
@each_pooling
def test_factors_are_the_towers_output(
    name: str, pooling: str, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.heat.torch_trainer._USERS_AT_ONCE", 3)
    problem = ragged_problem(replace(SETTINGS, pooling=pooling), 4, spare=0)
    chosen = problem.settings
    found, items = RUNS[name](problem, host).factors()
    weights = as_float64(simplex.initial_weights(chosen.dim, pooling, problem.seed))
    past = simplex.histories(problem.interactions, chosen.history)
    assert sorted({len(row) for row in past}) == [0, 1, 2, 3]
    assert np.array_equal(items, problem.item_factors)
    for user, row in enumerate(found):
        expected = simplex.user_vector(
            problem.user_factors[user].astype(np.float64),
            problem.item_factors[past[user]].astype(np.float64),
            weights,
            chosen.user_weight,
            pooling,
        )
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)


@every
@each_pooling
def test_training_learns(name: str, pooling: str, few: Interactions, host: Device) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, pooling=pooling), 3), host)
    untrained = evaluate.of_factors(*trainer.factors(), few).recall
    trainer.train()
    recall = evaluate.of_factors(*trainer.factors(), few).recall
    # With so few items popularity alone finds a lot, and no model several times as much.
    assert recall > 1.2 * evaluate.of_popularity(few).recall
    assert recall > 1.5 * untrained


@every
@each_pooling
def test_a_reset_goes_back_to_the_same_start(
    name: str, pooling: str, few: Interactions, host: Device
) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, pooling=pooling), 3), host)
    start = trainer.factors()[0].copy()
    trainer.train_part(3)
    assert not np.allclose(trainer.factors()[0], start)
    trainer.reset()
    assert np.array_equal(trainer.factors()[0], start)


def test_a_loss_without_history_is_that_of_the_plain_reference() -> None:
    random = np.random.default_rng(0)
    user, items = random.standard_normal(5), random.standard_normal((4, 5))
    vector = simplex.user_vector(user, np.empty((0, 5)), {"value": np.eye(5)}, 0.3, "mean")
    # A cosine does not see a vector's length.
    losses = [reference.loss_and_gradient(each, items, 0.1, 2.0)[0] for each in (user, vector)]
    assert losses[0] == pytest.approx(losses[1])
