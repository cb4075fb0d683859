"""Variant `torch`: MF-CCL as a practitioner writes it: dense Adam, independent negatives."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.protocols import Device
from workloads.heat import reference
from workloads.heat.training import Factors, Trainer, Training, relative_error, small_problem


class MatrixFactorisation(nn.Module):
    """Two embeddings and the cosine contrastive loss between them."""

    def __init__(self, training: Training, device: torch.device) -> None:
        """Start from the training's initial factors."""
        super().__init__()
        data, settings = training.interactions, training.settings
        self.users = nn.Embedding(data.users, settings.dim, device=device)
        self.items = nn.Embedding(data.items, settings.dim, device=device)
        self.margin = settings.margin
        self.weight = settings.weight
        self.restart(training)

    def restart(self, training: Training) -> None:
        """Go back to the training's initial factors."""
        with torch.no_grad():
            self.users.weight.copy_(_tensor(training.user_factors))
            self.items.weight.copy_(_tensor(training.item_factors))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            users: int64 (batch,) ids.
            items: int64 (batch, 1 + negatives) ids, the positive first.
        """
        user = functional.normalize(self.users(users), dim=-1)
        item = functional.normalize(self.items(items), dim=-1)
        similarity = torch.bmm(item, user.unsqueeze(-1)).squeeze(-1)
        positive = 1 - similarity[:, 0]
        negative = torch.relu(similarity[:, 1:] - self.margin).mean(dim=1)
        return (positive + self.weight * negative).mean()


class TorchDense:
    """Trains with Adam over all rows; data, shuffling and sampling are on the device."""

    def __init__(self, training: Training, device: Device) -> None:
        """Put interactions and factors on the device."""
        self._training = training
        self._device: torch.device = device.torch_device()
        self._users = _tensor(training.interactions.train_users()).long().to(self._device)
        self._items = _tensor(training.interactions.train_items).long().to(self._device)
        self._model = MatrixFactorisation(training, self._device)
        self.reset()

    def reset(self) -> None:
        """Go back to the initial factors, a new Adam and the first random numbers."""
        self._model.restart(self._training)
        # Fused: one pass over all rows instead of a dozen, on every device that torch knows.
        self._optimiser = torch.optim.Adam(
            self._model.parameters(), lr=self._training.settings.lr_adam, fused=True
        )
        self._random = torch.Generator(self._device).manual_seed(self._training.seed)

    def train(self) -> None:
        """Train all epochs, each in a new order."""
        for _ in range(self._training.settings.epochs):
            order = torch.randperm(self._users.numel(), generator=self._random, device=self._device)
            for start in range(0, order.numel(), self._training.settings.batch):
                batch = order[start : start + self._training.settings.batch]
                self._update(self._users[batch], self._items[batch])

    def _update(self, users: Tensor, positives: Tensor) -> None:
        negatives = torch.randint(
            self._training.interactions.items,
            (users.numel(), self._training.settings.negatives),
            generator=self._random,
            device=self._device,
        )
        loss = self._model(users, torch.cat([positives.unsqueeze(1), negatives], dim=1))
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    def factors(self) -> tuple[Factors, Factors]:
        """Return the factors on the host."""
        return (
            self._model.users.weight.detach().cpu().numpy(),
            self._model.items.weight.detach().cpu().numpy(),
        )

    def update_error(self, seed: int) -> float:
        """Return how far loss and gradient of one batch are from the reference."""
        problem = small_problem(self._training.settings, seed)
        pairs, settings = problem.interactions, problem.settings
        users = pairs.train_users().astype(np.int64)
        negatives = np.random.default_rng(seed).integers(
            pairs.items, size=(users.size, settings.negatives)
        )
        items = np.column_stack([pairs.train_items, negatives])
        model = MatrixFactorisation(problem, self._device)
        loss = model(_tensor(users).to(self._device), _tensor(items).to(self._device))
        loss.backward()
        expected = reference.batch_loss_and_gradient(
            problem.user_factors,
            problem.item_factors,
            users,
            items,
            settings.margin,
            settings.weight,
        )
        found = (loss, model.users.weight.grad, model.items.weight.grad)
        return max(
            relative_error(value.detach().cpu().numpy(), np.asarray(wanted))
            for value, wanted in zip(found, expected, strict=True)
        )


def _tensor(array: np.ndarray) -> Tensor:
    """Return a copy: torch would share the memory of, and warn about, a read-only array."""
    return torch.from_numpy(array.copy())


def run(training: Training, device: Device) -> Trainer:
    """Return the trainer of this variant."""
    return TorchDense(training, device)
