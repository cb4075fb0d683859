"""SimpleX in the compiled block variants, against the float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from harness.errors import AssayError
from harness.protocols import Device
from workloads.heat import block, block_simplex, evaluate, simplex_reference
from workloads.heat.block_simplex import (
    BlockSimplex,
    Reference,
    algorithm,
    new_tower,
    small_blocks,
    user_vectors,
)
from workloads.heat.host_sgd import HostSgd, replayed
from workloads.heat.instruction_sets import InstructionSet, available
from workloads.heat.interactions import Interactions
from workloads.heat.pairs import Pairs
from workloads.heat.settings import Settings, settings
from workloads.heat.simd_matrix import HEIGHT_MULTIPLE, WIDTH_MULTIPLE, multiply, multiply_turned
from workloads.heat.simd_rows import AHEAD, subtract_from_rows, sum_of_rows
from workloads.heat.training import Training, small_problem, training
from workloads.heat.verification import checks, judged, learn

TOLERANCE = 2e-5
"""A fifth of that of the workload's verification."""

SETTINGS = settings(
    {"dim": 32, "negatives": 8, "epochs": 8, "margin": 0.1, "weight": 3.0, "lr_end": 0.5}
    | {"lr_sgd": 0.005, "history": 20, "user_weight": 0.5}
)

every = pytest.mark.parametrize("kind", available(), ids=lambda kind: kind.name)
Floats = npt.NDArray[np.float32]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@every
@pytest.mark.parametrize(
    "chosen",
    [
        SETTINGS,
        replace(SETTINGS, dim=2),
        replace(SETTINGS, dim=7, negatives=1, history=1),
        replace(SETTINGS, dim=129, margin=0.9, weight=150.0),
        replace(SETTINGS, margin=-1.0),
        replace(SETTINGS, margin=1.0),
        replace(SETTINGS, user_weight=0.0),
        replace(SETTINGS, user_weight=0.9, negatives=300),
    ],
    ids=lambda chosen: f"dim{chosen.dim}-margin{chosen.margin}-own{chosen.user_weight}",
)
def test_an_epoch_is_that_of_the_reference(
    kind: InstructionSet, chosen: Settings, small: Interactions
) -> None:
    trainer = BlockSimplex(training(small, chosen, 0), kind)
    for seed in range(3):
        assert trainer.update_error(seed) < TOLERANCE


@every
def test_a_training_of_several_epochs_ends_where_the_reference_does(
    kind: InstructionSet, small: Interactions
) -> None:
    trainer = BlockSimplex(training(small, SETTINGS, 0), kind)
    assert trainer.loss_error(seed=1) < 1e-3


class Wrong(Reference):
    """The reference with other settings, other histories or weights that stay as they are."""

    change: Callable[[Training], Training] = staticmethod(lambda training: training)
    still = False

    def __init__(self, training: Training) -> None:
        super().__init__(self.change(training))

    def __call__(
        self, training: Training, pairs: Pairs, seed: int, rate: float
    ) -> tuple[npt.NDArray[np.float64], ...]:
        before = self.value
        found = super().__call__(self.change(training), pairs, seed, rate)
        self.value = before if self.still else self.value
        return found


class WeightsThatStay(Wrong):
    still = True


class AnotherShare(Wrong):
    change = staticmethod(
        lambda training: replace(training, settings=replace(training.settings, user_weight=0.49))
    )


class ShorterHistories(Wrong):
    change = staticmethod(
        lambda training: replace(training, settings=replace(training.settings, history=2))
    )


class NoHistories(Wrong):
    def _histories(self) -> list[npt.NDArray[np.integer]]:
        return [row[:0] for row in super()._histories()]


class OtherWeights(Wrong):
    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.value = self.value.T.copy()


@pytest.mark.parametrize(
    "wrong", [WeightsThatStay, AnotherShare, ShorterHistories, NoHistories, OtherWeights]
)
def test_a_wrong_tower_is_rejected(
    wrong: type[Reference], small: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = BlockSimplex(training(small, SETTINGS, 0), available()[0])
    monkeypatch.setattr(block_simplex, "Reference", Wrong)
    assert trainer.update_error(0) < TOLERANCE
    monkeypatch.setattr(block_simplex, "Reference", wrong)
    assert trainer.update_error(0) > 1e-3


def test_with_the_users_own_row_alone_it_is_matrix_factorisation() -> None:
    # Each user occurs once: in a block, matrix factorisation moves a user's row at once.
    problem = small_problem(replace(SETTINGS, user_weight=1.0, batch=8), 3)
    pairs = problem.interactions
    once = replace(
        pairs,
        train_ptr=np.arange(pairs.users + 1, dtype=np.int64),
        train_items=pairs.train_items[::2].copy(),
    )
    problem = replace(problem, interactions=once)
    kind = available()[0]
    tower = new_tower(problem)
    before = tower.value.copy()
    (users, items), _ = replayed(algorithm(kind, tower, Reference(problem)), problem, 2, 9)
    (plain_users, plain_items), _ = replayed(block.algorithm(kind), problem, 2, 9)
    assert np.allclose(users, plain_users, atol=1e-6)
    assert np.allclose(items, plain_items, atol=1e-6)
    assert np.array_equal(tower.value, before)


@pytest.mark.parametrize("plain", [{"user_weight": 1.0}, {"history": 0}])
def test_without_history_or_its_weight_the_variant_has_no_tower(
    plain: dict[str, float], small: Interactions, device: Device
) -> None:
    chosen = replace(SETTINGS, **plain)  # type: ignore[arg-type]
    assert isinstance(block.run(training(small, chosen, 0), device), HostSgd)
    assert isinstance(block.run(training(small, SETTINGS, 0), device), BlockSimplex)


def test_a_pooling_that_is_not_compiled_is_refused(small: Interactions, device: Device) -> None:
    chosen = replace(SETTINGS, pooling="self-attention")
    with pytest.raises(AssayError, match="use pooling=mean"):
        block.run_float32(training(small, chosen, 0), device)


@limits(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(2, 140),
    history=st.integers(1, 5),
    user_weight=st.floats(0, 1),
)
def test_users_vectors_are_the_towers_output(
    seed: int, dim: int, history: int, user_weight: float
) -> None:
    chosen = replace(SETTINGS, dim=dim, history=history, user_weight=user_weight)
    problem = small_blocks(chosen, seed)
    past = simplex_reference.histories(problem.interactions, problem.settings.history)
    assert min(map(len, past)) == 0
    found = user_vectors(new_tower(problem), problem.user_factors, problem.item_factors)
    rows = problem.user_factors.astype(np.float64), problem.item_factors.astype(np.float64)
    assert found == pytest.approx(Reference(problem).user_vectors(*rows), rel=1e-4, abs=1e-5)


def test_there_may_be_more_users_than_are_made_at_once(
    small: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = training(small, SETTINGS, 0)
    rows = start.user_factors, start.item_factors
    at_once = user_vectors(new_tower(start), *rows)
    monkeypatch.setattr(block_simplex, "_USERS_AT_ONCE", 64)
    assert np.allclose(user_vectors(new_tower(start), *rows), at_once, atol=1e-6)


@every
def test_training_learns_and_is_accepted(kind: InstructionSet, small: Interactions) -> None:
    start = training(small, SETTINGS, seed=3)
    trainer = BlockSimplex(start, kind)
    found = judged(checks(trainer, 0), learn(trainer, start))
    assert found.passed, found.detail


def test_training_learns_as_well_as_in_torch(small: Interactions, device: Device) -> None:
    torch = pytest.importorskip("torch", reason="the torch variants need torch")
    from workloads.heat import torch_variants

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = training(small, replace(SETTINGS, batch=256), seed=3)
    recalls = []
    for trainer in (
        BlockSimplex(start, available()[0]),
        torch_variants.shared_sparse(start, device),
    ):
        trainer.train()
        recalls.append(evaluate.of_factors(*trainer.factors(), small).recall)
    torch.set_num_threads(threads)
    assert recalls[0] > 0.95 * recalls[1]


@every
def test_a_reset_goes_back_to_the_same_start(
    kind: InstructionSet, small: Interactions, one_thread: None
) -> None:
    trainer = BlockSimplex(training(small, replace(SETTINGS, epochs=2), 3), kind)
    start = [rows.copy() for rows in trainer.factors()]
    trainer.train()
    first = [rows.copy() for rows in trainer.factors()]
    trainer.reset()
    for rows, before, trained in zip(trainer.factors(), start, first, strict=True):
        assert np.array_equal(rows, before)
        assert not np.allclose(rows, trained)
    trainer.train()
    # One thread gives the same again, bit for bit.
    for rows, trained in zip(trainer.factors(), first, strict=True):
        assert np.array_equal(rows, trained)


def test_threads_together_visit_every_interaction_once(small: Interactions) -> None:
    chosen = replace(SETTINGS, epochs=1, margin=1.0, lr_sgd=0.0)
    trainer = BlockSimplex(training(small, chosen, seed=3), available()[0])
    trainer.train()
    vectors, rows = trainer.factors()
    users, items = vectors[small.train_users()], rows[small.train_items]
    cosines = (evaluate.normalised(users) * evaluate.normalised(items)).sum(axis=1)
    assert trainer.counters()["training_loss"] == pytest.approx(1 - cosines.mean(), abs=1e-5)
    assert trainer.counters()["negatives_active"] == 0


def test_threads_learn_what_one_thread_does(small: Interactions) -> None:
    before = numba.get_num_threads()
    recalls = []
    for threads in (1, before):
        numba.set_num_threads(threads)
        trainer = BlockSimplex(training(small, SETTINGS, 3), available()[0])
        trainer.train()
        recalls.append(evaluate.of_factors(*trainer.factors(), small).recall)
    assert recalls[1] == pytest.approx(recalls[0], rel=0.1)


def test_a_trainer_tells_how_it_trains(small: Interactions, device: Device) -> None:
    told = block.run(training(small, SETTINGS, 0), device).recipe()  # type: ignore[attr-defined]
    assert told["sampler"] == "shared by a block"
    assert told["batch"] == 64
    assert told["instructions"] == available()[0].name


@limits(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), tall=st.integers(1, 5), wide=st.integers(1, 5))
def test_a_matrix_product_is_that_of_numpy(seed: int, tall: int, wide: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = tall * HEIGHT_MULTIPLE, wide * WIDTH_MULTIPLE
    left = random.standard_normal((rows, 13), np.float32)
    right = random.standard_normal((13, columns), np.float32)
    expected = left.astype(np.float64) @ right
    for function, factor in ((multiply, left), (multiply_turned, left.T.copy())):
        found = np.empty((rows, columns), np.float32)
        function(factor, right, found)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@limits(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), dim=st.integers(1, 4), count=st.integers(1, 20))
def test_rows_are_summed_and_subtracted_from_wherever_they_are(
    seed: int, dim: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((10, 64 * dim), np.float32)
    places = random.integers(0, 10, 3 + count + AHEAD).astype(np.int32)
    out = random.standard_normal((2, 64 * dim), np.float32)
    some = places[3 : 3 + count]
    sum_of_rows(rows, places, 3, 3 + count, out, 1)
    assert out[1] == pytest.approx(rows[some].sum(axis=0), rel=1e-4, abs=1e-4)
    expected = rows.copy()
    np.subtract.at(expected, some, out[0])
    subtract_from_rows(rows, places, 3, 3 + count, out, 0)
    assert rows == pytest.approx(expected, rel=1e-4, abs=1e-4)
