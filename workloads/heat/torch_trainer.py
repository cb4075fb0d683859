"""Trains with torch as a practitioner would; what the variants differ in is an `Algorithm`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness.records import Facts
from workloads.heat import update_check
from workloads.heat.simplex_reference import Weights, has_tower, initial_weights
from workloads.heat.torch_model import Rows, independent_loss, rows_of, shared_loss
from workloads.heat.torch_tables import AdamTables, SgdTables, Tables
from workloads.heat.torch_tower import Histories, UserTower
from workloads.heat.training import INITIAL_STD, Factors, Training, learning_rate

_USERS_AT_ONCE = 4096
"""Of a ranking's user vectors: with 100 items and a dim of 128 each, 200 MiB."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What a torch variant does.

    Attributes:
        shared: a batch has one set of negatives, not one an interaction.
        sparse: SGD on the rows of the batch, not Adam on all.
        batch: interactions an update, where the case leaves that to the variant.
    """

    shared: bool
    sparse: bool
    batch: int


class TorchTrainer:
    """Trains in batches; data, shuffling and sampling are on the device."""

    def __init__(self, training: Training, algorithm: Algorithm, device: torch.device) -> None:
        """Put interactions and factors on the device."""
        settings, data = training.settings, training.interactions
        self._training = training
        self._algorithm = algorithm
        self._device = device
        self._batch = settings.batch or algorithm.batch
        # Copies: torch would share the memory of, and warn about, read-only arrays.
        self._users = torch.from_numpy(data.train_users().copy()).long().to(device)
        self._items = torch.from_numpy(data.train_items.copy()).long().to(device)
        self._tower: UserTower | None = None
        if has_tower(settings):
            self._histories = Histories(data, settings.history, device)
            self._tower = UserTower(
                tower_weights(training), settings.user_weight, settings.pooling, device
            )
        tables = SgdTables if algorithm.sparse else AdamTables
        self._tables: Tables = tables(training, self._tower, device)
        self.reset()

    def reset(self) -> None:
        """Go back to the initial weights, a new optimiser and the first random numbers."""
        if self._tower is not None:
            self._tower.restart(tower_weights(self._training))
        self._tables.restart()
        self._random = torch.Generator(self._device).manual_seed(self._training.seed)
        self._first_epoch = self._batches()

    def train(self) -> None:
        """Train all epochs, each in a new order."""
        for epoch in range(self._training.settings.epochs):
            self._use_rate(epoch)
            for users, positives in self._batches():
                self.update(users, positives, self._negatives(users.numel()))

    def train_part(self, interactions: int) -> None:
        """Train on so many interactions of an epoch, or more: to the end of a batch.

        `reset` has shuffled the epoch: that takes as long however few are trained on, and is left
        out, in this variant's favour.
        """
        self._use_rate(0)
        for users, positives in islice(self._first_epoch, -(-interactions // self._batch)):
            self.update(users, positives, self._negatives(users.numel()))

    def _use_rate(self, epoch: int) -> None:
        self._tables.use_rate(learning_rate(self._training.settings, self._tables.lr, epoch))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(self._users.numel(), generator=self._random, device=self._device)
        users, items = self._users.index_select(0, order), self._items.index_select(0, order)
        return zip(torch.split(users, self._batch), torch.split(items, self._batch), strict=True)

    def _negatives(self, batch: int) -> Tensor:
        settings = self._training.settings
        count = settings.negatives if self._algorithm.shared else batch * settings.negatives
        return torch.randint(
            self._training.interactions.items,
            (count,),
            generator=self._random,
            device=self._device,
        )

    def update(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Train on one batch and return the sum of its losses before, a scalar on the device.

        Args:
            users: int64 (batch,) ids.
            positives: int64 (batch,) ids.
            negatives: int64 (batch * negatives,) ids, interaction by interaction, or, where they
                are shared, (negatives,).
        """
        settings = self._training.settings
        if self._algorithm.shared:
            items = torch.cat([positives, negatives])
        else:
            of_each = negatives.view(-1, settings.negatives)
            items = torch.cat([positives.unsqueeze(1), of_each], dim=1).flatten()
        vectors, rows = self._look_up(users, items)
        margin, weight = settings.margin, settings.weight
        if self._algorithm.shared:
            loss = shared_loss(vectors, rows, settings.negatives, margin, weight)
        else:
            loss = independent_loss(vectors, rows, margin, weight)
        self._tables.update(loss, users.numel())
        return loss.detach()

    def _look_up(self, users: Tensor, items: Tensor) -> tuple[Tensor, Rows]:
        if self._tower is None:
            vectors, rows, _ = self._tables.look_up(users, items, None)
            return vectors, rows
        ids, present = self._histories.of(users)
        own, rows, past = self._tables.look_up(users, items, ids)
        assert past is not None
        return self._tower(own, past, present), rows

    def factors(self) -> tuple[Factors, Factors]:
        """Return what the user tower makes of each user, and the item factors, on the host."""
        users, items = (table.detach() for table in self._tables.factors())
        if self._tower is not None:
            users = self._user_vectors(self._tower, users, items)
        return users.cpu().numpy(), items.cpu().numpy()

    def _user_vectors(self, tower: UserTower, users: Tensor, items: Tensor) -> Tensor:
        vectors = torch.empty_like(users)
        everyone = torch.arange(len(users), device=self._device)
        with torch.no_grad():
            for some in torch.split(everyone, _USERS_AT_ONCE):
                ids, present = self._histories.of(some)
                rows = rows_of(items, ids)
                vectors[some] = tower(users.index_select(0, some), rows, present)
        return vectors

    def recipe(self) -> Facts:
        """Return how this variant trains."""
        return {
            **self._tables.recipe(),
            "batch": self._batch,
            "sampler": "shared by the batch" if self._algorithm.shared else "independent",
            "initial_std": INITIAL_STD,
        }

    def update_error(self, seed: int) -> float:
        """Return how far loss and gradient of one update are from the float64 reference.

        Of SGD the gradient is what the rows have moved by, over the learning rate.
        """
        errors = []
        for spare in update_check.SPARE_ITEMS:
            problem = update_check.ragged_problem(self._training.settings, seed, spare)
            negatives = update_check.draw_negatives(problem, self._algorithm.shared, spare)
            weights = tower_weights(problem) if has_tower(problem.settings) else None
            found = TorchTrainer(problem, self._algorithm, self._device).gradient(negatives)
            expected = update_check.expected_gradient(problem, weights, negatives)
            errors.append(update_check.largest_error(found, expected))
        # np.max keeps a NaN, which the built-in may lose.
        return float(np.max(errors))

    def gradient(self, negatives: npt.NDArray[np.int64]) -> update_check.Arrays:
        """Update from all interactions as one batch; return mean loss and gradient, by name.

        Args:
            negatives: int64 (interactions, negatives) ids, all rows alike where they are shared.

        Returns:
            `loss`, `users`, `items` and, with a tower, `weights`: all of them, flat, by name.
        """
        drawn = torch.from_numpy(negatives[0] if self._algorithm.shared else negatives.ravel())
        batch = self._users.numel()
        tables = [*self._tables.factors(), *([] if self._tower is None else self._tower.by_name())]
        before = [table.detach().clone() for table in tables]
        loss = self.update(self._users, self._items, drawn.to(self._device))
        slopes = (
            (old - table.detach()) / (self._tables.lr * batch) if table.grad is None else table.grad
            for old, table in zip(before, tables, strict=True)
        )
        users, items, *weights = (slope.cpu().numpy() for slope in slopes)
        found = {"loss": loss.cpu().numpy() / batch, "users": users, "items": items}
        if weights:
            found["weights"] = np.concatenate([weight.ravel() for weight in weights])
        return found


def tower_weights(training: Training) -> Weights:
    """Return the tower's initial weights, the same for equal seeds."""
    settings = training.settings
    return initial_weights(settings.dim, settings.pooling, training.seed)
