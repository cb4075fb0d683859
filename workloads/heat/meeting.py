"""The lengths of a user's and an item's row and their cosine: the positive of every kernel."""

from __future__ import annotations

import numpy as np

from workloads.heat import reference
from workloads.heat.quantise import Floats
from workloads.kernels.compiled import compiled

_float = np.float32
_FLOOR = _float(reference.NORM_FLOOR**2)


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def scale_of(square: np.float32) -> np.float32:
    """Return one over the length of a row, given the sum of its squares."""
    return _float(_float(1) / np.sqrt(max(square, _FLOOR)))


@compiled(forceinline=True, fastmath=True, error_model="numpy")
def meet(
    users: Floats, user: int, items: Floats, item: int, dim: int
) -> tuple[np.float32, np.float32, np.float32]:
    """Return one over the length of the user's row, one over the item's, and their cosine."""
    user_square = _float(0)
    item_square = _float(0)
    product = _float(0)
    for d in range(dim):
        user_square += users[user, d] * users[user, d]
        item_square += items[item, d] * items[item, d]
        product += users[user, d] * items[item, d]
    user_scale = scale_of(user_square)
    item_scale = scale_of(item_square)
    return user_scale, item_scale, product * user_scale * item_scale
