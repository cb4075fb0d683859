"""How large a tile of negatives is, and how long it is used: Algorithm 1 of HEAT."""

from __future__ import annotations

from dataclasses import dataclass

from harness.host import CpuInfo
from workloads.heat.training import Training

NEGATIVE_SHARE = 0.85
"""Of the speed-up, that of reading negatives: beta in the paper."""

EXPECTED_SPEEDUP = 4.7
"""P in the paper, where the user gives it; with it a tile of 512 is used for about 2,048
interactions, which is the paper's own choice."""

_FLOAT_BYTES = 4
_L2_BYTES = 1 << 20
"""Where the kernel does not tell the size of the L2 cache."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Items that a thread draws negatives from, and the interactions that it does so for."""

    items: int
    refresh: int


def chosen_tile(training: Training, cpu: CpuInfo, threads: int) -> Tile:
    """Return the tile that the settings ask for; what is 0 there, Algorithm 1 decides."""
    settings, data = training.settings, training.interactions
    iterations = data.train_items.size * settings.epochs // threads
    best = fitted_tile(
        cache_bytes=cpu.caches.get("L2", _L2_BYTES),
        dim=settings.dim,
        items=data.items,
        iterations=iterations,
    )
    if not settings.tile:
        return Tile(best.items, settings.refresh or best.refresh)
    return Tile(settings.tile, settings.refresh or used_for(settings.tile, data.items, iterations))


def fitted_tile(*, cache_bytes: int, dim: int, items: int, iterations: int) -> Tile:
    """Return the tile of Algorithm 1 (HEAT, section 4.2): as many rows as the L2 cache holds.

    The paper holds the rows of all threads against one L2 cache; here each thread has that of its
    own core.

    Args:
        cache_bytes: of a core's L2 cache.
        dim: of a row of float32.
        items: in all.
        iterations: interactions that each thread trains on, over all epochs.
    """
    size = max(1, min(items, cache_bytes // (dim * _FLOAT_BYTES)))
    return Tile(size, used_for(size, items, iterations))


def used_for(tile: int, items: int, iterations: int) -> int:
    """Return the interactions that Algorithm 1 uses a tile for (its lines 22 to 28).

    As many as still let a thread meet as many items as there are, and no more than the expected
    speed-up takes.
    """
    by_space = iterations * tile // items
    by_speed = int(NEGATIVE_SHARE * EXPECTED_SPEEDUP * tile)
    return max(1, min(by_space, by_speed))
