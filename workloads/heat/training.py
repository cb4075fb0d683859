"""What every variant trains from, and what the workload asks of a variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from harness.records import Facts
from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings
from workloads.heat.synthetic import generate

Factors = npt.NDArray[np.float32]

INITIAL_STD = 0.01
"""Standard deviation of the initial factors. SGD turns a row by steps inversely proportional to its
length squared: ten times longer rows learn nothing in the first epochs (docs/workloads/heat.md)."""

_SMALL_NEGATIVES = 16
"""Few, so that hardly ever a cosine is so near the margin that float32 takes the other side."""

_FEW_USERS, _FEW_ITEMS, _FEW_INTERACTIONS = 60, 128, 900
_FEW_NEGATIVES, _FEW_EPOCHS = 32, 3

_SMALL_LEARNING_RATE = 0.05
"""Moves rows of length 1 to 2 by far more than float32 rounds them."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training: its data, its settings and where it starts; alike for every variant.

    Attributes:
        user_factors: float32 (users, dim), initial; not to be written to.
        item_factors: float32 (items, dim), initial; not to be written to.
        seed: of shuffling and negatives.
    """

    interactions: Interactions
    settings: Settings
    user_factors: Factors
    item_factors: Factors
    seed: int

    def starting_from(
        self, user_factors: npt.NDArray[np.floating], item_factors: npt.NDArray[np.floating]
    ) -> Training:
        """Return the same training from other initial factors."""
        return replace(self, user_factors=user_factors, item_factors=item_factors)


class Trainer(Protocol):
    """An implementation on its device; a variant's `run` makes it from a training and a device."""

    def reset(self) -> None:
        """Go back to the initial weights, optimiser state and random streams."""
        ...

    def train(self) -> None:
        """Train all epochs, shuffling included."""
        ...

    def factors(self) -> tuple[Factors, Factors]:
        """Return user factors, (users, dim), and item factors, (items, dim), on the host."""
        ...

    def update_error(self, seed: int) -> float:
        """Return how far this implementation's update is from `workloads.heat.reference`.

        On a small problem of this training's dim, negatives, margin and weight: the largest
        difference over the largest magnitude.
        """
        ...


@runtime_checkable
class ChecksLoss(Protocol):
    """A trainer whose whole training the reference can repeat, draw for draw."""

    def loss_error(self, seed: int) -> float:
        """Return how far the loss after a small training is from the reference's, relative."""
        ...


@runtime_checkable
class Declares(Protocol):
    """A trainer that says how it trains."""

    def recipe(self) -> Facts:
        """Return optimiser, learning rate, batch (interactions of an update), sampler and more."""
        ...


@runtime_checkable
class TrainsPartly(Declares, Protocol):
    """A trainer that is so slow that a part of its training is timed."""

    def train_part(self, interactions: int) -> None:
        """Train on so many interactions of an epoch, or more: to the end of a batch.

        What takes as long for few as for all is left out.
        """
        ...


@runtime_checkable
class Counts(Protocol):
    """A trainer that counts what it does."""

    def counters(self) -> Mapping[str, float]:
        """Return means over the interactions of the last epoch."""
        ...


@runtime_checkable
class Compiles(Protocol):
    """A trainer whose code is compiled when it is made."""

    @property
    def compile_s(self) -> float:
        """Return how long that took, in s."""
        ...


def training(interactions: Interactions, settings: Settings, seed: int) -> Training:
    """Return a training with normally distributed initial factors drawn from `seed`."""
    random = np.random.default_rng(seed)
    user_factors, item_factors = (
        random.standard_normal((rows, settings.dim), np.float32) * np.float32(INITIAL_STD)
        for rows in (interactions.users, interactions.items)
    )
    user_factors.flags.writeable = False
    item_factors.flags.writeable = False
    return Training(interactions, settings, user_factors, item_factors, seed)


def learning_rate(settings: Settings, first: float, epoch: int) -> float:
    """Return the learning rate of an epoch: it falls in equal steps to `lr_end` of the first.

    Args:
        settings: with `epochs` and `lr_end`.
        first: the rate of the first epoch.
        epoch: from 0.
    """
    passed = epoch / max(1, settings.epochs - 1)
    return first * (1.0 - (1.0 - settings.lr_end) * passed)


def small_problem(settings: Settings, seed: int) -> Training:
    """Return a problem that the reference does in milliseconds, with negatives on both sides.

    Eight users with two of 24 items each, so that SGD meets every row several times. Rows lean
    towards one direction by different amounts: their cosines spread from 0 to 0.9, where
    independent rows of a large dim would all be near 0 and leave the loss of negatives untouched.
    """
    random = np.random.default_rng(seed)
    users, items, per_user = 8, 24, 2
    direction = random.standard_normal(settings.dim)

    def rows(count: int) -> Factors:
        lean = random.uniform(0, 3, (count, 1)) * direction
        row = (lean + random.standard_normal((count, settings.dim))) / np.sqrt(settings.dim)
        return np.asarray(row, np.float32)

    chosen = [np.sort(random.choice(items, per_user, replace=False)) for _ in range(users)]
    interactions = Interactions(
        users,
        items,
        train_ptr=np.arange(users + 1, dtype=np.int64) * per_user,
        train_items=np.concatenate(chosen).astype(np.int32),
        test_ptr=np.zeros(users + 1, np.int64),
        test_items=np.empty(0, np.int32),
    )
    small = replace(
        settings,
        negatives=min(settings.negatives, _SMALL_NEGATIVES),
        lr_sgd=_SMALL_LEARNING_RATE,
    )
    return Training(interactions, small, rows(users), rows(items), seed)


def learning_problem(settings: Settings, seed: int) -> Training:
    """Return a problem that the reference trains on in a second: three epochs, few negatives."""
    data = generate(_FEW_USERS, _FEW_ITEMS, _FEW_INTERACTIONS, seed)
    negatives = min(settings.negatives, _FEW_NEGATIVES)
    return training(data, replace(settings, negatives=negatives, epochs=_FEW_EPOCHS), seed)


def relative_error(found: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """Return the largest difference over the largest expected magnitude; NaN where any is NaN."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
