"""Variants `heat` and `heat-tile`: one interaction at a time, forward and backward fused.

After HEAT (Zhang et al., ICS 2023, section 4). The cosine loss is a sum over negatives, so each
negative's row is read once, scored, and updated while it is in cache; nothing is gathered, and no
gradient is stored but that of the user's row, which is updated last.

`heat` draws negatives uniformly from all items. `heat-tile` draws them from a tile: a few items
that each thread draws for itself and replaces from time to time, so that their rows stay in cache
(section 4.2, "Cache size oriented tiling"). Fewer items are met between two replacements, which
costs quality. As in the released code, a tile is a list of items; the rows stay where they are.
"""

from __future__ import annotations

from functools import partial

import numba
import numpy as np
import numpy.typing as npt

from harness.host import read_cpu
from harness.protocols import Device
from harness.records import Facts
from workloads.heat import reference
from workloads.heat.host_sgd import Algorithm, Epoch, HostSgd
from workloads.heat.pairs import LOW, Pairs
from workloads.heat.per_sample_kernel import ROW_MULTIPLE, drawn, per_sample_epoch
from workloads.heat.settings import Settings
from workloads.heat.tile import Tile, chosen_tile
from workloads.heat.training import Trainer, Training

_NO_TILE = Tile(0, 1)


def _compiled(tile: Tile, settings: Settings, dim: int) -> Epoch:
    return per_sample_epoch(dim, tile.items, tile.refresh)


def _expected(
    tile: Tile, training: Training, pairs: Pairs, seed: int, rate: float
) -> tuple[npt.NDArray[np.float64], ...]:
    settings, items = training.settings, training.interactions.items
    negatives = drawn(pairs.size, settings.negatives, items, seed, tile.items, tile.refresh)
    return reference.sgd_epoch(
        training.user_factors,
        training.item_factors,
        pairs >> 32,
        np.column_stack([pairs & LOW, negatives]),
        rate,
        settings.margin,
        settings.weight,
    )


def _facts(tile: Tile, settings: Settings) -> Facts:
    if not tile.items:
        return {"sampler": "independent", "batch": 1}
    return {"sampler": "tile", "batch": 1, "tile": tile.items, "refresh": tile.refresh}


def algorithm(tile: Tile) -> Algorithm:
    """Return the algorithm with a tile; one of no items draws from all."""
    return Algorithm(
        partial(_compiled, tile), partial(_expected, tile), ROW_MULTIPLE, partial(_facts, tile)
    )


def run(training: Training, device: Device) -> Trainer:
    """Return the trainer with negatives from all items."""
    return HostSgd(training, algorithm(_NO_TILE))


def run_tile(training: Training, device: Device) -> Trainer:
    """Return the trainer with negatives from a tile of each thread."""
    tile = chosen_tile(training, read_cpu(), numba.get_num_threads())
    return HostSgd(training, algorithm(tile))
