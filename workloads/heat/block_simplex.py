"""SimpleX with a mean pool in the variants `block` and `block-float32`.

A user's vector is z = g e_u + (1 - g) W p, where p is the mean of the rows of the user's history
(SimpleX; Mao et al., CIKM 2021, section 3.1). Positives and shared negatives are trained on as in
`block.py`, with z in the place of the user's row. But z is made of up to a hundred rows, so what it
is to move by is collected, as HEAT does (Zhang et al., ICS 2023, section 4.5), and handed back at
the block's end. A block goes in this order:

1. all z, from the rows and W of the block's start;
2. each positive turns its row at once, one interaction after the other, and adds to the slope of z;
3. negatives turn their rows, a panel at a time, and add to the slopes;
4. of a slope s, e_u loses lr g s, each item of the history lr (1 - g) / |H| W^T s, and W loses
   lr (1 - g) times the sum of all s p^T. W^T is still that of the block's start.

Reading and writing the history costs far more than all else, so a user who occurs several times in
a block is read and written once: the result is the same. `_GROUP_BYTES` makes that frequent.

The item that is to be found is part of the history, as in the released code of SimpleX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError
from harness.records import Facts
from workloads.heat import block, simplex_reference
from workloads.heat.block_kernel import ROW_MULTIPLE, block_epoch
from workloads.heat.block_simplex_kernel import Tower, new_scratch, start_block
from workloads.heat.host_sgd import (
    Algorithm,
    Epoch,
    Expected,
    HostSgd,
    loss_of_all,
    padded,
    replayed,
)
from workloads.heat.instruction_sets import InstructionSet
from workloads.heat.pairs import LOW, Pairs
from workloads.heat.reference import Floats
from workloads.heat.settings import Settings
from workloads.heat.training import Factors, Training, learning_problem
from workloads.heat.update_check import Arrays, largest_error, ragged_problem

_GROUP_BYTES = 1 << 19
"""Rows of users that are trained on together. On Gowalla this costs no recall (.161, as without
groups); a quarter of it costs .004."""

_SMALL_BLOCK = 8
"""Interactions a block of the small problem: so that it has several."""

_SMALL_RATE = 0.05
"""Moves the rows of the small problem by far more than float32 rounds them."""

_USERS_AT_ONCE = 4096
"""Users whose vectors are made together for a ranking: 6 MiB of scratch with 128 columns."""

Float64s = npt.NDArray[np.float64]


class BlockSimplex:
    """Trains the rows by `HostSgd` and W with them."""

    def __init__(self, training: Training, kind: InstructionSet) -> None:
        """Copy the initial rows and weights, and compile the epoch."""
        self._training = training
        self._kind = kind
        if training.settings.pooling != simplex_reference.MEAN:
            raise AssayError(
                f"pooling={training.settings.pooling} is not compiled; use pooling=mean, "
                "or a torch variant"
            )
        self._tower = new_tower(training)
        self._sgd = HostSgd(training, algorithm(kind, self._tower, Reference(training)))

    @property
    def compile_s(self) -> float:
        """Return how long numba compiled, in s."""
        return self._sgd.compile_s

    def recipe(self) -> Facts:
        """Return what declares the variant."""
        return self._sgd.recipe()

    def counters(self) -> Mapping[str, float]:
        """Return means over the interactions of the last epoch."""
        return self._sgd.counters()

    def reset(self) -> None:
        """Go back to the initial rows and weights."""
        self._sgd.reset()
        self._tower.value[:] = new_tower(self._training).value

    def train(self) -> None:
        """Train all epochs."""
        self._sgd.train()

    def factors(self) -> tuple[Factors, Factors]:
        """Return users' vectors, and a view of the items' rows."""
        users, items = self._sgd.factors()
        return user_vectors(self._tower, users, items), items

    def update_error(self, seed: int) -> float:
        """Return how far one epoch on one thread is from the reference, negatives replayed."""
        problem = small_blocks(self._training.settings, seed)
        tower, slow = new_tower(problem), Reference(problem)
        start = _named(problem, tower.value, problem.user_factors, problem.item_factors)
        fast = algorithm(self._kind, tower, slow)
        rows, slow_rows = replayed(fast, problem, 1, seed)
        found = _named(problem, tower.value, *rows)
        expected = _named(problem, slow.value, *slow_rows)
        return largest_error(_moved(start, found), _moved(start, expected))

    def loss_error(self, seed: int) -> float:
        """Return how far the loss after a small training is from the reference's, relative."""
        problem = learning_problem(self._training.settings, seed)
        tower, slow = new_tower(problem), Reference(problem)
        fast = algorithm(self._kind, tower, slow)
        (users, items), (slow_users, slow_items) = replayed(
            fast, problem, problem.settings.epochs, seed
        )
        found = loss_of_all(problem, user_vectors(tower, users, items), items)
        expected = loss_of_all(problem, slow.user_vectors(slow_users, slow_items), slow_items)
        return abs(found - expected) / expected


class Reference:
    """The epoch in float64, which goes on from where the last left its weights."""

    def __init__(self, training: Training) -> None:
        """Start from the initial weights."""
        self._training = training
        self.value = _initial_value(training).astype(np.float64)

    def __call__(
        self, training: Training, pairs: Pairs, seed: int, rate: float
    ) -> tuple[Float64s, ...]:
        """Return users and items after an epoch; see `host_sgd.Expected`."""
        settings, items = training.settings, training.interactions.items
        size, panel = block.block_of(settings), block.panel_of(settings)
        negatives = block.drawn(-(-pairs.size // size), settings.negatives, panel, items, seed)
        of_users, of_items, weights = simplex_reference.block_epoch(
            training.user_factors,
            training.item_factors,
            {"value": self.value},
            self._histories(),
            pairs >> 32,
            pairs & LOW,
            negatives,
            rate,
            settings.margin,
            settings.weight,
            settings.user_weight,
            simplex_reference.MEAN,
            block=size,
            panel=panel,
        )
        self.value = weights["value"]
        return of_users, of_items

    def _histories(self) -> list[npt.NDArray[np.integer]]:
        data, most = self._training.interactions, self._training.settings.history
        return simplex_reference.histories(data, most)

    def user_vectors(self, users: Float64s, items: Float64s) -> Float64s:
        """Return float64 (users, dim)."""
        settings = self._training.settings
        return np.array(
            [
                simplex_reference.user_vector(
                    user, items[past], {"value": self.value}, settings.user_weight, settings.pooling
                )
                for user, past in zip(users, self._histories(), strict=True)
            ]
        )


def algorithm(kind: InstructionSet, tower: Tower, slow: Expected) -> Algorithm:
    """Return the algorithm that trains a tower's weights in place.

    Args:
        kind: how negatives are filtered.
        tower: of the interactions that are trained on.
        slow: the reference.
    """
    return Algorithm(
        partial(_compiled, kind, tower),
        slow,
        ROW_MULTIPLE,
        partial(block.facts, kind),
        _GROUP_BYTES,
    )


def _compiled(kind: InstructionSet, tower: Tower, settings: Settings, dim: int) -> Epoch:
    size, panel = block.block_of(settings), block.panel_of(settings)
    return partial(block_epoch(dim, kind, tower), size, panel)


def new_tower(training: Training) -> Tower:
    """Return a tower with the initial weights, padded as the rows are."""
    settings, data = training.settings, training.interactions
    value = padded(_initial_value(training), ROW_MULTIPLE)
    square = np.zeros((value.shape[1], value.shape[1]), np.float32)
    square[: settings.dim] = value
    # Longer than any history would only make the scratch memory larger.
    most = min(settings.history, int(np.diff(data.train_ptr).max()))
    return Tower(np.float32(settings.user_weight), most, data.train_ptr, data.train_items, square)


def user_vectors(tower: Tower, users: Factors, items: Factors) -> Factors:
    """Return float32 (users, dim): what the tower makes of each user.

    Args:
        tower: of these users.
        users: float32 (users, dim), rows.
        items: float32 (items, dim), rows.
    """
    dim = users.shape[1]
    own, past = (padded(rows, ROW_MULTIPLE) for rows in (users, items))
    vectors = tower.user_weight * own
    # A user without a history has an empty pool.
    ids = np.flatnonzero(np.diff(tower.first_of)).astype(np.int64)
    scratch = new_scratch(_USERS_AT_ONCE, len(users), tower.most, own.shape[1])
    for start in range(0, ids.size, _USERS_AT_ONCE):
        some = ids[start : start + _USERS_AT_ONCE]
        count = start_block(tower, scratch, own, past, some << 32, 0, some.size)
        vectors[some] = scratch.vectors[:count]
    return vectors[:, :dim]


def small_blocks(settings: Settings, seed: int) -> Training:
    """Return a small problem of several blocks, whose users have few, many and no items."""
    problem = ragged_problem(settings, seed, spare=0)
    small = replace(problem.settings, batch=_SMALL_BLOCK, lr_sgd=_SMALL_RATE)
    return replace(problem, settings=small)


def _initial_value(training: Training) -> Factors:
    settings = training.settings
    weights = simplex_reference.initial_weights(settings.dim, simplex_reference.MEAN, training.seed)
    return weights["value"]


def _named(problem: Training, value: Floats, users: Floats, items: Floats) -> Arrays:
    dim = problem.settings.dim
    return {"users": users.copy(), "items": items.copy(), "weights": value[:dim, :dim].copy()}


def _moved(start: Arrays, end: Arrays) -> Arrays:
    return {name: end[name] - rows for name, rows in start.items()}
