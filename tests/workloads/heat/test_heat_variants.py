"""All variants together: that they learn alike, and what is accepted of them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.protocols import Device
from harness.records import Verification
from harness.registry import resolve
from workloads.heat import WORKLOAD, evaluate
from workloads.heat.interactions import Interactions
from workloads.heat.learned import Learned, digest_of, keep, kept
from workloads.heat.settings import Settings, settings
from workloads.heat.training import Factors, Trainer, learning_rate, training
from workloads.heat.verification import (
    GOWALLA_DIGEST,
    Checks,
    floor,
    judged,
    learning,
    time_to_recall,
)

SETTINGS = settings(
    {"dim": 32, "negatives": 8, "epochs": 8, "margin": 0.1, "weight": 3.0}
    | {"batch": 256, "lr_adam": 0.01}
)


@pytest.mark.parametrize("variant", WORKLOAD.variants, ids=lambda variant: str(variant.name))
def test_every_variant_learns_as_well_as_the_baseline(
    variant: object, small: Interactions, device: Device
) -> None:
    trainers = [trainer(one, small, device) for one in (WORKLOAD.variants[0], variant)]
    for one in trainers:
        one.train()
    recalls = [evaluate.of_factors(*one.factors(), small).recall for one in trainers]
    assert recalls[1] > 0.75 * recalls[0]


def trainer(variant: object, data: Interactions, device: Device) -> Trainer:
    pytest.importorskip("torch", reason="the baseline needs torch")
    made: Trainer = resolve(variant.run)(training(data, SETTINGS, 3), device)  # type: ignore[attr-defined]
    return made


def test_the_learning_rate_falls_in_equal_steps() -> None:
    chosen = replace(SETTINGS, epochs=5, lr_end=0.2)
    rates = [learning_rate(chosen, 10.0, epoch) for epoch in range(5)]
    assert rates == pytest.approx([10.0, 8.0, 6.0, 4.0, 2.0])
    assert learning_rate(replace(chosen, epochs=1), 10.0, 0) == 10.0


def learnt(
    loss_after: float = 0.5, recall: float = 0.3, popularity: float = 0.1, untrained: float = 0.01
) -> Learned:
    return Learned(1.0, loss_after, recall, popularity, untrained)


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
def test_each_part_alone_decides(update_error: float, learnt: Learned, passed: bool) -> None:
    found: Verification = judged(Checks(update_error), learnt)
    assert found.passed is passed


def test_factors_that_are_not_numbers_are_rejected(small: Interactions) -> None:
    start = training(small, SETTINGS, seed=3)
    broken: list[Factors] = [
        np.full_like(factors, np.nan) for factors in (start.user_factors, start.item_factors)
    ]
    assert not judged(Checks(0.0), learning(start, broken[0], broken[1])).passed


def test_a_loss_that_ends_elsewhere_than_the_references_is_rejected() -> None:
    assert judged(Checks(0.0, 0.009), learnt()).passed
    assert not judged(Checks(0.0, 0.011), learnt()).passed


def test_less_recall_than_the_floor_is_rejected() -> None:
    assert judged(Checks(0.0), learnt(recall=0.3), floor=0.29).passed
    assert not judged(Checks(0.0), learnt(recall=0.3), floor=0.31).passed


def test_gowalla_has_floors_of_its_own() -> None:
    chosen = replace(SETTINGS, dim=128, negatives=256, epochs=4)
    assert floor(chosen, GOWALLA_DIGEST) == 0.160
    assert floor(replace(chosen, negatives=1024, epochs=24), GOWALLA_DIGEST) == 0.175
    assert floor(replace(chosen, epochs=1), GOWALLA_DIGEST) == 0.0
    assert floor(chosen, "0" * 16) == 0.0


def test_what_was_learnt_is_kept_for_the_same_training_only(tmp_path: Path) -> None:
    run = WORKLOAD.variants[0].run

    def digest(
        variant: str = "torch", run: str = run, device: str = "cpu", chosen: Settings = SETTINGS,
        seed: int = 0, data: str = "abc",
    ) -> str:  # fmt: skip
        return digest_of(variant, run, device, chosen, seed, data)

    keep(tmp_path / "new", digest(), learnt())
    assert kept(tmp_path / "new", digest()) == learnt()
    assert digest(chosen=replace(SETTINGS, sampled=5)) == digest()
    others = [
        digest(variant="block"),
        digest(run="harness.testing.fakes:run"),
        digest(device="cuda"),
        digest(chosen=replace(SETTINGS, dim=33)),
        digest(seed=1),
        digest(data="abd"),
    ]
    assert len({digest(), *others}) == 7
    assert kept(tmp_path / "new", others[0]) is None
    (tmp_path / "new" / f"{digest()}.json").write_text("{")
    assert kept(tmp_path / "new", digest()) is None


def test_the_time_to_a_recall_is_that_of_the_shortest_training_that_reaches_it(
    small: Interactions, device: Device
) -> None:
    start = training(small, replace(SETTINGS, epochs=8), 3)
    run = resolve("workloads.heat.block:run")
    trained: list[int] = []

    def train(begun: object) -> Trainer:
        trained.append(begun.settings.epochs)  # type: ignore[attr-defined]
        made: Trainer = run(begun, device)
        return made

    assert time_to_recall(start, train, 2.0) is None
    assert trained == [4, 6, 7, 8]
    trained.clear()
    found = time_to_recall(start, train, 0.0)
    assert found is not None
    assert found > 0
    assert trained == [4, 2, 1, 1]


_FAULTS = """
import resource
from workloads.heat import synthetic, torch_variants
from workloads.heat.settings import Settings, settings
from workloads.heat.training import training
import torch
class Host:
    torch_device = staticmethod(lambda: torch.device("cpu"))
data = synthetic.generate(300, 512, 4_000, 0)
chosen = settings({"dim": 64, "negatives": 32, "epochs": 1, "batch": 512})
trainer = torch_variants.dense(training(data, chosen, 0), Host())
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
