"""Variant `numba`: SGD one interaction at a time, forward and backward fused, threads unlocked.

After HEAT (Zhang et al., ICS 2023, section 4): the cosine loss is a sum over negatives, so each
negative's row is read once, scored, and updated while it is in cache; no gradient is ever stored
but that of the user's row. Threads share the factors without locks (Hogwild; Niu et al., NIPS
2011): with more than one, results differ from run to run by design.

Importing this module compiles the kernels, so that no step holds their compilation.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
from numba import njit, prange
from numba.core import event

from harness.protocols import Device
from workloads.heat import reference
from workloads.heat.settings import Settings
from workloads.heat.training import Factors, Trainer, Training, relative_error, small_problem

_COMPILING = event.TimingListener()
event.register("numba:compile", _COMPILING)

_float = np.float32
_uint = np.uint64
_NORM_FLOOR_SQUARED = np.float32(reference.NORM_FLOOR**2)


@njit("uint64(uint64, uint64)", cache=True)
def _first_state(seed: np.uint64, thread: np.uint64) -> np.uint64:
    """Return a random state that is never 0 (splitmix64; Steele et al., OOPSLA 2014)."""
    mixed = (_uint(seed) + _uint(1)) * _uint(0x9E3779B97F4A7C15) + _uint(thread)
    mixed = (mixed ^ (mixed >> _uint(30))) * _uint(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> _uint(27))) * _uint(0x94D049BB133111EB)
    return (mixed ^ (mixed >> _uint(31))) | _uint(1)


@njit("uint64(uint64)", cache=True, inline="always")
def _next_state(state: np.uint64) -> np.uint64:
    """Advance xorshift64 (Marsaglia, 2003)."""
    state ^= state << _uint(13)
    state ^= state >> _uint(7)
    state ^= state << _uint(17)
    return state


@njit("int64(uint64, int64)", cache=True, inline="always")
def _item_of(state: np.uint64, items: int) -> np.int64:
    """Map the state's upper 32 bits to 0 ... items - 1 by multiplication, not division."""
    return np.int64(((state >> _uint(32)) * _uint(items)) >> _uint(32))


@njit("int32[:,:](int64, int64, int64, uint64)", cache=True)
def first_negatives(
    interactions: int, negatives: int, items: int, seed: int
) -> npt.NDArray[np.int32]:
    """Return int32 (interactions, negatives): what the epoch's first thread draws, in its order."""
    drawn = np.empty((interactions, negatives), np.int32)
    state = _first_state(_uint(seed), _uint(0))
    for interaction in range(interactions):
        for place in range(negatives):
            state = _next_state(state)
            drawn[interaction, place] = _item_of(state, items)
    return drawn


@njit(
    "void(float32[:,::1], float32[:,::1], int32[::1], int32[::1], int64[::1],"
    " int64, float32, float32, float32, uint64, int64)",
    parallel=True,
    fastmath=True,
    error_model="numpy",
    cache=True,
)
def epoch(
    user_factors: Factors,
    item_factors: Factors,
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    order: npt.NDArray[np.int64],
    negatives: int,
    learning_rate: float,
    margin: float,
    weight: float,
    seed: int,
    threads: int,
) -> None:
    """Train on every interaction once, in place.

    Args:
        user_factors: float32 (users, dim).
        item_factors: float32 (items, dim).
        users: int32 (interactions,).
        items: int32 (interactions,): the positives.
        order: int64 (interactions,): a permutation; each thread takes a contiguous part of it.
        negatives: drawn for each interaction, uniformly over all items.
        learning_rate: of SGD.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.
        seed: of the negatives.
        threads: number of parts; with 1 the result is reproducible.
    """
    dim = user_factors.shape[1]
    all_items = item_factors.shape[0]
    slope = _float(weight / negatives)
    for thread in prange(threads):
        state = _first_state(_uint(seed), _uint(thread))
        direction = np.empty(dim, _float)
        owed = np.empty(dim, _float)
        first = order.size * thread // threads
        last = order.size * (thread + 1) // threads
        for at in range(first, last):
            user = user_factors[users[order[at]]]
            item = item_factors[items[order[at]]]
            user_square = _float(0)
            item_square = _float(0)
            product = _float(0)
            for d in range(dim):
                user_square += user[d] * user[d]
                item_square += item[d] * item[d]
                product += user[d] * item[d]
            user_scale = _float(1) / np.sqrt(max(user_square, _NORM_FLOOR_SQUARED))
            item_scale = _float(1) / np.sqrt(max(item_square, _NORM_FLOOR_SQUARED))
            similarity = product * user_scale * item_scale
            # `owed` sums slope * item direction; `along` is the part of it along the user, which
            # the cosine's gradient leaves out.
            along = -similarity
            rate = learning_rate * item_scale
            for d in range(dim):
                direction[d] = user[d] * user_scale
                owed[d] = -item[d] * item_scale
                item[d] += rate * (direction[d] - similarity * item_scale * item[d])
            for _ in range(negatives):
                state = _next_state(state)
                item = item_factors[_item_of(state, all_items)]
                item_square = _float(0)
                product = _float(0)
                for d in range(dim):
                    item_square += item[d] * item[d]
                    product += item[d] * direction[d]
                item_scale = _float(1) / np.sqrt(max(item_square, _NORM_FLOOR_SQUARED))
                similarity = product * item_scale
                if similarity > margin:
                    along += slope * similarity
                    share = slope * item_scale
                    rate = learning_rate * share
                    shrink = similarity * item_scale
                    for d in range(dim):
                        value = item[d]
                        owed[d] += share * value
                        item[d] = value - rate * (direction[d] - shrink * value)
            rate = learning_rate * user_scale
            for d in range(dim):
                user[d] -= rate * (owed[d] - along * direction[d])


class NumbaSgd:
    """Trains with `epoch` on as many threads as numba is given (`NUMBA_NUM_THREADS`)."""

    def __init__(self, training: Training, device: Device) -> None:
        """Copy the initial factors; the device is the host, as `requires` demands."""
        self._training = training
        self._users = training.interactions.train_users()
        self._user_factors = training.user_factors.copy()
        self._item_factors = training.item_factors.copy()

    @property
    def compile_s(self) -> float:
        """Return how long numba compiled, in s; 0 where every kernel came from its cache."""
        return float(_COMPILING.duration) if _COMPILING.done else 0.0

    def reset(self) -> None:
        """Go back to the initial factors; every training draws the same random streams."""
        self._user_factors[:] = self._training.user_factors
        self._item_factors[:] = self._training.item_factors

    def train(self) -> None:
        """Train all epochs, each in a new order with new negatives."""
        settings = self._training.settings
        random = np.random.default_rng(self._training.seed)
        for _ in range(settings.epochs):
            _run_epoch(
                self._training,
                self._user_factors,
                self._item_factors,
                self._users,
                order=random.permutation(self._users.size),
                seed=int(random.integers(2**62)),
                threads=numba.get_num_threads(),
            )

    def factors(self) -> tuple[Factors, Factors]:
        """Return the factors themselves; the next step writes to them."""
        return self._user_factors, self._item_factors

    def update_error(self, seed: int) -> float:
        """Return how far one epoch on one thread is from the reference, negatives replayed."""
        problem = small_problem(self._training.settings, seed)
        settings, pairs = problem.settings, problem.interactions
        users = pairs.train_users()
        order = np.random.default_rng(seed).permutation(users.size)
        found = problem.user_factors.copy(), problem.item_factors.copy()
        _run_epoch(problem, *found, users, order=order, seed=seed, threads=1)
        negatives = first_negatives(users.size, settings.negatives, pairs.items, seed)
        expected = reference.sgd_epoch(
            problem.user_factors,
            problem.item_factors,
            users[order],
            np.column_stack([pairs.train_items[order], negatives]),
            settings.lr_sgd,
            settings.margin,
            settings.weight,
        )
        return max(
            relative_error(after - before, wanted - before)
            for before, after, wanted in zip(
                (problem.user_factors, problem.item_factors), found, expected, strict=True
            )
        )


def _run_epoch(
    training: Training,
    user_factors: Factors,
    item_factors: Factors,
    users: npt.NDArray[np.int32],
    *,
    order: npt.NDArray[np.int64],
    seed: int,
    threads: int,
) -> None:
    settings: Settings = training.settings
    epoch(
        user_factors,
        item_factors,
        users,
        training.interactions.train_items,
        order,
        settings.negatives,
        settings.lr_sgd,
        settings.margin,
        settings.weight,
        seed,
        threads,
    )


def run(training: Training, device: Device) -> Trainer:
    """Return the trainer of this variant."""
    return NumbaSgd(training, device)
