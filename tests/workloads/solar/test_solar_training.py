"""The surrogate that is trained, and the utilisation of the device that trains it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.errors import AssayError
from workloads.solar.utilisation import StepTime, accelerator_utilisation

EVEN = [StepTime(load_s=1.0, compute_s=3.0)] * 4


def test_utilisation_is_the_share_of_computation() -> None:
    assert accelerator_utilisation(EVEN, total_s=16.0) == 0.75


def test_the_first_step_does_not_count_because_the_pipeline_fills() -> None:
    slow_start = [StepTime(load_s=100.0, compute_s=50.0), *EVEN]
    assert accelerator_utilisation(slow_start, total_s=166.0) == 0.75
    assert accelerator_utilisation(slow_start, total_s=166.0, first=0) == 62.0 / 166.0


def test_steps_at_the_end_can_be_left_out_too() -> None:
    drained = [*EVEN, StepTime(load_s=0.0, compute_s=9.0)]
    assert accelerator_utilisation(drained, total_s=25.0, last=1) == 0.75


def test_what_happens_between_steps_counts_against_the_device() -> None:
    assert accelerator_utilisation(EVEN, total_s=16.0 + 3.0) == 9.0 / 15.0


@pytest.mark.parametrize("steps", [0, 1])
def test_an_epoch_without_steps_to_count_has_no_utilisation(steps: int) -> None:
    with pytest.raises(AssayError, match=f"more than 1 steps an epoch, not {steps}"):
        accelerator_utilisation(EVEN[:steps], total_s=1.0)


def test_the_network_tells_amplitude_and_phase_of_every_image() -> None:
    torch = pytest.importorskip("torch")
    from workloads.solar.torch_training import Network

    amplitude, phase = Network(channels=2)(torch.rand(3, 16, 24))
    assert amplitude.shape == phase.shape == (3, 16, 24)
    assert 0 < amplitude.min() < amplitude.max() < 1
    assert -math.pi < phase.min() < phase.max() < math.pi


def test_training_lowers_the_loss_and_is_the_same_for_the_same_seed() -> None:
    torch = pytest.importorskip("torch")
    from workloads.solar.torch_training import Trainer, l1_loss

    random = np.random.default_rng(0)
    batch = [random.random((8, 16, 16), dtype=np.float32) for _ in range(3)]
    tensors = [torch.from_numpy(array) for array in batch]
    losses = []
    for _ in range(2):
        trainer = Trainer(torch.device("cpu"), seed=3, channels=4)
        before = float(l1_loss(trainer.network, *tensors).detach())
        for _ in range(30):
            trainer.step(batch)
        losses.append((before, float(l1_loss(trainer.network, *tensors).detach())))
    assert losses[0] == losses[1]
    assert losses[0][1] < 0.9 * losses[0][0]


def test_making_a_trainer_leaves_the_random_numbers_of_its_process_alone() -> None:
    torch = pytest.importorskip("torch")
    from workloads.solar.torch_training import Trainer

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    Trainer(torch.device("cpu"), seed=3, channels=1)
    assert torch.equal(torch.rand(2), expected)
