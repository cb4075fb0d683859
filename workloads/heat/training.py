"""What every variant trains from, and what the workload asks of a variant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings

Factors = npt.NDArray[np.float32]

INITIAL_STD = 0.01
"""Standard deviation of the initial factors. SGD turns a row by steps inversely proportional to its
length squared: ten times longer rows learn nothing in the first epochs (docs/workloads/heat.md)."""

_SMALL_NEGATIVES = 16
"""Few, so that hardly ever a cosine is so near the margin that float32 takes the other side."""

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


def relative_error(found: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """Return the largest difference over the largest expected magnitude; NaN where any is NaN."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
