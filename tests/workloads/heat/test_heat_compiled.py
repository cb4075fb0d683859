"""The compiled variants on every instruction set of this machine, against the float64 reference."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from harness.protocols import Device
from workloads.heat import block, evaluate, per_sample
from workloads.heat.host_sgd import Algorithm, HostSgd, replay_error, replayed
from workloads.heat.instruction_sets import InstructionSet, available
from workloads.heat.interactions import Interactions
from workloads.heat.pairs import Pairs, packed
from workloads.heat.per_sample_kernel import drawn
from workloads.heat.random_stream import first_items, shuffle
from workloads.heat.settings import Settings, settings
from workloads.heat.tile import Tile, fitted_tile, used_for
from workloads.heat.training import Training, small_problem, training
from workloads.heat.verification import checks, judged, learn

SETTINGS = settings(
    {"dim": 32, "negatives": 8, "epochs": 8, "margin": 0.1, "weight": 3.0, "lr_end": 0.5}
)

ALGORITHMS = {
    "heat": per_sample.algorithm(Tile(0, 1)),
    "heat-tile": per_sample.algorithm(Tile(40, 7)),
    **{kind.name: block.algorithm(kind) for kind in available()},
}

every = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)


@every
@pytest.mark.parametrize(
    "chosen",
    [
        SETTINGS,
        replace(SETTINGS, dim=2),
        replace(SETTINGS, dim=7, negatives=1),
        replace(SETTINGS, dim=129, margin=0.9, weight=150.0),
        replace(SETTINGS, margin=-1.0),
        replace(SETTINGS, margin=1.0),
        replace(SETTINGS, batch=5),
    ],
    ids=lambda chosen: f"dim{chosen.dim}-margin{chosen.margin}-batch{chosen.batch}",
)
def test_an_epoch_is_that_of_the_reference(algorithm: Algorithm, chosen: Settings) -> None:
    for seed in range(3):
        assert replay_error(algorithm, small_problem(chosen, seed), seed) < 2e-5


@every
@pytest.mark.parametrize("negatives", [63, 64, 65, 300])
def test_any_number_of_negatives_is_trained_on(algorithm: Algorithm, negatives: int) -> None:
    problem = small_problem(replace(SETTINGS, batch=8), 3)
    many = replace(problem, settings=replace(problem.settings, negatives=negatives))
    # So many updates of few rows that roundings add up; a wrong sign or factor is 1.
    assert replay_error(algorithm, many, seed=3) < 1e-3


@every
def test_a_training_of_several_epochs_ends_where_the_reference_does(
    algorithm: Algorithm, small: Interactions
) -> None:
    trainer = HostSgd(training(small, replace(SETTINGS, negatives=40), 0), algorithm)
    assert trainer.loss_error(seed=1) < 1e-3


@every
@pytest.mark.parametrize(
    "wrong", [{"margin": 0.2}, {"weight": 3.1}, {"lr_sgd": 0.051}, {"lr_sgd": -0.05}]
)
def test_a_slightly_wrong_loss_is_far_beyond_the_tolerance(
    algorithm: Algorithm, wrong: dict[str, Any]
) -> None:
    def expected(problem: Training, pairs: Pairs, seed: int, rate: float) -> tuple[np.ndarray, ...]:
        other = replace(problem, settings=replace(problem.settings, **wrong))
        return algorithm.expected(other, pairs, seed, other.settings.lr_sgd)

    problem = small_problem(SETTINGS, seed=0)
    assert replay_error(algorithm, problem, seed=0) < 2e-5
    assert replay_error(replace(algorithm, expected=expected), problem, seed=0) > 5e-4


@every
def test_training_learns_and_is_accepted(algorithm: Algorithm, small: Interactions) -> None:
    start = training(small, SETTINGS, seed=3)
    trainer = HostSgd(start, algorithm)
    found = judged(checks(trainer, 0), learn(trainer, start))
    assert found.passed, found.detail


def test_training_uphill_is_rejected(small: Interactions) -> None:
    start = training(small, replace(SETTINGS, lr_sgd=-SETTINGS.lr_sgd), seed=3)
    trainer = HostSgd(start, ALGORITHMS["heat"])
    assert not judged(checks(trainer, 0), learn(trainer, start)).passed


def test_all_instruction_sets_train_on_the_same_negatives(small: Interactions) -> None:
    problem = small_problem(SETTINGS, seed=2)
    reached = [replayed(block.algorithm(kind), problem, 2, 9)[0] for kind in available()]
    for users, items in reached[1:]:
        assert np.allclose(users, reached[0][0], atol=1e-6)
        assert np.allclose(items, reached[0][1], atol=1e-6)


@examples(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    margin=st.floats(-0.99, 0.99),
    dim=st.sampled_from([16, 64, 128, 192]),
    lean=st.floats(0, 8),
    spike=st.floats(0, 30),
)
def test_the_filter_loses_no_negative_above_the_margin(
    seed: int, margin: float, dim: int, lean: float, spike: float
) -> None:
    random = np.random.default_rng(seed)
    chosen = replace(SETTINGS, dim=dim, margin=margin, negatives=64, lr_sgd=0.0, batch=64)
    problem = small_problem(chosen, seed % 1000)
    users, items = problem.user_factors.copy(), problem.item_factors.copy()
    # Rows that lean one way have cosines near each other; a large component is cut off.
    users += lean * items.mean(axis=0)
    items += lean * items.mean(axis=0)
    items[random.integers(len(items)), random.integers(dim)] += spike
    start = replace(problem.starting_from(users, items), settings=chosen)
    for kind in available():
        told = active(kind, start)
        assert told == active(available()[-1], start)


@pytest.mark.parametrize("kind", available(), ids=lambda kind: str(kind.name))
def test_the_filter_loses_no_negative_of_rows_that_round_as_badly_as_any(
    kind: InstructionSet,
) -> None:
    # 1 + 2^-8 lies halfway between two numbers of bfloat16, and all components do.
    row = np.full(64, 2.0**-3 * (1 + 2.0**-8), np.float32)
    row[-1] = np.sqrt(1 - 63 * float(row[0]) ** 2)
    chosen = replace(SETTINGS, dim=64, margin=0.997, negatives=64, lr_sgd=0.0, batch=64)
    problem = replace(small_problem(chosen, 0), settings=chosen)
    alike = problem.starting_from(
        np.tile(row, (len(problem.user_factors), 1)), np.tile(row, (len(problem.item_factors), 1))
    )
    assert active(kind, alike) == 64


def active(kind: InstructionSet, start: Training) -> float:
    """How many pairs the filter let pass and float32 then found to be above the margin."""
    trainer = HostSgd(
        replace(start, settings=replace(start.settings, epochs=1)), block.algorithm(kind)
    )
    trainer.train()
    counted = trainer.counters()
    assert counted["negatives_scored"] >= counted["negatives_active"]
    return counted["negatives_active"]


@every
def test_a_reset_goes_back_to_the_same_start(algorithm: Algorithm, small: Interactions) -> None:
    start = training(small, replace(SETTINGS, epochs=1), seed=3)
    trainer = HostSgd(start, algorithm)
    for _ in range(2):
        assert np.array_equal(trainer.factors()[0], start.user_factors)
        assert np.array_equal(trainer.factors()[1], start.item_factors)
        trainer.train()
        assert not np.array_equal(trainer.factors()[0], start.user_factors)
        trainer.reset()


@every
def test_one_thread_gives_the_same_factors_again(algorithm: Algorithm, small: Interactions) -> None:
    start = training(small, replace(SETTINGS, epochs=2), seed=3)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        first, second = (HostSgd(start, algorithm) for _ in range(2))
        first.train()
        second.train()
        second.reset()
        second.train()
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(first.factors()[0], second.factors()[0])
    assert np.array_equal(first.factors()[1], second.factors()[1])


@every
def test_threads_together_visit_every_interaction_once(
    algorithm: Algorithm, small: Interactions
) -> None:
    chosen = replace(SETTINGS, epochs=1, margin=1.0, lr_sgd=0.0)
    start = training(small, chosen, seed=3)
    trainer = HostSgd(start, algorithm)
    trainer.train()
    users, items = start.user_factors[small.train_users()], start.item_factors[small.train_items]
    cosines = (evaluate.normalised(users) * evaluate.normalised(items)).sum(axis=1)
    assert trainer.counters()["training_loss"] == pytest.approx(1 - cosines.mean(), abs=1e-5)
    assert trainer.counters()["negatives_active"] == 0


def test_a_trainer_tells_how_it_trains(small: Interactions, device: Device) -> None:
    told = block.run(training(small, SETTINGS, 0), device).recipe()  # type: ignore[attr-defined]
    assert told["sampler"] == "shared by a block"
    assert told["batch"] == 64
    assert told["instructions"] == available()[0].name
    told = block.run_float32(training(small, SETTINGS, 0), device).recipe()  # type: ignore[attr-defined]
    assert told["products"] == "float32"
    told = block.run(training(small, replace(SETTINGS, batch=5), 0), device).recipe()  # type: ignore[attr-defined]
    assert told["batch"] == 8
    told = per_sample.run_tile(training(small, SETTINGS, 0), device).recipe()  # type: ignore[attr-defined]
    assert (told["sampler"], told["tile"], told["refresh"]) == ("tile", 512, 2048)


def test_negatives_are_uniform_over_all_items() -> None:
    items = 50
    counts = np.bincount(first_items(100_000, items, 9), minlength=items)
    expected = 100_000 / items
    # Chi-squared with 49 degrees of freedom is beyond 100 once in 40,000 seeds.
    assert ((counts - expected) ** 2 / expected).sum() < 100


def test_streams_of_different_seeds_differ() -> None:
    first, second = (first_items(100, 1_000, seed) for seed in (0, 1))
    assert (first == second).mean() < 0.2


def test_a_tile_limits_the_items_until_it_is_replaced() -> None:
    negatives = drawn(30, 50, items=10_000, seed=4, tile=20, refresh=10)
    for start in range(0, 30, 10):
        # Rows are asked for 16 draws ahead, so those of the former tile are still to come.
        assert np.unique(negatives[start + 1 : start + 10]).size <= 20
    assert np.unique(negatives).size > 40
    assert np.unique(drawn(30, 50, items=10_000, seed=4, tile=0, refresh=1)).size > 1_000


@pytest.mark.parametrize("groups", [1, 7])
def test_shuffling_keeps_every_interaction(groups: int, small: Interactions) -> None:
    pairs = packed(small)
    mixed = np.empty_like(pairs)
    shuffle(pairs, mixed, groups, 1)
    assert not np.array_equal(mixed, pairs)
    assert np.array_equal(np.sort(mixed), np.sort(pairs))


def test_every_order_is_as_likely() -> None:
    orders: dict[tuple[int, ...], int] = {}
    mixed = np.empty(3, np.int64)
    for seed in range(6_000):
        shuffle(np.arange(3) << 32, mixed, 1, seed)
        order = tuple((mixed >> 32).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert sum((count - 1_000) ** 2 / 1_000 for count in orders.values()) < 30


def test_users_of_a_group_come_together_and_groups_differ_from_epoch_to_epoch(
    small: Interactions,
) -> None:
    pairs = packed(small)
    mixed = np.empty_like(pairs)
    together = []
    for seed in (1, 2):
        shuffle(pairs, mixed, 10, seed)
        users = mixed >> 32
        places = [np.flatnonzero(users == user) for user in range(small.users)]
        spread = [place.max() - place.min() for place in places if place.size > 1]
        assert max(spread) < pairs.size / 10 * 1.5
        together.append(set(users[: pairs.size // 20].tolist()))
    assert len(together[0] & together[1]) < 0.5 * len(together[0])


def test_the_tile_of_the_paper_follows_from_its_algorithm() -> None:
    found = fitted_tile(cache_bytes=1 << 18, dim=128, items=41_000, iterations=10**7)
    assert found.items == 512
    assert found.refresh == pytest.approx(2_048, abs=10)
    # Few iterations: a tile that were used for longer would leave items that are never met.
    assert used_for(512, items=41_000, iterations=10_000) == 124
    assert fitted_tile(cache_bytes=1 << 30, dim=2, items=10, iterations=5).items == 10


@pytest.mark.parametrize(
    ("features", "first"),
    [
        ({"avx512f", "avx512bw", "avx512vnni", "avx512bf16", "avx2", "fma"}, "avx512-vnni int8"),
        ({"avx512f", "avx512bw", "avx512bf16", "avx2", "fma"}, "avx512-bf16 bfloat16"),
        ({"avx512f", "avx512bw", "avx2", "fma"}, "avx512 float32"),
        ({"avx2", "fma", "avxvnni"}, "avx-vnni int8"),
        ({"avx2", "fma"}, "avx2 float32"),
        ({"neon", "dotprod"}, "neon float32"),
        (set(), "128-bit float32"),
    ],
)
def test_the_quickest_instruction_set_of_a_processor_is_chosen(
    features: set[str], first: str
) -> None:
    assert available(dict.fromkeys(features, True))[0].name == first


_KERNEL = """
from workloads.kernels.compiled import compiled
from package.inner import inner

@compiled()
def outer(value):
    return inner(value)

print(outer(20))
"""

_INNER = """
from workloads.kernels.compiled import compiled

@compiled()
def inner(value):
    return value + {added}
"""


def test_a_kernel_is_compiled_anew_when_a_file_that_it_calls_has_changed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "kernel.py").write_text(_KERNEL)

    def printed(added: int) -> str:
        (package / "inner.py").write_text(_INNER.format(added=added))
        path = os.pathsep.join([str(tmp_path), str(Path(block.__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-B", "-c", "import package.kernel"],
            env={**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    assert printed(added=1) == "21"
    assert printed(added=1) == "21"
    assert printed(added=2) == "22"
