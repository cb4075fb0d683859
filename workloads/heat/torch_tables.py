"""The two ways the torch variants keep and change their tables: dense Adam and row-wise SGD."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from harness.records import Facts
from workloads.heat.torch_model import Rows, rows_of
from workloads.heat.torch_tower import UserTower
from workloads.heat.training import Factors, Training

_REPEATED = 3
"""Vectors a row from which on the sparse variant looks for the different rows: measured on a CPU,
4 % slower at 1.6 vectors a row and 25 % faster at 6.4."""


Looked = tuple[Tensor, Rows, Rows | None]
"""Vectors of users, of items and, where it was asked for, of histories."""


class Tables(Protocol):
    """User and item factors on the device, with what changes them."""

    @property
    def lr(self) -> float:
        """Return the learning rate of the first epoch."""
        ...

    def use_rate(self, lr: float) -> None:
        """Take the steps that follow with this learning rate."""
        ...

    def restart(self) -> None:
        """Go back to the initial factors and a new optimiser."""
        ...

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the tables themselves: (users, dim) and (items, dim)."""
        ...

    def look_up(self, users: Tensor, items: Tensor, history: Tensor | None) -> Looked:
        """Return the vectors, given ids, int64 (n,) each."""
        ...

    def update(self, loss: Tensor, batch: int) -> None:
        """Take one step, given the sum of the losses of the batch that was looked up last."""
        ...

    def recipe(self) -> Facts:
        """Return the optimiser and its learning rate."""
        ...


class AdamTables:
    """Adam over all rows, from the mean of the losses."""

    def __init__(self, training: Training, tower: UserTower | None, device: torch.device) -> None:
        """Put the initial factors on the device."""
        self._training = training
        self._users = nn.Parameter(_copy(training.user_factors, device))
        self._items = nn.Parameter(_copy(training.item_factors, device))
        self._tower = () if tower is None else tuple(tower.parameters())
        self._optimiser = self._new_optimiser()

    def _new_optimiser(self) -> torch.optim.Optimizer:
        # Fused: one pass over all rows instead of a dozen, on every device that torch knows.
        parameters = [self._users, self._items, *self._tower]
        return torch.optim.Adam(parameters, lr=self.lr, fused=True)

    @property
    def lr(self) -> float:
        """Return the learning rate of Adam in the first epoch."""
        return self._training.settings.lr_adam

    def use_rate(self, lr: float) -> None:
        """Take the steps that follow with this learning rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = lr

    def restart(self) -> None:
        """Go back to the initial factors and a new Adam."""
        with torch.no_grad():
            self._users.copy_(_copy(self._training.user_factors, self._users.device))
            self._items.copy_(_copy(self._training.item_factors, self._items.device))
        self._optimiser = self._new_optimiser()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the tables."""
        return self._users, self._items

    def look_up(self, users: Tensor, items: Tensor, history: Tensor | None) -> Looked:
        """Return the vectors; of many items the whole table, which is then the smaller."""
        past = None if history is None else rows_of(self._items, history)
        return self._users.index_select(0, users), rows_of(self._items, items), past

    def update(self, loss: Tensor, batch: int) -> None:
        """Take one step of Adam."""
        self._optimiser.zero_grad()
        (loss / batch).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()

    def recipe(self) -> Facts:
        """Return the optimiser and its learning rate."""
        return {"optimiser": "Adam, dense", "lr": self.lr}


class SgdTables:
    """SGD on the rows of the batch alone, from the sum of the losses.

    Rows are taken out of the tables, differentiated and added back: what torch's sparse gradients
    do, but for the sorting and summing of equal rows before they are added.
    """

    def __init__(self, training: Training, tower: UserTower | None, device: torch.device) -> None:
        """Put the initial factors on the device."""
        self._training = training
        self._users = _copy(training.user_factors, device)
        self._items = _copy(training.item_factors, device)
        self._tower = () if tower is None else tuple(tower.parameters())
        self._rate = self.lr
        self._taken: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def lr(self) -> float:
        """Return the learning rate of SGD in the first epoch."""
        return self._training.settings.lr_sgd

    def use_rate(self, lr: float) -> None:
        """Take the steps that follow with this learning rate."""
        self._rate = lr

    def restart(self) -> None:
        """Go back to the initial factors."""
        self._users.copy_(_copy(self._training.user_factors, self._users.device))
        self._items.copy_(_copy(self._training.item_factors, self._items.device))
        self._rate = self.lr

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the tables."""
        return self._users, self._items

    def look_up(self, users: Tensor, items: Tensor, history: Tensor | None) -> Looked:
        """Return the vectors; where items are many to a row, of the different rows only."""
        self._taken.clear()
        of_users = self._take(self._users, users)
        if history is None:
            if items.numel() < _REPEATED * self._items.shape[0]:
                return of_users, Rows(self._take(self._items, items), None), None
            different, places = torch.unique(items, return_inverse=True)
            return of_users, Rows(self._take(self._items, different), places), None
        different, places = torch.unique(torch.cat([items, history]), return_inverse=True)
        rows = self._take(self._items, different)
        of_items, of_history = places.split([items.numel(), history.numel()])
        return of_users, Rows(rows, of_items), Rows(rows, of_history)

    def _take(self, table: Tensor, ids: Tensor) -> Tensor:
        rows = table.index_select(0, ids).requires_grad_()
        self._taken.append((table, ids, rows))
        return rows

    def update(self, loss: Tensor, batch: int) -> None:
        """Take one step of SGD."""
        loss.backward()  # type: ignore[no-untyped-call]
        for table, ids, rows in self._taken:
            assert rows.grad is not None
            places = ids.unsqueeze(1).expand_as(rows)
            # On a CPU faster than index_add_: 32 against 56 ms for 263,168 rows of 128.
            table.scatter_add_(0, places, rows.grad.mul_(-self._rate))
        with torch.no_grad():
            for parameter in self._tower:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=self._rate)
                    parameter.grad = None

    def recipe(self) -> Facts:
        """Return the optimiser and its learning rate."""
        return {"optimiser": "SGD, rows of the batch", "lr": self.lr}


def _copy(factors: Factors, device: torch.device) -> Tensor:
    # A copy: torch would share the memory of, and warn about, a read-only array.
    return torch.from_numpy(factors.copy()).to(device)
