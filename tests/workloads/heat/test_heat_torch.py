"""The torch variants of matrix factorisation against the reference, torch itself, and mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the torch variants need torch")

import torch
from torch import Tensor, nn
from torch.nn import functional

from backends._host_device import HostDevice
from harness.host import read_cpu
from harness.protocols import Device
from workloads.heat import evaluate, synthetic, torch_model, torch_variants
from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings, settings
from workloads.heat.torch_trainer import TorchTrainer
from workloads.heat.training import INITIAL_STD, Training, training

Run = Callable[[Training, Device], TorchTrainer]

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
    | {"batch": 128, "lr_adam": 0.01, "lr_sgd": 0.005, "lr_end": 1.0}
)

every = pytest.mark.parametrize("name", RUNS)

some_settings = st.builds(
    replace,
    st.just(SETTINGS),
    dim=st.integers(2, 130),
    negatives=st.integers(1, 40),
    margin=st.floats(-1, 0.95),
    weight=st.floats(0.1, 150),
)


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


@every
@limits(deadline=None, max_examples=15)
@given(chosen=some_settings, seed=st.integers(0, 2**32 - 1))
def test_an_update_is_that_of_the_reference(
    name: str, chosen: Settings, seed: int, few: Interactions, host: Device
) -> None:
    assert RUNS[name](training(few, chosen, 0), host).update_error(seed) < TOLERANCE


Loss = Callable[[Tensor, Tensor, float, float], Tensor]


def pushes_positives_away(positive: Tensor, negative: Tensor, m: float, w: float) -> Tensor:
    return (1 + positive).sum() + w * torch.relu(negative - m).mean(1).sum()


def pulls_negatives(positive: Tensor, negative: Tensor, m: float, w: float) -> Tensor:
    return (1 - positive).sum() - w * torch.relu(negative - m).mean(1).sum()


def forgets_the_margin(positive: Tensor, negative: Tensor, m: float, w: float) -> Tensor:
    return (1 - positive).sum() + w * torch.relu(negative).mean(1).sum()


def sums_over_negatives(positive: Tensor, negative: Tensor, m: float, w: float) -> Tensor:
    return (1 - positive).sum() + w * torch.relu(negative - m).sum()


def has_one_per_cent_more_weight(positive: Tensor, negative: Tensor, m: float, w: float) -> Tensor:
    return (1 - positive).sum() + 1.01 * w * torch.relu(negative - m).mean(1).sum()


@every
@pytest.mark.parametrize(
    "wrong",
    [
        pushes_positives_away,
        pulls_negatives,
        forgets_the_margin,
        sums_over_negatives,
        has_one_per_cent_more_weight,
    ],
)
def test_a_wrong_loss_is_rejected(
    name: str, wrong: Loss, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = RUNS[name](training(few, SETTINGS, 0), host)
    monkeypatch.setattr(torch_model, "_loss", wrong)
    assert trainer.update_error(0) > 10 * TOLERANCE


@every
def test_directions_that_are_not_of_length_one_are_rejected(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = RUNS[name](training(few, SETTINGS, 0), host)
    monkeypatch.setattr(torch_model, "_directions", lambda rows: rows)
    assert trainer.update_error(0) > 10 * TOLERANCE


class Plain(nn.Module):
    """What the papers' code does, without a thought for speed."""

    def __init__(self, start: Training, sparse: bool) -> None:
        super().__init__()
        self.users, self.items = (
            nn.Embedding(
                len(factors), factors.shape[1], sparse=sparse, _weight=torch.tensor(factors)
            )
            for factors in (start.user_factors, start.item_factors)
        )
        self.chosen = start.settings

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        items = torch.cat([positives.unsqueeze(1), negatives], dim=1)
        of_users = functional.normalize(self.users(users), dim=-1).unsqueeze(-1)
        cosines = torch.bmm(functional.normalize(self.items(items), dim=-1), of_users).squeeze(-1)
        negative = torch.relu(cosines[:, 1:] - self.chosen.margin).mean(dim=1)
        return (1 - cosines[:, 0]) + self.chosen.weight * negative


@every
@pytest.mark.parametrize("negatives", [3, 40])
def test_training_is_that_of_torchs_own_embeddings_and_optimisers(
    name: str, negatives: int, few: Interactions, host: Device
) -> None:
    # With 40 negatives a batch has more vectors than the table has rows; with 3 it has fewer.
    batch, shared, sparse = 100, "shared" in name, "sparse" in name
    start = training(few, replace(SETTINGS, negatives=negatives), seed=1)
    trainer = RUNS[name](start, host)
    plain = Plain(start, sparse)
    optimiser: torch.optim.Optimizer = (
        torch.optim.SGD(plain.parameters(), lr=SETTINGS.lr_sgd)
        if sparse
        else torch.optim.Adam(plain.parameters(), lr=SETTINGS.lr_adam)
    )
    random = np.random.default_rng(2)
    for _ in range(5):
        pairs = random.integers(few.train_items.size, size=batch)
        users = torch.from_numpy(few.train_users()[pairs].astype(np.int64))
        positives = torch.from_numpy(few.train_items[pairs].astype(np.int64))
        rows = 1 if shared else batch
        drawn = torch.from_numpy(random.integers(few.items, size=(rows, negatives)))
        found = trainer.update(users, positives, drawn.flatten())
        losses = plain(users, positives, drawn.expand(batch, -1))
        assert float(found) == pytest.approx(float(losses.sum().detach()), rel=1e-4)
        optimiser.zero_grad()
        (losses.sum() if sparse else losses.mean()).backward()
        optimiser.step()
    for mine, theirs in zip(trainer.factors(), (plain.users, plain.items), strict=True):
        assert np.abs(mine - theirs.weight.detach().numpy()).max() < 0.01 * np.abs(mine).max()


@every
def test_training_learns(name: str, small: Interactions, host: Device) -> None:
    trainer = RUNS[name](training(small, SETTINGS, seed=3), host)
    trainer.train()
    recall = evaluate.of_factors(*trainer.factors(), small).recall
    assert recall > 2.5 * evaluate.of_popularity(small).recall


@every
def test_training_uphill_does_not_learn(name: str, few: Interactions, host: Device) -> None:
    uphill = replace(SETTINGS, lr_sgd=-SETTINGS.lr_sgd, weight=-SETTINGS.weight, margin=-1.0)
    trainer = RUNS[name](training(few, uphill, seed=3), host)
    trainer.train()
    recall = evaluate.of_factors(*trainer.factors(), few).recall
    assert recall < evaluate.of_popularity(few).recall


@every
def test_a_reset_goes_back_to_the_same_training(name: str, few: Interactions, host: Device) -> None:
    start = training(few, replace(SETTINGS, epochs=2), seed=3)
    trainer = RUNS[name](start, host)
    trained = []
    for _ in range(2):
        for found, initial in zip(
            trainer.factors(), (start.user_factors, start.item_factors), strict=True
        ):
            assert np.array_equal(found, initial)
        trainer.train()
        trained.append([factors.copy() for factors in trainer.factors()])
        trainer.reset()
    for first, second in zip(*trained, strict=True):
        # Threads may add equal rows in another order.
        assert np.allclose(first, second, rtol=0.02, atol=0.02 * np.abs(first).max())


@every
def test_a_part_is_so_many_interactions_of_an_epoch_in_whole_batches(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded_updates(monkeypatch)
    trainer = RUNS[name](training(few, replace(SETTINGS, epochs=2, batch=1_000), 3), host)
    trainer.train_part(2_001)
    first = list(seen)
    assert [users.size for users, _, _ in first] == [1_000] * 3
    pairs = np.concatenate([users * few.items + positives for users, positives, _ in first])
    assert np.unique(pairs).size == pairs.size
    seen.clear()
    trainer.reset()
    trainer.train_part(2_001)
    for part, again in zip(seen, first, strict=True):
        assert all(np.array_equal(*ids) for ids in zip(part, again, strict=True))


@every
def test_a_part_ends_with_the_epoch(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded_updates(monkeypatch)
    trainer = RUNS[name](training(few, replace(SETTINGS, epochs=4, batch=10_000), 3), host)
    trainer.train_part(10**9)
    assert sum(users.size for users, _, _ in seen) == few.train_items.size


Ids = npt.NDArray[np.int64]


def recorded_updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Ids, Ids, Ids]]:
    seen: list[tuple[Ids, Ids, Ids]] = []

    def record(_: TorchTrainer, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        seen.append((users.numpy(), positives.numpy(), negatives.numpy()))
        return torch.zeros(())

    monkeypatch.setattr(TorchTrainer, "update", record)
    return seen


@every
def test_an_epoch_has_every_interaction_once_in_an_order_of_its_own(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded_updates(monkeypatch)
    RUNS[name](training(few, replace(SETTINGS, epochs=2, batch=999), 3), host).train()
    users, positives = (np.concatenate([update[part] for update in seen]) for part in (0, 1))
    pairs = (users * few.items + positives).reshape(2, -1)
    wanted = np.sort(few.train_users().astype(np.int64) * few.items + few.train_items)
    assert np.array_equal(np.sort(pairs, axis=1), [wanted, wanted])
    assert (pairs[0] == pairs[1]).mean() < 0.01


@every
def test_every_batch_draws_negatives_uniformly_and_anew(
    name: str, few: Interactions, host: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded_updates(monkeypatch)
    chosen = replace(SETTINGS, negatives=1_000, epochs=1, batch=500)
    RUNS[name](training(few, chosen, 3), host).train()
    drawn = [negatives for *_, negatives in seen]
    per_batch = 1_000 if "shared" in name else 500 * 1_000
    assert {negatives.shape for negatives in drawn} == {(per_batch,)}
    assert all((one == other).mean() < 0.02 for one, other in pairwise(drawn))
    counts = np.bincount(np.concatenate(drawn), minlength=few.items)
    expected = sum(negatives.size for negatives in drawn) / few.items
    # Chi-squared with 2,047 degrees of freedom has a standard deviation of 64.
    assert abs(((counts - expected) ** 2 / expected).sum() - few.items) < 6 * 64


@pytest.mark.parametrize("name", ["torch-sparse", "torch-shared-sparse"])
def test_a_sparse_update_moves_the_rows_of_the_batch_alone(
    name: str, few: Interactions, host: Device
) -> None:
    start = training(few, replace(SETTINGS, margin=-1.0, negatives=2), 3)
    trainer = RUNS[name](start, host)
    drawn = torch.tensor([7, 8] if "shared" in name else [7, 8, 9, 7])
    trainer.update(torch.tensor([3, 3]), torch.tensor([5, 6]), drawn)
    users, items = trainer.factors()
    moved = [
        set(np.flatnonzero((after != before).any(axis=1)))
        for after, before in ((users, start.user_factors), (items, start.item_factors))
    ]
    assert moved == [{3}, {5, 6, *drawn.tolist()}]


@pytest.mark.parametrize(
    ("name", "batch", "sampler", "optimiser", "lr"),
    [
        ("torch", 1024, "independent", "Adam, dense", SETTINGS.lr_adam),
        ("torch-sparse", 1024, "independent", "SGD, rows of the batch", SETTINGS.lr_sgd),
        ("torch-shared", 256, "shared by the batch", "Adam, dense", SETTINGS.lr_adam),
        (
            "torch-shared-sparse",
            256,
            "shared by the batch",
            "SGD, rows of the batch",
            SETTINGS.lr_sgd,
        ),
    ],
)
def test_a_variant_declares_how_it_trains(
    name: str,
    batch: int,
    sampler: str,
    optimiser: str,
    lr: float,
    few: Interactions,
    host: Device,
) -> None:
    declared = {
        "optimiser": optimiser,
        "lr": lr,
        "batch": batch,
        "sampler": sampler,
        "initial_std": INITIAL_STD,
    }
    run = RUNS[name]
    assert run(training(few, replace(SETTINGS, batch=0), 3), host).recipe() == declared
    assert run(training(few, SETTINGS, 3), host).recipe() == declared | {"batch": 128}


@every
def test_the_learning_rate_falls_from_epoch_to_epoch(
    name: str, few: Interactions, host: Device
) -> None:
    def moved(lr_end: float, epochs: int) -> float:
        chosen = replace(SETTINGS, epochs=epochs, lr_end=lr_end)
        trainer = RUNS[name](training(few, chosen, 3), host)
        trainer.train()
        return float(np.abs(trainer.factors()[0]).sum())

    assert moved(0.0, epochs=2) == pytest.approx(moved(1.0, epochs=1), rel=1e-5)
    assert moved(1.0, epochs=2) != pytest.approx(moved(0.0, epochs=2), rel=1e-2)


@every
def test_a_reset_goes_back_to_the_first_learning_rate(
    name: str, few: Interactions, host: Device
) -> None:
    trainer = RUNS[name](training(few, replace(SETTINGS, epochs=2, lr_end=0.0), 3), host)
    trainer.train()
    trainer.reset()
    users, positives = torch.tensor([1]), torch.tensor([2])
    before = trainer.factors()[0].copy()
    trainer.update(users, positives, torch.zeros(SETTINGS.negatives, dtype=torch.int64))
    assert not np.array_equal(trainer.factors()[0], before)
