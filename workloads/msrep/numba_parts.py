"""What the numba variants share: how many partitions, and what is reported of them."""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
from numba.core import event
from numpy.typing import NDArray

from workloads.msrep.partition import Partition

SUM_IN_ANY_ORDER = {"reassoc", "contract", "nsz"}
"""LLVM's licence to vectorise a sum. NaN and infinity keep their meaning, unlike in full fastmath;
the bound that verifies a product holds for every order of summation."""


_COMPILING = event.TimingListener()
event.register("numba:compile", _COMPILING)


def compile_s() -> float:
    """Return how long numba compiled in this process since this module was imported, in s.

    Kernels that come from numba's cache take none of it.
    """
    return float(_COMPILING.duration) if _COMPILING.done else 0.0


def count_partitions(wanted: int) -> int:
    """Return `wanted`, or the number of threads that numba uses where it is 0."""
    return wanted or int(numba.get_num_threads())


def describe_whole(pointer: NDArray[np.integer], parts: Partition) -> Mapping[str, float]:
    """Return the same where a line belongs to the partition in which it begins, whole."""
    sizes = np.diff(pointer[parts.begins].astype(np.int64))
    return {
        **describe(parts),
        "largest_partition_nnz": float(sizes.max()),
        "smallest_partition_nnz": float(sizes.min()),
        "shared_lines": 0.0,
    }


def describe(parts: Partition) -> Mapping[str, float]:
    """Return the counters of a partitioned product."""
    sizes = np.diff(parts.bounds)
    return {
        "partitions": float(len(sizes)),
        "largest_partition_nnz": float(sizes.max()),
        "smallest_partition_nnz": float(sizes.min()),
        "shared_lines": float(np.count_nonzero(parts.first_shared)),
        "partition_bytes": float(parts.nbytes),
    }
