"""What brings a training its batches: the common face of the DataLoader and of our own reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.solar.epoch_plan import Training

if TYPE_CHECKING:
    from workloads.solar.layout import SampleFile  # imports h5py

WARM, COLD, COLD_STEPS = "warm", "cold", "cold-steps"
CACHES = (WARM, COLD, COLD_STEPS)
"""What becomes of the page cache: left alone, dropped before each epoch, or after each step."""

REAL, SIMULATED = "real", "simulated"

SMALL_FILE_BYTES = 128 << 20
"""Files below this are read with few of the DataLoader's settings to find the best."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a feed is made for.

    Attributes:
        file: the samples.
        training: what is known of the training.
        rank: which rank's batches are delivered.
        cold: whether the file is read from its disk, and not from the page cache.
        agree: returns rank 0's value on every rank.
        delay: seconds that a simulated file system takes for requests of so many bytes; None for
            the real one.
    """

    file: SampleFile
    training: Training
    rank: int
    cold: bool
    agree: Callable[[Any], Any]
    delay: Callable[[NDArray[np.int64]], float] | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """One rank's batch of one step.

    Attributes:
        samples: int64, shape (b,): which samples.
        arrays: one a dataset, shape (b, ...), NumPy's or torch's; valid until the next batch is
            asked for.
        weight: of this batch's mean gradient among the ranks', n_r * ranks / n.
    """

    samples: NDArray[np.int64]
    arrays: tuple[Any, ...]
    weight: float


class Feed(Protocol):
    """Delivers one rank's batches, epoch after epoch."""

    @property
    def detail(self) -> str:
        """Return in words what was chosen, and why."""
        ...

    @property
    def spans(self) -> Mapping[str, float]:
        """Return named phases in s, such as scheduling."""
        ...

    def epoch(self) -> Iterator[Delivered]:
        """Yield the batches of the next epoch; nothing of a later one is read ahead."""
        ...

    def counters(self) -> Mapping[str, float]:
        """Return what was counted since the feed was made; "reads" only where that is known."""
        ...

    def begin_again(self) -> None:
        """Go back to before the first epoch, with nothing in the buffers."""
        ...

    def close(self) -> None:
        """End the threads and processes that read."""
        ...


Prepare = Callable[[Settings, Device], Feed]
"""Makes a feed, in the worker.

Raises:
    AssayError: the file cannot be accepted.
"""
