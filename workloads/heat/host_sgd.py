"""Stochastic gradient descent on the host's threads, which share the rows without locks.

Hogwild (Niu et al., NIPS 2011): each thread takes a part of the shuffled interactions and writes to
the same rows as the others. Results therefore differ a little from run to run; on one thread they
are the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt
from numba.core import event

from harness.records import Facts
from workloads.heat.evaluate import mean_loss
from workloads.heat.pairs import Pairs, packed
from workloads.heat.random_stream import shuffle
from workloads.heat.settings import Settings
from workloads.heat.training import (
    INITIAL_STD,
    Factors,
    Training,
    learning_problem,
    learning_rate,
    relative_error,
    small_problem,
)

_COMPILING = event.TimingListener()
event.register("numba:compile", _COMPILING)


class Epoch(Protocol):
    """Trains on the interactions from `first` up to `last` once, in place; releases the GIL."""

    def __call__(
        self,
        users: Factors,
        items: Factors,
        pairs: Pairs,
        first: int,
        last: int,
        negatives: int,
        rate: np.float32,
        margin: np.float32,
        weight: np.float32,
        seed: int,
        thread: int,
        told: npt.NDArray[np.float64],
    ) -> None:
        """Write loss, rows scored anew and active negatives, in all, to `told[thread]`."""
        ...


Expected = Callable[[Training, Pairs, int, float], tuple[npt.NDArray[np.float64], ...]]
"""What the reference makes of a training, shuffled pairs, a seed and a learning rate: the rows of
users and of items after one epoch on one thread."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What tells one variant from another.

    Attributes:
        compiled: makes the epoch for settings and a row length.
        expected: the same epoch in float64.
        row_multiple: rows are padded with zeros to a multiple of this.
        facts: sampler, batch and whatever else declares the variant.
        group_bytes: the rows of users that are trained on together; 0 for an order without groups.
    """

    compiled: Callable[[Settings, int], Epoch]
    expected: Expected
    row_multiple: int
    facts: Callable[[Settings], Facts]
    group_bytes: int = 0


class HostSgd:
    """Trains with an algorithm on as many threads as numba is given (`NUMBA_NUM_THREADS`)."""

    def __init__(self, training: Training, algorithm: Algorithm) -> None:
        """Copy the initial rows, padded, and compile the epoch."""
        self._training = training
        self._algorithm = algorithm
        self._users = padded(training.user_factors, algorithm.row_multiple)
        self._items = padded(training.item_factors, algorithm.row_multiple)
        self._pairs = packed(training.interactions)
        self._order = np.empty_like(self._pairs)
        self._threads = numba.get_num_threads()
        self._told = np.zeros((self._threads, 3))
        self._epoch = algorithm.compiled(training.settings, self._users.shape[1])
        before = _compiling_s()
        # A call on no interactions compiles without training.
        self._call(0, 0, 0.0, 0, 0)
        self._compile_s = _compiling_s() - before
        self._pool = ThreadPoolExecutor(self._threads)

    @property
    def compile_s(self) -> float:
        """Return how long numba compiled, in s; 0 where every kernel came from its cache."""
        return self._compile_s

    def recipe(self) -> Facts:
        """Return what declares the variant."""
        settings = self._training.settings
        return {
            "optimiser": "SGD, sum over the interactions",
            "lr": settings.lr_sgd,
            "initial_std": INITIAL_STD,
            "groups_of_users": self._groups,
            **self._algorithm.facts(settings),
        }

    def counters(self) -> Mapping[str, float]:
        """Return means over the interactions of the last epoch."""
        loss, scored, active = (self._told.sum(axis=0) / self._pairs.size).tolist()
        return {"training_loss": loss, "negatives_scored": scored, "negatives_active": active}

    def reset(self) -> None:
        """Go back to the initial factors; every training draws the same random streams."""
        dim = self._training.settings.dim
        self._users[:, :dim] = self._training.user_factors
        self._items[:, :dim] = self._training.item_factors

    def train(self) -> None:
        """Train all epochs, each in a new order with new negatives."""
        settings, count = self._training.settings, self._pairs.size
        random = np.random.default_rng(self._training.seed)
        for epoch in range(settings.epochs):
            shuffle(self._pairs, self._order, self._groups, int(random.integers(2**62)))
            seed = int(random.integers(2**62))
            rate = learning_rate(settings, settings.lr_sgd, epoch)
            parts = [
                self._pool.submit(
                    self._call, count * thread // self._threads,
                    count * (thread + 1) // self._threads, rate, seed, thread,
                )
                for thread in range(self._threads)
            ]  # fmt: skip
            for part in parts:
                part.result()

    def factors(self) -> tuple[Factors, Factors]:
        """Return views of the rows; the next step writes to them."""
        dim = self._training.settings.dim
        return self._users[:, :dim], self._items[:, :dim]

    def update_error(self, seed: int) -> float:
        """Return how far one epoch on one thread is from the reference, negatives replayed."""
        return replay_error(self._algorithm, small_problem(self._training.settings, seed), seed)

    def loss_error(self, seed: int) -> float:
        """Return how far the loss after a small training is from the reference's, relative."""
        problem = learning_problem(self._training.settings, seed)
        reached = replayed(self._algorithm, problem, problem.settings.epochs, seed)
        found, expected = (loss_of_all(problem, *factors) for factors in reached)
        return abs(found - expected) / expected

    @property
    def _groups(self) -> int:
        """Groups of users whose rows are as large as the algorithm wants them."""
        wanted = self._algorithm.group_bytes
        return max(1, round(self._users.nbytes / wanted)) if wanted else 1

    def _call(self, first: int, last: int, rate: float, seed: int, thread: int) -> None:
        settings = self._training.settings
        self._epoch(
            self._users, self._items, self._order, first, last, *_numbers(settings, rate), seed,
            thread, self._told,
        )  # fmt: skip


def _compiling_s() -> float:
    """Return how long numba has compiled in this process, in s."""
    return float(_COMPILING.duration) if _COMPILING.done else 0.0


def _numbers(settings: Settings, rate: float) -> tuple[int, np.float32, np.float32, np.float32]:
    """Return what an epoch takes from negatives to weight."""
    margin, weight = np.float32(settings.margin), np.float32(settings.weight)
    return settings.negatives, np.float32(rate), margin, weight


def replay_error(algorithm: Algorithm, problem: Training, seed: int) -> float:
    """Return how far one epoch of a problem moves the rows from where the reference moves them."""
    found, expected = replayed(algorithm, problem, 1, seed)
    start = problem.user_factors, problem.item_factors
    return max(
        relative_error(after - before, wanted - before)
        for before, after, wanted in zip(start, found, expected, strict=True)
    )


def replayed(
    algorithm: Algorithm, problem: Training, epochs: int, seed: int
) -> tuple[tuple[Factors, Factors], tuple[npt.NDArray[np.float64], ...]]:
    """Return what one thread's epochs and what the reference's make of a problem, draws alike."""
    settings, pairs = problem.settings, packed(problem.interactions)
    order = np.empty_like(pairs)
    users, items = (
        padded(factors, algorithm.row_multiple)
        for factors in (problem.user_factors, problem.item_factors)
    )
    epoch = algorithm.compiled(settings, users.shape[1])
    told = np.zeros((1, 3))
    expected: tuple[npt.NDArray[np.float64], ...] = (
        problem.user_factors.astype(np.float64),
        problem.item_factors.astype(np.float64),
    )
    for number in range(epochs):
        shuffle(pairs, order, 1, seed + number)
        rate = learning_rate(settings, settings.lr_sgd, number)
        numbers = _numbers(settings, rate)
        epoch(users, items, order, 0, order.size, *numbers, seed + number, 0, told)
        expected = algorithm.expected(problem.starting_from(*expected), order, seed + number, rate)
    dim = settings.dim
    return (users[:, :dim], items[:, :dim]), expected


def padded(factors: Factors, multiple: int) -> Factors:
    """Return the rows with zeros added, up to a multiple of so many columns."""
    rows, dim = factors.shape
    wider = np.zeros((rows, -(-dim // multiple) * multiple), np.float32)
    wider[:, :dim] = factors
    return wider


def loss_of_all(
    problem: Training, users: npt.NDArray[np.floating], items: npt.NDArray[np.floating]
) -> float:
    """Return the mean loss over all interactions and all items as negatives."""
    data, settings = problem.interactions, problem.settings
    everything = np.broadcast_to(np.arange(data.items), (data.train_items.size, data.items))
    return mean_loss(
        users, items, data.train_users(), np.column_stack([data.train_items, everything]),
        settings.margin, settings.weight,
    )  # fmt: skip
