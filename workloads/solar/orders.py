"""The order of each epoch, known before the training begins, and what a training may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar.epoch_plan import Training

_MOST = {"samples": 2**30, "batch": 2**30, "ranks": 2**20}
"""Places, slots and ranks are told in int32, and sums of two of them are made."""

_LONGEST = 2**63 - 1
"""What a plan file can tell of any number."""


def epoch_order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    """Return the order in which an epoch trains on the samples.

    Any epoch's order can be had by itself, so that a training can be resumed at any epoch. NumPy
    may change its generators between releases: the order is the same for the same NumPy.

    Args:
        seed: of the training, from 0.
        epoch: from 0.
        samples: how many there are.

    Returns:
        A permutation of 0 to samples - 1, int64.
    """
    stream = np.random.SeedSequence([seed, epoch])
    return np.random.default_rng(stream).permutation(samples)


def checked(training: Training) -> Training:
    """Return the training as it is.

    Raises:
        AssayError: a number in it is out of range.
    """
    least = {"samples": 1, "batch": 1, "ranks": 1, "slots": 0, "epochs": 0, "seed": 0}
    for name, lowest in least.items():
        value = getattr(training, name)
        if value < lowest:
            raise AssayError(f"{name} is {value}; it must be {lowest} or more")
        if value > _MOST.get(name, _LONGEST):
            most = _MOST.get(name, _LONGEST)
            raise AssayError(f"{name} is {value}; it must be {most} or less")
    return training


def checked_start(training: Training, start: int) -> int:
    """Return the epoch that an iteration begins with as it is.

    Raises:
        AssayError: the training has no such epoch.
    """
    if start < 0 or (training.epochs and start > training.epochs):
        raise AssayError(f"epoch {start} is not one of the training's {training.epochs} epochs")
    return start


def capacity(training: Training) -> int:
    """Return C, how many samples the buffers of all ranks can hold at once."""
    return min(training.samples, training.ranks * training.slots)


def read_bound(training: Training, epochs: int) -> int:
    """Return the fewest reads of a number of epochs, n + (E - 1) (n - C).

    Each sample is used once an epoch, so that each reuse crosses one boundary between epochs, and
    at a boundary no more than C samples are held.
    """
    return training.samples + max(epochs - 1, 0) * (training.samples - capacity(training))
