"""Interactions as one number each: the user times 2^32 plus the item.

That is one load to read, and one swap to shuffle.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Interactions

Pairs = npt.NDArray[np.int64]

LOW = 0xFFFFFFFF
"""Of a pair: the item; what is above is the user."""


def packed(interactions: Interactions) -> Pairs:
    """Return int64 (interactions,): those of training, sorted by user."""
    pairs: Pairs = (interactions.train_users().astype(np.int64) << 32) | interactions.train_items
    return pairs
