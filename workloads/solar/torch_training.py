"""Trains a surrogate of PtychoNN's shape, so that a loader has something to wait for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

CHANNELS = 32
"""Of the first convolution, as in PtychoNN."""

LEARNING_RATE = 1e-3
"""Of Adam, as in PtychoNN's training script."""


class Network(nn.Module):
    """An encoder of diffraction images and two decoders, to amplitude and to phase.

    After Cherukara et al., "AI-enabled high-resolution scanning coherent diffraction imaging",
    Applied Physics Letters 117, 044103 (2020): three times two convolutions of 3 x 3 and a halving
    by maximum, then in each decoder three times two convolutions and a doubling. No batch
    normalisation: over ranks it would make the gradient depend on who trains on which sample.
    """

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        widths = (channels, 2 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((1, *widths)):
            layers += [*_two_convolutions(before, after), nn.MaxPool2d(2)]
        self.encoder = nn.Sequential(*layers)
        self.amplitude = nn.Sequential(*_decoder(channels), nn.Sigmoid())
        self.phase = nn.Sequential(*_decoder(channels), nn.Tanh())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return amplitude in (0, 1) and phase in (-pi, pi).

        Args:
            images: shape (batch, height, width), both divisible by 8; so are the results.
        """
        code = self.encoder(images.unsqueeze(1))
        return self.amplitude(code).squeeze(1), math.pi * self.phase(code).squeeze(1)


def l1_loss(
    network: nn.Module,
    images: torch.Tensor,
    amplitude: torch.Tensor,
    phase: torch.Tensor,
    weight: float = 1.0,
) -> torch.Tensor:
    """Return the mean error of amplitude and of phase, added and weighted.

    Args:
        network: a Network, or one that wraps it.
        images: shape (batch, height, width).
        amplitude: of the same shape.
        phase: of the same shape.
        weight: 1 where all ranks have equally many samples, else n_r * ranks / n_step: then the
            mean of the ranks' gradients is the gradient of the whole step.
    """
    told_amplitude, told_phase = network(images)
    error = nn.functional.l1_loss(told_amplitude, amplitude)
    return weight * (error + nn.functional.l1_loss(told_phase, phase))


class Trainer:
    """A network, its optimiser, and the device that both are on."""

    def __init__(
        self, device: torch.device, *, seed: int, channels: int = CHANNELS, ranked: bool = False
    ) -> None:
        """Start from the weights that the seed gives, on every rank the same.

        Args:
            device: to train on.
            seed: of the weights.
            channels: width of the network.
            ranked: whether the default group of torch.distributed averages the gradients.
        """
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: nn.Module = Network(channels).to(device)
        self.network = nn.parallel.DistributedDataParallel(network) if ranked else network
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)

    def step(self, arrays: Sequence[NDArray[Any] | torch.Tensor], weight: float = 1.0) -> None:
        """Train on one batch; returns before the device has finished.

        Args:
            arrays: images, amplitude, phase, float32, shape (batch, height, width) each. They must
                stay as they are until the device has finished.
            weight: of this rank's loss; see `l1_loss`.
        """
        images, amplitude, phase = (
            torch.as_tensor(array).to(self.device, non_blocking=True) for array in arrays
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss = l1_loss(self.network, images, amplitude, phase, weight)
        torch.autograd.backward(loss)
        self.optimiser.step()


def _two_convolutions(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(),
    ]


def _decoder(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    widths = (4 * channels, 4 * channels, 2 * channels, 2 * channels)
    for before, after in itertools.pairwise(widths):
        layers += [
            *_two_convolutions(before, after),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        ]
    return [*layers, nn.Conv2d(2 * channels, 1, 3, padding=1)]
