"""A simulated parallel file system: how long it would take for what the ranks ask it.

Nothing is measured here. Whatever uses these seconds is labelled `simulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError

Requests = NDArray[np.int64]
"""The bytes of each request of a rank, in order."""


@dataclass(frozen=True, slots=True)
class SimulatedFilesystem:
    """Storage that all ranks share, each over a link of its own.

    Each request waits for `latency_s` and then for its bytes. A rank has at most `queue_depth`
    requests under way: their latencies overlap, their bytes follow each other on the rank's link.
    The storage sends all ranks together no more than `total_bandwidth`; ranks that wait for it get
    equal shares (processor sharing). The two limits are taken to act apart, so that a time is the
    longer of both: the model is never slower than both together would be.

    Attributes:
        latency_s: from a request to its first byte, in s.
        rank_bandwidth: of one rank's link, in bytes a second.
        total_bandwidth: of the storage, in bytes a second.
        ranks: that share the storage.
        queue_depth: requests of a rank that are under way at once.
    """

    latency_s: float
    rank_bandwidth: float
    total_bandwidth: float
    ranks: int = 1
    queue_depth: int = 1

    def __post_init__(self) -> None:
        for name in ("rank_bandwidth", "total_bandwidth", "ranks", "queue_depth"):
            if not getattr(self, name) > 0:
                raise AssayError(f"simulated file system: {name} must be above 0")
        if not self.latency_s >= 0:
            raise AssayError("simulated file system: latency_s must not be negative")

    def __str__(self) -> str:
        return (
            f"simulated: {self.latency_s * 1e3:g} ms a request, {self.queue_depth} at once, "
            f"{self.rank_bandwidth / 1e9:g} GB/s a rank, {self.total_bandwidth / 1e9:g} GB/s "
            f"for {self.ranks}"
        )

    def seconds(self, requests: Sequence[Requests]) -> NDArray[np.float64]:
        """Return how long each rank waits for what it asks in a step, float64, shape (ranks,).

        Args:
            requests: of each rank, all asked at the same time.
        """
        own = [self._over_link(sizes) for sizes in requests]
        moved = np.array([sizes.sum() for sizes in requests], dtype=np.float64)
        shared = np.where(moved > 0, self.latency_s + self._shared_s(moved), 0.0)
        return np.maximum(own, shared)

    def delay(self, requests: Requests) -> float:
        """Return how long this rank waits where all ranks ask for the same, in s."""
        return float(self.seconds([requests] * self.ranks)[0])

    def _over_link(self, sizes: Requests) -> float:
        """Return when the last request is there if the storage served no one else."""
        there = [0.0] * len(sizes)
        free = 0.0
        for i, size in enumerate(sizes.tolist()):
            asked = there[i - self.queue_depth] if i >= self.queue_depth else 0.0
            free = max(free, asked + self.latency_s) + size / self.rank_bandwidth
            there[i] = free
        return free

    def _shared_s(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return when each rank has its bytes while those still waiting share equally."""
        order = np.argsort(moved, kind="stable")
        ascending = moved[order]
        waiting = np.arange(len(moved), 0, -1)
        ends = np.cumsum(np.diff(ascending, prepend=0.0) * waiting) / self.total_bandwidth
        seconds = np.empty_like(ends)
        seconds[order] = ends
        return seconds
