"""What a variant of `msrep` gives the workload: a product y = A x that can be repeated.

A variant's import path names a function

    prepare(matrix: csr_array, x: ndarray, device: Device, partitions: int) -> Product

that may keep `matrix` and `x` but must not change them; another package's variant is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.protocols import Device

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Product(Protocol):
    """One matrix and one vector, ready to be multiplied again and again."""

    @property
    def spans(self) -> Mapping[str, float]:
        """Return how long preparing took, in s: "convert" the format, "partition" it."""
        ...

    @property
    def counters(self) -> Mapping[str, float]:
        """Return counts that describe the partitions; empty without partitions."""
        ...

    def multiply(self) -> None:
        """Compute y = A x; on an asynchronous device, begin to."""
        ...

    def result(self) -> NDArray[np.float64]:
        """Return y on the host, float64, shape (rows,)."""
        ...

    def poison(self) -> None:
        """Overwrite y and whatever it is summed from with NaN."""
        ...


class Prepare(Protocol):
    """The function that a variant's import path names."""

    def __call__(
        self, matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
    ) -> Product:
        """Convert and partition; `partitions` 0 leaves their number to the variant."""
        ...


@dataclass(frozen=True, slots=True)
class HostProduct:
    """A product whose output array is allocated once, on the host.

    Attributes:
        kernel: computes y.
        y: float64, shape (rows,).
        scratch: float64 arrays that `kernel` writes before it reads them.
    """

    kernel: Callable[[], None]
    y: NDArray[np.float64]
    scratch: tuple[NDArray[np.float64], ...]
    spans: Mapping[str, float]
    counters: Mapping[str, float]

    def multiply(self) -> None:
        """Compute y."""
        self.kernel()

    def result(self) -> NDArray[np.float64]:
        """Return y itself."""
        return self.y

    def poison(self) -> None:
        """Overwrite y and the scratch arrays with NaN."""
        for array in (self.y, *self.scratch):
            array.fill(np.nan)


@contextmanager
def timed(spans: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's duration in s to `spans` under that name."""
    start = time.perf_counter()
    yield
    spans[name] = time.perf_counter() - start
