"""Variants `block` and `block-float32`: negatives that a block of interactions shares.

A block of 64 interactions draws N negatives and trains on their products with all of its
users: SGD on the sum of the block's losses, with fresh negatives each time. Per interaction that
reads N / 64 rows instead of N, and makes the products a multiplication of two small matrices.

The loss makes most of those products needless. A negative below the margin costs nothing and moves
nothing, and training drives them below: at equilibrium about one in `weight` counts. So the
products are made in as few bits as the processor is quick with, only to tell which negatives may
be above the margin (`quantise.py` proves that none is missed); those few are scored anew in
float32, and only they are trained on.

Interactions are shuffled so that those of a user come not far apart: each user goes to one of some
groups by chance, anew in each epoch, whose rows take half a MiB.

In a block each positive turns its two rows at once, one interaction after the other, and the user's
row of before, at length 1, is kept. Negatives are then read, up to 128 together, and turn the rows
of users and the rows of negatives by gradients made of those kept rows.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from harness.protocols import Device
from harness.records import Facts
from workloads.heat import reference
from workloads.heat.block_kernel import ROW_MULTIPLE, block_epoch
from workloads.heat.host_sgd import Algorithm, Epoch, HostSgd
from workloads.heat.instruction_sets import InstructionSet, available
from workloads.heat.pairs import LOW, Pairs
from workloads.heat.random_stream import first_items
from workloads.heat.settings import Settings
from workloads.heat.simd import BFLOAT16, FLOAT32, INT8
from workloads.heat.simplex_reference import has_tower
from workloads.heat.training import Trainer, Training

BLOCK = 64
"""Interactions that share negatives, where `batch` does not say another number. On Gowalla with 256
negatives and four epochs 128 take a quarter less time and reach a Recall@20 of .166, where 64 reach
.168 and torch .169. In SimpleX 256 reach .154 where 64 reach .161."""

_PANEL = 128
"""Negatives that are filtered together: users, negatives and what is found fit the L2 cache."""

_GROUP_BYTES = 1 << 19
"""Rows of users that are trained on together: few enough for the L2 caches of most processors, so
that a row is still there when the user comes again."""

_DTYPES = {FLOAT32: "float32", BFLOAT16: "bfloat16", INT8: "int8"}
_PANEL_MULTIPLE = 64
_BLOCK_MULTIPLE = 8


def block_of(settings: Settings) -> int:
    """Return the interactions of a block: a multiple of the height of every tile."""
    wanted = settings.batch or BLOCK
    return -(-wanted // _BLOCK_MULTIPLE) * _BLOCK_MULTIPLE


def panel_of(settings: Settings) -> int:
    """Return the negatives of a panel: a multiple of the width of every tile."""
    return min(_PANEL, -(-settings.negatives // _PANEL_MULTIPLE) * _PANEL_MULTIPLE)


def _compiled(kind: InstructionSet, settings: Settings, dim: int) -> Epoch:
    return partial(block_epoch(dim, kind), block_of(settings), panel_of(settings))


def _expected(
    training: Training, pairs: Pairs, seed: int, rate: float
) -> tuple[npt.NDArray[np.float64], ...]:
    settings = training.settings
    block = block_of(settings)
    blocks = -(-pairs.size // block)
    return reference.block_epoch(
        training.user_factors,
        training.item_factors,
        pairs >> 32,
        pairs & LOW,
        drawn(blocks, settings.negatives, panel_of(settings), training.interactions.items, seed),
        rate,
        settings.margin,
        settings.weight,
        block=block,
        panel=panel_of(settings),
    )


def drawn(blocks: int, negatives: int, panel: int, items: int, seed: int) -> npt.NDArray[np.int64]:
    """Return int64 (blocks, negatives): what each block of the first thread's shares.

    The kernel keeps `panel` items drawn ahead and replaces those that it uses, from the first on.
    """
    stream = iter(first_items(panel + blocks * negatives, items, seed))
    ahead = [next(stream) for _ in range(panel)]
    shared = np.empty((blocks, negatives), np.int64)
    for block in range(blocks):
        for start in range(0, negatives, panel):
            for place in range(min(panel, negatives - start)):
                shared[block, start + place] = ahead[place]
                ahead[place] = next(stream)
    return shared


def facts(kind: InstructionSet, settings: Settings) -> Facts:
    """Return what declares the variant."""
    return {
        "sampler": "shared by a block",
        "batch": block_of(settings),
        "instructions": kind.name,
        "products": _DTYPES[kind.unit],
    }


def algorithm(kind: InstructionSet) -> Algorithm:
    """Return the algorithm on an instruction set."""
    return Algorithm(
        partial(_compiled, kind), _expected, ROW_MULTIPLE, partial(facts, kind), _GROUP_BYTES
    )


def run(training: Training, device: Device) -> Trainer:
    """Return the trainer on the quickest instruction set of this processor."""
    return _trainer(training, available()[0])


def run_float32(training: Training, device: Device) -> Trainer:
    """Return the trainer that filters in float32, with the widest vectors of this processor."""
    return _trainer(training, next(kind for kind in available() if kind.unit == FLOAT32))


def _trainer(training: Training, kind: InstructionSet) -> Trainer:
    if has_tower(training.settings):
        # Not above: it builds on this module.
        from workloads.heat.block_simplex import BlockSimplex

        return BlockSimplex(training, kind)
    return HostSgd(training, algorithm(kind))
