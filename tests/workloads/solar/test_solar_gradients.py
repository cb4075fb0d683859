"""When it makes no difference to the gradient which rank trains on which sample, and when it does.

A step's samples are divided among ranks, each takes the gradient of its mean loss, and the ranks'
gradients are averaged, as torch's DistributedDataParallel does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from workloads.solar.torch_training import Network, l1_loss

STEP = 64
RANKS = 8
CUTS = (3, 11, 19, 30, 33, 45, 60)
"""Of unequal local batches: 3 to 15 samples."""

Samples = Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    made = make()
    for module in made.modules():
        # Else little of an image reaches the end of so many layers before any training.
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return made.double()


def network() -> nn.Module:
    return Network(channels=2)


def normalised() -> nn.Module:
    made = Network(channels=2)
    made.encoder.insert(1, nn.BatchNorm2d(2))
    return made


@pytest.fixture(scope="module")
def data() -> list[torch.Tensor]:
    torch.manual_seed(0)
    images, amplitude, phase = (torch.randn(STEP, 8, 8).double() for _ in range(3))
    # Samples that are not all alike: else any division of them would look fair.
    scale = torch.linspace(0.1, 3, STEP).double()[:, None, None]
    return [images * scale, amplitude + scale - 1, phase + 1 - scale]


@pytest.fixture(scope="module")
def order() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(0).permutation(STEP)


def gradient(
    model: nn.Module, data: list[torch.Tensor], parts: Samples, weights: Sequence[float]
) -> torch.Tensor:
    found = []
    for part, weight in zip(parts, weights, strict=True):
        model.zero_grad()
        images, amplitude, phase = (values[torch.from_numpy(part)] for values in data)
        loss = l1_loss(model, images, amplitude, phase, weight)
        torch.autograd.backward(loss)
        found.append(torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None]))
    return torch.stack(found).mean(dim=0)


def difference(
    make: Callable[[], nn.Module],
    data: list[torch.Tensor],
    parts: Samples,
    weights: Sequence[float],
) -> float:
    whole = gradient(seeded(make), data, [np.arange(STEP)], [1.0])
    other = gradient(seeded(make), data, parts, weights)
    return float((other - whole).norm() / whole.norm())


def test_equal_local_batches_keep_the_gradient_whoever_has_which_sample(
    data: list[torch.Tensor], order: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    parts = np.split(order, RANKS)
    assert difference(network, data, parts, [1.0] * RANKS) < 1e-14


def test_unequal_local_batches_with_a_plain_mean_change_the_gradient(
    data: list[torch.Tensor], order: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    parts = np.split(order, CUTS)
    assert difference(network, data, parts, [1.0] * RANKS) > 1e-2


def test_unequal_local_batches_weighted_by_their_size_keep_the_gradient(
    data: list[torch.Tensor], order: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    parts = np.split(order, CUTS)
    weights = [len(part) * RANKS / STEP for part in parts]
    assert difference(network, data, parts, weights) < 1e-14


def test_samples_that_are_trained_on_twice_change_the_gradient(
    data: list[torch.Tensor], order: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    parts = [np.concatenate([order, order[: STEP // 4]])]
    assert difference(network, data, parts, [1.0]) > 1e-2


@pytest.mark.parametrize("cuts", [RANKS, CUTS], ids=["equal", "unequal"])
def test_batch_normalisation_of_each_rank_by_itself_never_keeps_the_gradient(
    data: list[torch.Tensor],
    order: np.ndarray[tuple[int], np.dtype[np.int64]],
    cuts: int | tuple[int, ...],
) -> None:
    parts = np.split(order, cuts)
    weights = [len(part) * RANKS / STEP for part in parts]
    assert difference(normalised, data, parts, weights) > 1e-2


RANK = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from workloads.solar.torch_training import Network, l1_loss

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
data = torch.load(f"{folder}/data.pt", weights_only=True)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
network = Network(channels=2).double()
network.load_state_dict(torch.load(f"{folder}/network.pt", weights_only=True))
model = nn.parallel.DistributedDataParallel(network)
part = slice(0, 20) if rank == 0 else slice(20, 64)
found = []
for weight in (1.0, (part.stop - part.start) * 2 / 64):
    model.zero_grad()
    l1_loss(model, *(values[part] for values in data), weight=weight).backward()
    found.append(torch.cat([p.grad.ravel() for p in model.parameters()]))
if rank == 0:
    torch.save(found, f"{folder}/found.pt")
dist.destroy_process_group()
"""


def test_real_ranks_average_to_the_gradient_of_the_step_once_weighted(
    tmp_path: Path, data: list[torch.Tensor]
) -> None:
    torch.save(data, tmp_path / "data.pt")
    torch.save(seeded(network).state_dict(), tmp_path / "network.pt")
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        _, said = rank.communicate(timeout=120)
        assert rank.returncode == 0, said
    plain, weighted = torch.load(tmp_path / "found.pt", weights_only=True)
    whole = gradient(seeded(network), data, [np.arange(STEP)], [1.0])
    assert float((plain - whole).norm() / whole.norm()) > 1e-2
    assert float((weighted - whole).norm() / whole.norm()) < 1e-14
