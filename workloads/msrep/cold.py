"""Empties the host's caches before a product, by writing to more memory than they hold.

One thread writes: of a processor with several last-level caches the others keep what they hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.host import read_cpu

WARM, COLD = "warm", "cold"

_TIMES = 4
_WITHOUT_CACHES_BYTES = 64 << 20
"""Taken for the caches of a host that does not tell them."""


def ballast() -> NDArray[np.float64]:
    """Return an array four times as large as one cache of each level together."""
    bytes_held = sum(read_cpu().caches.values()) or _WITHOUT_CACHES_BYTES
    return np.zeros(_TIMES * bytes_held // 8)


def empty_caches(array: NDArray[np.float64]) -> None:
    """Read and write all of the array."""
    np.add(array, 1.0, out=array)
