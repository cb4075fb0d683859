"""torch's compressed sparse rows on the device, as a practitioner writes it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from harness.protocols import Device
from workloads.msrep import matrix_market_body
from workloads.msrep.product import timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array


# numba and the reader belong to the import; loaded later, they would count as a product's memory.
_LOADED_AHEAD = matrix_market_body


@dataclass(slots=True)
class TorchProduct:
    """y = A @ x on the device; torch allocates y anew each time."""

    matrix: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    spans: Mapping[str, float]
    counters: Mapping[str, float] = field(default_factory=dict)

    def multiply(self) -> None:
        """Compute y, or begin to where the device is asynchronous."""
        self.y = self.matrix @ self.x

    def result(self) -> NDArray[np.float64]:
        """Return y on the host."""
        return cast(NDArray[np.float64], self.y.cpu().numpy())

    def poison(self) -> None:
        """Replace y by NaN."""
        self.y = torch.full_like(self.y, torch.nan)


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> TorchProduct:
    """Copy the matrix and x to the device; `partitions` has no meaning here."""
    target = device.torch_device()
    spans: dict[str, float] = {}
    with timed(spans, "convert"):
        tensor = _csr_tensor(matrix, target)
        vector = torch.tensor(x, device=target)
        device.synchronize()
    y = torch.full((matrix.shape[0],), torch.nan, dtype=torch.float64, device=target)
    return TorchProduct(tensor, vector, y, spans)


def _csr_tensor(matrix: csr_array, target: torch.device) -> torch.Tensor:
    pointer, columns, values = (
        torch.tensor(part, device=target) for part in (matrix.indptr, matrix.indices, matrix.data)
    )
    with warnings.catch_warnings():
        # torch calls every sparse layout but COO a beta; what it computes is verified here anyway.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            pointer, columns, values, size=matrix.shape, check_invariants=True
        )
