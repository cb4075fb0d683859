"""The baseline: SciPy's compressed sparse rows, one thread, as a practitioner writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from harness.protocols import Device
from workloads.msrep import matrix_market_body

# numba and the reader belong to the import; loaded later, they would count as a product's memory.
_LOADED_AHEAD = matrix_market_body


@dataclass(slots=True)
class ScipyProduct:
    """y = A @ x; SciPy allocates y anew each time."""

    matrix: csr_array
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    spans: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)

    def multiply(self) -> None:
        """Compute y."""
        self.y = self.matrix @ self.x

    def result(self) -> NDArray[np.float64]:
        """Return y."""
        return self.y

    def poison(self) -> None:
        """Replace y by NaN."""
        self.y = np.full(self.matrix.shape[0], np.nan)


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> ScipyProduct:
    """Return the product; nothing is converted and `partitions` has no meaning here."""
    return ScipyProduct(matrix, x, np.full(matrix.shape[0], np.nan))
