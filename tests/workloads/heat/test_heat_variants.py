"""Both variants, each against the float64 reference, and a wrong one that is found out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np
import pytest

from harness.protocols import Device
from harness.records import Verification
from workloads.heat import WORKLOAD, evaluate, numba_sgd, reference
from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings, settings
from workloads.heat.training import Factors, Trainer, Training, small_problem, training
from workloads.heat.verification import Learning, judged, learning, verify

Run = Callable[[Training, Device], Trainer]

SETTINGS = settings(
    {"dim": 32, "negatives": 8, "epochs": 8, "margin": 0.1, "weight": 3.0}
    | {"batch": 256, "lr_adam": 0.01}
)


def numba_run(training: Training, device: Device) -> Trainer:
    return numba_sgd.run(training, device)


def torch_run(training: Training, device: Device) -> Trainer:
    pytest.importorskip("torch", reason="the torch variant needs torch")
    from workloads.heat import torch_dense

    return torch_dense.run(training, device)


both = pytest.mark.parametrize("run", [numba_run, torch_run])


@both
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "chosen",
    [
        SETTINGS,
        replace(SETTINGS, dim=2),
        replace(SETTINGS, dim=7, negatives=1),
        replace(SETTINGS, dim=129, margin=0.9, weight=150.0),
        replace(SETTINGS, margin=-1.0),
        replace(SETTINGS, margin=1.0, negatives=100),
    ],
    ids=lambda chosen: f"dim{chosen.dim}-margin{chosen.margin}",
)
def test_an_update_is_that_of_the_reference(
    run: Run, seed: int, chosen: Settings, small: Interactions, device: Device
) -> None:
    assert run(training(small, chosen, 0), device).update_error(seed) < 2e-5


@both
def test_training_learns(run: Run, small: Interactions, device: Device) -> None:
    start = training(small, SETTINGS, seed=3)
    found = verify(run(start, device), start)
    assert found.passed, found.detail


@both
def test_a_reset_goes_back_to_the_same_start(run: Run, small: Interactions, device: Device) -> None:
    start = training(small, replace(SETTINGS, epochs=1), seed=3)
    trainer = run(start, device)
    for _ in range(2):
        for found, initial in zip(
            trainer.factors(), (start.user_factors, start.item_factors), strict=True
        ):
            assert np.array_equal(found, initial)
        trainer.train()
        assert not np.array_equal(trainer.factors()[0], start.user_factors)
        trainer.reset()


@both
def test_training_that_does_not_move_is_rejected(
    run: Run, small: Interactions, device: Device
) -> None:
    start = training(small, replace(SETTINGS, lr_adam=0.0, lr_sgd=0.0), seed=3)
    found = verify(run(start, device), start)
    assert not found.passed
    assert "loss 1.0" in found.detail


def test_the_variants_learn_equally_well(small: Interactions, device: Device) -> None:
    recalls = []
    for run in (numba_run, torch_run):
        trainer = run(training(small, SETTINGS, seed=3), device)
        trainer.train()
        recalls.append(evaluate.of_factors(*trainer.factors(), small).recall)
    assert recalls[0] == pytest.approx(recalls[1], rel=0.25)


class Uphill:
    """Trains well, but checks its update with the sign of the gradient turned round."""

    def __init__(self, training: Training, device: Device) -> None:
        self._inner = numba_sgd.run(training, device)
        self._settings = training.settings
        self.reset = self._inner.reset
        self.train = self._inner.train
        self.factors = self._inner.factors

    def update_error(self, seed: int) -> float:
        problem = small_problem(self._settings, seed)
        uphill = replace(problem, settings=replace(problem.settings, lr_sgd=-0.05))
        return update_error_of(uphill, problem, seed)


def update_error_of(wrong: Training, right: Training, seed: int) -> float:
    """Run the kernel with the wrong settings and hold it against the right reference."""
    pairs, chosen = right.interactions, right.settings
    users, order = pairs.train_users(), np.arange(pairs.train_items.size)
    found = right.user_factors.copy(), right.item_factors.copy()
    numba_sgd.epoch(
        *found, users, pairs.train_items, order, wrong.settings.negatives, wrong.settings.lr_sgd,
        wrong.settings.margin, wrong.settings.weight, seed, 1,
    )  # fmt: skip
    negatives = numba_sgd.first_negatives(users.size, chosen.negatives, pairs.items, seed)
    expected = reference.sgd_epoch(
        right.user_factors, right.item_factors, users,
        np.column_stack([pairs.train_items, negatives]),
        chosen.lr_sgd, chosen.margin, chosen.weight,
    )  # fmt: skip
    return float(np.abs(found[0] - expected[0]).max())


def test_a_kernel_with_the_wrong_sign_is_rejected(small: Interactions, device: Device) -> None:
    start = training(small, SETTINGS, seed=3)
    found = verify(Uphill(start, device), start)
    assert not found.passed
    assert found.error is not None
    assert found.error > 100


def test_training_uphill_is_rejected(small: Interactions, device: Device) -> None:
    start = training(small, replace(SETTINGS, lr_sgd=-SETTINGS.lr_sgd), seed=3)
    assert not verify(numba_sgd.run(start, device), start).passed


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SETTINGS, margin=0.11, lr_sgd=0.05),
        replace(SETTINGS, weight=3.1, lr_sgd=0.05),
        replace(SETTINGS, lr_sgd=0.051),
    ],
)
def test_a_kernel_with_a_slightly_wrong_loss_is_far_beyond_the_tolerance(wrong: Settings) -> None:
    right = small_problem(SETTINGS, seed=0)
    assert update_error_of(right, right, seed=0) < 1e-5
    assert update_error_of(replace(right, settings=wrong), right, seed=0) > 1e-3


def learnt(
    loss_after: float = 0.5, recall: float = 0.3, popularity: float = 0.1, untrained: float = 0.01
) -> Learning:
    return Learning(1.0, loss_after, recall, popularity, untrained)


@pytest.mark.parametrize(
    ("update_error", "learnt", "passed"),
    [
        (1e-6, learnt(), True),
        (1e-3, learnt(), False),
        (1e-6, learnt(loss_after=0.96), False),
        (1e-6, learnt(recall=0.2), False),
        # Popularity so strong that no model is 2.5 times better: learning is told by the start.
        (1e-6, learnt(recall=0.4, popularity=0.5, untrained=0.2), True),
        (1e-6, learnt(recall=0.2, popularity=0.5, untrained=0.2), False),
        (1e-6, learnt(recall=0.0, popularity=0.0), False),
        (float("nan"), learnt(), False),
        (1e-6, learnt(loss_after=float("nan")), False),
        (1e-6, learnt(recall=float("nan")), False),
    ],
)
def test_each_part_alone_decides(update_error: float, learnt: Learning, passed: bool) -> None:
    found: Verification = judged(update_error, learnt)
    assert found.passed is passed


def test_factors_that_are_not_numbers_are_rejected(small: Interactions) -> None:
    start = training(small, SETTINGS, seed=3)
    broken: list[Factors] = [
        np.full_like(factors, np.nan) for factors in (start.user_factors, start.item_factors)
    ]
    assert not judged(0.0, learning(start, *broken)).passed


def test_one_thread_gives_the_same_factors_again(small: Interactions, device: Device) -> None:
    start = training(small, replace(SETTINGS, epochs=1), seed=3)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        first, second = (numba_sgd.run(start, device) for _ in range(2))
        first.train()
        second.train()
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(first.factors()[0], second.factors()[0])
    assert np.array_equal(first.factors()[1], second.factors()[1])


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_interaction_is_visited_once_however_many_threads(threads: int) -> None:
    # Each user has one interaction and an item of their own: who was visited has moved.
    pairs = 37
    random = np.random.default_rng(0)
    users, items = (random.standard_normal((pairs, 4)).astype(np.float32) for _ in range(2))
    ids = np.arange(pairs, dtype=np.int32)
    once = users.copy(), items.copy()
    numba_sgd.epoch(*once, ids, ids, np.arange(pairs), 1, 0.1, 1.0, 1.0, 0, threads)
    negatives = np.zeros((pairs, 1), np.int64)
    expected = reference.sgd_epoch(
        users, items, ids, np.column_stack([ids, negatives]), 0.1, 1.0, 1.0
    )
    assert np.allclose(once[0], expected[0], atol=1e-5)


def test_negatives_are_uniform_over_all_items() -> None:
    items = 50
    drawn = numba_sgd.first_negatives(4_000, 25, items, 9)
    counts = np.bincount(drawn.ravel(), minlength=items)
    expected = drawn.size / items
    # Chi-squared with 49 degrees of freedom is beyond 100 once in 40,000 seeds.
    assert ((counts - expected) ** 2 / expected).sum() < 100


def test_streams_of_different_seeds_differ() -> None:
    first, second = (numba_sgd.first_negatives(10, 10, 1_000, seed) for seed in (0, 1))
    assert (first == second).mean() < 0.2


_FAULTS = """
import resource
from workloads.heat import synthetic, torch_dense
from workloads.heat.settings import settings
from workloads.heat.training import training
import torch
class Host:
    torch_device = staticmethod(lambda: torch.device("cpu"))
data = synthetic.generate(300, 512, 4_000, 0)
chosen = settings({"dim": 64, "negatives": 32, "epochs": 1, "batch": 512})
trainer = torch_dense.run(training(data, chosen, 0), Host())
trainer.train()
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    trainer.train()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
# The heap of a tuned allocator may still grow once; faults of every training are the setting's.
print(min(faults))
"""


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names,
    reason="the allocator's settings are glibc's",
)
def test_the_allocator_setting_spares_torch_the_page_faults() -> None:
    pytest.importorskip("torch", reason="the torch variant needs torch")
    from harness.allocator import KEEP_FREED_MEMORY as ALLOCATOR

    plain = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", _FAULTS],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for env in (plain, {**plain, **ALLOCATOR})
    ]
    assert faults[1] < faults[0] / 10


def test_every_variant_names_something_that_exists() -> None:
    from harness.registry import resolve

    for variant in WORKLOAD.variants:
        assert callable(resolve(variant.run))
