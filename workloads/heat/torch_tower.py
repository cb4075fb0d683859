"""The user tower of SimpleX in torch: a user's own row and a pool of the items in the history."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads.heat.interactions import Interactions
from workloads.heat.simplex_reference import MEAN, USER_ATTENTION, Weights
from workloads.heat.torch_model import Rows


class Histories:
    """The items that stand for each user, on the device: the first of the training items."""

    def __init__(self, interactions: Interactions, most: int, device: torch.device) -> None:
        """Keep where each user's items begin, and how many there are up to `most`."""
        counts = np.minimum(np.diff(interactions.train_ptr), most)
        self._items = torch.from_numpy(interactions.train_items.astype(np.int64)).to(device)
        self._first = torch.from_numpy(interactions.train_ptr[:-1].copy()).to(device)
        self._counts = torch.from_numpy(counts).to(device)
        self._steps = torch.arange(int(counts.max()), device=device)

    def of(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids, int64 (batch * length,), and which of them are no padding, (batch, length).

        Args:
            users: int64 (batch,) ids.
        """
        counts = self._counts.index_select(0, users).unsqueeze(1)
        # Padding repeats the user's last item: no other row is read for it.
        steps = torch.minimum(self._steps, (counts - 1).clamp_min(0))
        places = self._first.index_select(0, users).unsqueeze(1) + steps
        # Users without items at the end of the table begin where the items end.
        places = places.flatten().clamp_max(self._items.numel() - 1)
        return self._items.index_select(0, places), self._steps < counts


class UserTower(nn.Module):
    """g * e_u + (1 - g) * W_v * pool(history), after SimpleX (Mao et al., CIKM 2021, section 3.1).

    Here the history holds the very item that is to be found, as in the released code; padding has
    no share in an attention, there it has; there is no dropout.
    """

    def __init__(
        self, weights: Weights, user_weight: float, pooling: str, device: torch.device
    ) -> None:
        """Start from the weights; `workloads.heat.simplex_reference` says which there are."""
        super().__init__()
        self.weights = nn.ParameterDict(
            {name: torch.from_numpy(value.copy()).to(device) for name, value in weights.items()}
        )
        self._user_weight = user_weight
        self._pooling = pooling

    def restart(self, weights: Weights) -> None:
        """Go back to the weights."""
        with torch.no_grad():
            for name, value in weights.items():
                self.weights[name].copy_(torch.from_numpy(value.copy()))

    def by_name(self) -> list[nn.Parameter]:
        """Return the weights in the order of their names."""
        return [self.weights[name] for name in sorted(self.weights.keys())]

    def forward(self, users: Tensor, history: Rows, present: Tensor) -> Tensor:
        """Return (batch, dim).

        Args:
            users: (batch, dim), the users' own rows.
            history: batch * length vectors.
            present: bool (batch, length); False for padding.
        """
        places = history.places
        if places is None:
            places = torch.arange(present.numel(), device=present.device)
        # Sums rows as it reads them: a copy of them all would be batch * length rows.
        pooled = functional.embedding_bag(
            places.view(present.shape),
            history.values,
            mode="sum",
            per_sample_weights=self._shares(users, history, present),
        )
        of_history = functional.linear(pooled, self.weights["value"])
        return self._user_weight * users + (1 - self._user_weight) * of_history

    def _shares(self, users: Tensor, history: Rows, present: Tensor) -> Tensor:
        """Return (batch, length): the share of each item in its pool; of padding, 0."""
        kept = present.to(users.dtype)
        if self._pooling == MEAN:
            return kept / kept.sum(dim=1, keepdim=True).clamp_min(1)
        # Keys and scores that depend on the item alone are computed once a row, not once a place.
        keys = torch.tanh(
            functional.linear(history.values, self.weights["key"], self.weights["key_bias"])
        )
        if self._pooling == USER_ATTENTION:
            of_places = history.select(keys).view(*present.shape, -1)
            scores = (of_places * users.unsqueeze(1)).sum(dim=2)
        else:
            scores = history.select(keys @ self.weights["query"]).view(present.shape)
        # A finite floor: the shares of a user without history would be NaN, and are 0 with `kept`.
        scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=1) * kept
