"""A small fixed kernel of one thread: its time tells drift of the machine from change of code."""

from __future__ import annotations

import mmap
import time

import numpy as np

CANARY_VERSION = 1
"""Raised with any change here: readings of two versions do not compare."""

READINGS = 9

_BYTES = 2 << 20  # twice this is beyond the caches of most cores: neighbours' traffic shows
_PASSES = 4
_COPIES = 4  # take about as long as the roots, so that half of a reading is memory


def host_canary() -> list[float]:
    """Return the times of some passes over a fixed buffer, s.

    A pass takes square roots of 2 MiB, then copies and sums as much several times. The root's unit
    makes it follow the clock, the copies contention for caches and memory, and both what other
    processes and a hypervisor take away: the least reading shows the former, the median the latter.
    It uses neither BLAS nor threads, and its memory comes from the kernel and goes back to it, so
    that the allocator meets the workload as if nothing had been before.
    """
    with mmap.mmap(-1, 2 * _BYTES) as memory:
        both = np.frombuffer(memory, dtype=np.float64)
        values, roots = np.split(both, 2)
        values[:] = 2.0
        roots[:] = 0.0
        readings = [_reading_s(values, roots) for _ in range(READINGS)]
        # The mapping cannot be closed while arrays show it.
        del both, values, roots
    return readings


def _reading_s(values: np.ndarray, roots: np.ndarray) -> float:
    started = time.perf_counter()
    for _ in range(_PASSES):
        np.sqrt(values, out=roots)
        for _ in range(_COPIES):
            np.copyto(roots, values)
            roots.sum()
    return time.perf_counter() - started
