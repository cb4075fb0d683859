"""A small problem whose update the torch variants and the float64 reference both do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from workloads.heat import reference, simplex_reference
from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings
from workloads.heat.simplex_reference import Weights
from workloads.heat.training import Training, small_problem

Arrays = Mapping[str, npt.NDArray[np.floating]]

_COUNTS = (2, 5, 1, 4, 0, 3, 2, 0)
"""Training items of each user: longer and shorter than the history, none, and none at the end."""

_HISTORY = 3

_LEARNING_RATE = 1.0
"""Moves rows by more than they are long, so that rounding them hardly changes by how much."""


SPARE_ITEMS = (0, 1000)
"""Items that no one has met: batches with more and with fewer vectors than the table has rows take
different ways."""


def ragged_problem(settings: Settings, seed: int, spare: int) -> Training:
    """Return the small problem with users of few, many and no training items, for short histories.

    Args:
        settings: `history` is cut to 3.
        seed: of the draws.
        spare: items added to those that the users meet.
    """
    problem = small_problem(settings, seed)
    random = np.random.default_rng(seed)
    items = problem.interactions.items
    rows = [np.sort(random.choice(items, count, replace=False)) for count in _COUNTS]
    added = random.standard_normal((spare, settings.dim)).astype(np.float32)
    interactions = Interactions(
        users=len(_COUNTS),
        items=items + spare,
        train_ptr=np.concatenate([[0], np.cumsum(_COUNTS)]).astype(np.int64),
        train_items=np.concatenate(rows).astype(np.int32),
        test_ptr=np.zeros(len(_COUNTS) + 1, np.int64),
        test_items=np.empty(0, np.int32),
    )
    small = replace(
        problem.settings, history=min(settings.history, _HISTORY), lr_sgd=_LEARNING_RATE
    )
    return replace(
        problem,
        interactions=interactions,
        settings=small,
        item_factors=np.concatenate([problem.item_factors, added]),
    )


def draw_negatives(problem: Training, shared: bool, spare: int) -> npt.NDArray[np.int64]:
    """Return int64 (interactions, negatives) ids, all rows alike where they are shared.

    Args:
        problem: see `ragged_problem`.
        shared: whether all interactions have the same.
        spare: items at the end that are not drawn.
    """
    items = problem.interactions.items - spare
    shape = problem.interactions.train_items.size, problem.settings.negatives
    random = np.random.default_rng(problem.seed)
    if shared:
        return np.tile(random.integers(items, size=shape[1]), (shape[0], 1))
    return random.integers(items, size=shape)


def expected_gradient(
    problem: Training, weights: Weights | None, negatives: npt.NDArray[np.int64]
) -> Arrays:
    """Return the mean loss of all interactions as one batch, and its gradient, by name.

    Args:
        problem: its interactions are the batch, in their order.
        weights: of the user tower; None for matrix factorisation.
        negatives: int64 (interactions, negatives) ids.

    Returns:
        `loss`, `users`, `items` and, with a tower, `weights`: all of them, flat, by name.
    """
    settings, pairs = problem.settings, problem.interactions
    users = pairs.train_users()
    items = np.column_stack([pairs.train_items, negatives])
    factors = problem.user_factors, problem.item_factors
    if weights is None:
        loss, of_users, of_items = reference.batch_loss_and_gradient(
            *factors, users, items, settings.margin, settings.weight
        )
        return {"loss": np.array(loss), "users": of_users, "items": of_items}
    loss, of_users, of_items, of_weights = simplex_reference.batch_loss_and_gradient(
        *factors,
        weights,
        simplex_reference.histories(pairs, settings.history),
        users,
        items,
        settings.margin,
        settings.weight,
        settings.user_weight,
        settings.pooling,
    )
    flat = np.concatenate([of_weights[name].ravel() for name in sorted(of_weights)])
    return {"loss": np.array(loss), "users": of_users, "items": of_items, "weights": flat}


def largest_error(found: Arrays, expected: Arrays) -> float:
    """Return the largest difference over the largest magnitude of what has the same name.

    Where nothing is expected, as of the users' rows without a weight, it is the difference itself.
    """
    errors = []
    for name, wanted in expected.items():
        difference = np.abs(found[name] - wanted).max()
        errors.append(difference / (np.abs(wanted).max() or 1.0))
    # np.max keeps a NaN, which the built-in may lose.
    return float(np.max(errors))
