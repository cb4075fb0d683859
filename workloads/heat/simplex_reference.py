"""The user tower of SimpleX in float64, one interaction and one past item at a time.

SimpleX (Mao et al., CIKM 2021, section 3.1) puts a user's history into the user's vector,
g * e_u + (1 - g) * W_v * pool(history), and keeps the loss of matrix factorisation. It differs from
the authors' released code in this: places without an item have no share in an attention (there each
adds exp(0) to the sum that the shares are divided by), and nothing is dropped out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from workloads.heat import reference
from workloads.heat.interactions import Interactions
from workloads.heat.reference import Float64s, Floats, Integers
from workloads.heat.settings import Settings

MEAN = "mean"
SELF_ATTENTION = "self-attention"
USER_ATTENTION = "user-attention"
"""The poolings that `workloads.heat.settings` lets a case choose from."""

Weights = Mapping[str, npt.NDArray[np.float32] | Float64s]
"""Of a tower, by name: `value`, (dim, dim), always; `key`, (dim, dim), and `key_bias`, (dim,), of
both attentions; `query`, (dim,), of self-attention, where user-attention has the user's own row."""


def initial_weights(dim: int, pooling: str, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return float32 weights as the released code draws them: Xavier's normal ones, biases 0.

    Args:
        dim: length of a row.
        pooling: one of the three.
        seed: of the draws.
    """
    random = np.random.default_rng([seed, dim])

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        # Glorot and Bengio, AISTATS 2010, section 4.2.1; a vector is a matrix of one column.
        std = np.float32(np.sqrt(2.0 / (shape[0] + (*shape, 1)[1])))
        return random.standard_normal(shape, np.float32) * std

    weights = {"value": normal(dim, dim)}
    if pooling != MEAN:
        weights |= {"key": normal(dim, dim), "key_bias": np.zeros(dim, np.float32)}
    if pooling == SELF_ATTENTION:
        weights["query"] = normal(dim)
    return weights


def has_tower(settings: Settings) -> bool:
    """Return whether a user is more than a row: with no history, or g of 1, it is not."""
    return settings.history > 0 and settings.user_weight != 1.0


def histories(interactions: Interactions, most: int) -> list[Integers]:
    """Return the item ids that stand for each user: the first `most` of the training items."""
    return [
        interactions.train_items[first : min(last, first + most)]
        for first, last in pairwise(interactions.train_ptr)
    ]


def shares(user: Float64s, history: Float64s, weights: Weights, pooling: str) -> Float64s:
    """Return float64 (items of the history,): the share of each in the pool; they sum to 1.

    Args:
        user: float64 (dim,), the user's own row.
        history: float64 (items of the history, dim), at least one row.
        weights: see `Weights`.
        pooling: one of the three.
    """
    if pooling == MEAN:
        return np.full(len(history), 1.0 / len(history))
    query = user if pooling == USER_ATTENTION else weights["query"]
    scores = np.zeros(len(history))
    for place, item in enumerate(history):
        scores[place] = query @ np.tanh(weights["key"] @ item + weights["key_bias"])
    powers = np.exp(scores - scores.max())
    found: Float64s = powers / powers.sum()
    return found


def user_vector(
    user: Float64s, history: Float64s, weights: Weights, user_weight: float, pooling: str
) -> Float64s:
    """Return float64 (dim,): what the tower makes of a user's row and history.

    Args:
        user: float64 (dim,), the user's own row.
        history: float64 (items of the history, dim), of none or more.
        weights: see `Weights`.
        user_weight: g, of the user's own row against the history.
        pooling: one of the three.
    """
    pooled = np.zeros_like(user)
    if len(history):
        for share, item in zip(shares(user, history, weights, pooling), history, strict=True):
            pooled += share * item
    vector: Float64s = user_weight * user + (1.0 - user_weight) * (weights["value"] @ pooled)
    return vector


def tower_gradient(
    user: Float64s,
    history: Float64s,
    weights: Weights,
    user_weight: float,
    pooling: str,
    slope: Float64s,
) -> tuple[Float64s, Float64s, dict[str, Float64s]]:
    """Return the gradients by user, history and weights, given `slope`, that by the tower's output.

    Args:
        user: see `user_vector`.
        history: see `user_vector`.
        weights: see `Weights`.
        user_weight: see `user_vector`.
        pooling: see `user_vector`.
        slope: float64 (dim,).
    """
    of_user = user_weight * slope
    of_history = np.zeros_like(history)
    of_weights = {name: np.zeros(value.shape) for name, value in weights.items()}
    if not len(history):
        return of_user, of_history, of_weights
    parts = shares(user, history, weights, pooling)
    pooled = parts @ history
    of_weights["value"] += (1.0 - user_weight) * np.outer(slope, pooled)
    of_pooled = (1.0 - user_weight) * (weights["value"].T @ slope)
    for place, (share, item) in enumerate(zip(parts, history, strict=True)):
        of_history[place] += share * of_pooled
        if pooling == MEAN:
            continue
        # The softmax's derivative: a share grows by as much as its item is worth above the pool.
        of_score = share * (of_pooled @ item - of_pooled @ pooled)
        key = np.tanh(weights["key"] @ item + weights["key_bias"])
        query = user if pooling == USER_ATTENTION else weights["query"]
        of_inner = of_score * query * (1.0 - key**2)
        of_history[place] += weights["key"].T @ of_inner
        of_weights["key"] += np.outer(of_inner, item)
        of_weights["key_bias"] += of_inner
        if pooling == USER_ATTENTION:
            of_user = of_user + of_score * key
        else:
            of_weights["query"] += of_score * key
    return of_user, of_history, of_weights


def batch_loss_and_gradient(
    user_factors: Floats,
    item_factors: Floats,
    weights: Weights,
    past: Sequence[Integers],
    users: Integers,
    items: Integers,
    margin: float,
    weight: float,
    user_weight: float,
    pooling: str,
) -> tuple[float, Float64s, Float64s, dict[str, Float64s]]:
    """Return the mean loss over a batch and its gradient by all factors and weights.

    Args:
        user_factors: (users, dim).
        item_factors: (items, dim).
        weights: see `Weights`.
        past: the item ids of each user's history.
        users: (batch,) ids.
        items: (batch, 1 + negatives) ids, the positive first.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.
        user_weight: see `user_vector`.
        pooling: see `user_vector`.
    """
    all_users, all_items = user_factors.astype(np.float64), item_factors.astype(np.float64)
    exact = {name: value.astype(np.float64) for name, value in weights.items()}
    of_users, of_items = np.zeros(all_users.shape), np.zeros(all_items.shape)
    of_weights = {name: np.zeros(value.shape) for name, value in exact.items()}
    total = 0.0
    for user, row in zip(users, items, strict=True):
        history = all_items[past[user]]
        tower = all_users[user], history, exact, user_weight, pooling
        loss, slope, of_row = reference.loss_and_gradient(
            user_vector(*tower), all_items[row], margin, weight
        )
        of_user, of_history, of_tower = tower_gradient(*tower, slope)
        total += loss / len(users)
        of_users[user] += of_user / len(users)
        for item, gradient in zip((*row, *past[user]), (*of_row, *of_history), strict=True):
            of_items[item] += gradient / len(users)
        for name, part in of_tower.items():
            of_weights[name] += part / len(users)
    return total, of_users, of_items, of_weights


def block_epoch(
    user_factors: Floats,
    item_factors: Floats,
    weights: Weights,
    past: Sequence[Integers],
    users: Integers,
    positives: Integers,
    negatives: Integers,
    learning_rate: float,
    margin: float,
    weight: float,
    user_weight: float,
    pooling: str,
    *,
    block: int,
    panel: int,
) -> tuple[Float64s, Float64s, dict[str, Float64s]]:
    """Return factors and weights after SGD over blocks of interactions that share their negatives.

    The users' vectors of a block are made of what was there at its start. Each interaction in turn
    moves its positive; then the negatives, `panel` at a time, move by the sum of the gradients of
    all vectors. At the block's end users' rows, histories and weights move, each interaction's by
    the sum of the gradients of its vector.

    Args:
        user_factors: (users, dim).
        item_factors: (items, dim).
        weights: see `Weights`.
        past: the item ids of each user's history.
        users: (interactions,) ids.
        positives: (interactions,) ids.
        negatives: (blocks, negatives) ids.
        learning_rate: of SGD, of the sum of the losses.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.
        user_weight: see `user_vector`.
        pooling: see `user_vector`.
        block: interactions that share negatives.
        panel: negatives whose gradients are made of the same rows.
    """
    of_users, of_items = user_factors.astype(np.float64), item_factors.astype(np.float64)
    exact = {name: value.astype(np.float64) for name, value in weights.items()}
    share = weight / negatives.shape[1]
    for number, start in enumerate(range(0, len(users), block)):
        members = users[start : start + block]
        towers = [
            (of_users[user].copy(), of_items[past[user]], exact, user_weight, pooling)
            for user in members
        ]
        vectors = [user_vector(*tower) for tower in towers]
        slopes = np.zeros((len(members), of_users.shape[1]))
        for k, item in enumerate(positives[start : start + block]):
            slopes[k] -= reference.cosine_gradient(vectors[k], of_items[item])
            turn = reference.cosine_gradient(of_items[item], vectors[k])
            of_items[item] += learning_rate * turn
        for first in range(0, negatives.shape[1], panel):
            ids = negatives[number, first : first + panel]
            rows = of_items[ids]
            for k, vector in enumerate(vectors):
                for row in rows:
                    if reference.cosine(vector, row) > margin:
                        slopes[k] += share * reference.cosine_gradient(vector, row)
            for item, row in zip(ids, rows, strict=True):
                near = [vector for vector in vectors if reference.cosine(vector, row) > margin]
                # What is drawn twice in a panel turns, the second time, what the first time left.
                left = of_items[item] - row
                for vector in near:
                    turn = reference.cosine_gradient(row, vector)
                    turn -= reference.cosine(vector, row) * left / (row @ row)
                    of_items[item] -= learning_rate * share * turn
        moved = {name: value.copy() for name, value in exact.items()}
        for user, tower, slope in zip(members, towers, slopes, strict=True):
            of_user, of_history, of_weights = tower_gradient(*tower, slope)
            of_users[user] -= learning_rate * of_user
            for item, gradient in zip(past[user], of_history, strict=True):
                of_items[item] -= learning_rate * gradient
            for name, gradient in of_weights.items():
                moved[name] -= learning_rate * gradient
        exact = moved
    return of_users, of_items, exact
