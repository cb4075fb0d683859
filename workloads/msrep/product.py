"""What a variant of `msrep` gives the workload: a product y = A x that can be repeated.

A variant's import path names a function

    prepare(matrix: csr_array, x: ndarray, device: Device, partitions: int) -> Product

that may keep `matrix` and `x` but must not change them; another package's variant is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from harness.protocols import Device

if TYPE_CHECKING:
    from scipy.sparse import csr_array


_BALANCE_PRODUCTS = 9
"""Products by which partitions are compared."""


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


@runtime_checkable
class Explains(Protocol):
    """A product that says what it is."""

    @property
    def detail(self) -> str:
        """Return one line; empty where there is nothing to say."""
        ...


class Prepare(Protocol):
    """The function that a variant's import path names; indices of the matrix are sorted."""

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
        busy: float64, shape (partitions,): CPU time of each partition in the last product, in s;
            empty where a kernel does not tell.
        index_bytes: of pointers and indices, where they take fewer than those of CSR.
        detail: one line about how this product is made.
        x: the vector that `kernel` reads, in the columns' order, to be overwritten by whoever
            brings another; None where it is copied elsewhere.
    """

    kernel: Callable[[], None]
    y: NDArray[np.float64]
    scratch: tuple[NDArray[np.float64], ...]
    spans: Mapping[str, float]
    counters: Mapping[str, float]
    busy: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    index_bytes: int | None = None
    detail: str = ""
    x: NDArray[np.float64] | None = None

    def multiply(self) -> None:
        """Compute y."""
        self.kernel()

    def imbalance(self) -> float:
        """Return the busiest partition's CPU time over the mean; 1.0 without partitions.

        Of several products each partition's least counts: what else the machine does only adds.
        """
        if not self.busy.size:
            return 1.0
        least = np.full(self.busy.shape, np.inf)
        for _ in range(_BALANCE_PRODUCTS):
            self.kernel()
            np.minimum(least, self.busy, out=least)
        mean = least.mean()
        return float(least.max() / mean) if mean > 0 else 1.0

    def result(self) -> NDArray[np.float64]:
        """Return y itself."""
        return self.y

    def poison(self) -> None:
        """Overwrite y and the scratch arrays with NaN."""
        for array in (self.y, *self.scratch):
            array.fill(np.nan)


def together(*spans: Mapping[str, float]) -> Mapping[str, float]:
    """Return spans added up by name; "compile", told of the whole process, counts once."""
    total: dict[str, float] = {}
    for one in spans:
        for name, seconds in one.items():
            before = total.get(name, 0.0)
            total[name] = max(before, seconds) if name == "compile" else before + seconds
    return total


@contextmanager
def timed(spans: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's duration in s to `spans` under that name."""
    start = time.perf_counter()
    yield
    spans[name] = spans.get(name, 0.0) + time.perf_counter() - start
