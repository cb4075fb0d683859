"""How fast this host reads a buffer end to end: the ceiling of work that moves memory."""

from __future__ import annotations

import time

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_SAMPLES = 9  # an odd number, so that the median is one of them
_MIN_SAMPLE_S = 20e-3  # far above the start of a parallel region, which a busy machine makes slow
_MAX_TOTAL_S = 1.0
_MIN_ELEMENTS = 1 << 12
_REORDER = {"reassoc", "nsz", "contract"}  # what a vectorised sum needs; NaN and infinity stay


def stream_rates(size_bytes: int) -> list[float]:
    """Return rates in B/s at which all threads together read `size_bytes`, warm.

    The buffer is as large as the working set it stands for, so it lives at the same level of cache
    or memory. Each thread sums its own part with unit stride, in as many accumulators as its
    vector registers give room for.

    Args:
        size_bytes: how much to read; at least 32 KiB is read.
    """
    buffer = np.ones(max(size_bytes // 8, _MIN_ELEMENTS), dtype=np.float64)
    threads = numba.get_num_threads()
    partial = np.empty(threads)
    repeats = _repeats(buffer, partial)
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < _SAMPLES and (len(rates) < 2 or time.perf_counter() - began < _MAX_TOTAL_S):
        started = time.perf_counter()
        _read(buffer, partial, repeats)
        rates.append(repeats * buffer.nbytes / (time.perf_counter() - started))
    return rates


def _repeats(buffer: FloatArray, partial: FloatArray) -> int:
    """How often the buffer is read in one sample; the first read also brings it in."""
    _read(buffer, partial, 1)
    repeats = 1
    while True:
        started = time.perf_counter()
        _read(buffer, partial, repeats)
        if time.perf_counter() - started >= _MIN_SAMPLE_S:
            return repeats
        repeats *= 2


@numba.njit("float64(float64[::1], int64)", fastmath=_REORDER, cache=True)
def _read_part(part, repeats):  # type: ignore[no-untyped-def]
    # A function of its own: over a whole array the compiler knows that no index is negative, and
    # uses vectors; between two bounds it reads at a sixth of the rate of a cache.
    total = 0.0
    for repeat in range(repeats):
        once = 0.0
        for i in range(part.size):
            once += part[i]
        # Depends on the repetition, so that the compiler cannot read once and multiply.
        total += once / (repeat + 1)
    return total


@numba.njit(
    "void(float64[::1], float64[::1], int64)",
    parallel=True,
    fastmath=_REORDER,
    cache=True,
)
def _read(buffer, partial, repeats):  # type: ignore[no-untyped-def]
    threads = partial.size
    for thread in numba.prange(threads):
        first = buffer.size * thread // threads
        last = buffer.size * (thread + 1) // threads
        partial[thread] = _read_part(buffer[first:last], repeats)
