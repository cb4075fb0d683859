"""MF-CCL in float64, one interaction, one negative and one user at a time: slow and obvious.

The loss is that of SimpleX (Mao et al., CIKM 2021, section 3.2) with the matrix factorisation of
its section 4.1; the order in which SGD updates rows is that of HEAT (Zhang et al., ICS 2023).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from workloads.heat.interactions import Interactions

Floats = npt.NDArray[np.floating]
Float64s = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer]

NORM_FLOOR = 1e-12
"""Shorter vectors are divided by this, as `torch.nn.functional.normalize` does."""


def loss_and_gradient(
    user: Float64s, items: Float64s, margin: float, weight: float
) -> tuple[float, Float64s, Float64s]:
    """Return the loss of one interaction and its gradient.

    Args:
        user: float64 (dim,).
        items: float64 (1 + negatives, dim), the positive first.
        margin: cosine below which a negative costs nothing.
        weight: of the mean over negatives.

    Returns:
        The loss, its gradient by the user, float64 (dim,), and by the items, the shape of `items`.
    """
    user_gradient = np.zeros_like(user)
    item_gradients = np.zeros_like(items)
    loss = 0.0
    for place, item in enumerate(items):
        similarity = cosine(user, item)
        if place == 0:
            loss += 1.0 - similarity
            slope = -1.0
        elif similarity > margin:
            loss += weight / (len(items) - 1) * (similarity - margin)
            slope = weight / (len(items) - 1)
        else:
            slope = 0.0
        user_gradient += slope * cosine_gradient(user, item)
        item_gradients[place] = slope * cosine_gradient(item, user)
    return loss, user_gradient, item_gradients


def cosine(a: Floats, b: Floats) -> float:
    """Return the cosine of the angle between two vectors."""
    return float(a @ b / (_norm(a) * _norm(b)))


def cosine_gradient(a: Float64s, b: Float64s) -> Float64s:
    """Return the gradient of the cosine of `a` and `b` by `a`."""
    gradient: Float64s = (b / _norm(b) - cosine(a, b) * a / _norm(a)) / _norm(a)
    return gradient


def batch_loss_and_gradient(
    user_factors: Floats,
    item_factors: Floats,
    users: Integers,
    items: Integers,
    margin: float,
    weight: float,
) -> tuple[float, Float64s, Float64s]:
    """Return the mean loss over a batch and its gradient by all factors.

    Args:
        user_factors: (users, dim).
        item_factors: (items, dim).
        users: (batch,) ids.
        items: (batch, 1 + negatives) ids, the positive first.
        margin: see `loss_and_gradient`.
        weight: see `loss_and_gradient`.

    Returns:
        The loss and two float64 arrays of the shapes of the factors.
    """
    of_users = np.zeros(user_factors.shape)
    of_items = np.zeros(item_factors.shape)
    total = 0.0
    for user, row in zip(users, items, strict=True):
        loss, user_gradient, item_gradients = loss_and_gradient(
            user_factors[user].astype(np.float64),
            item_factors[row].astype(np.float64),
            margin,
            weight,
        )
        total += loss
        of_users[user] += user_gradient
        for item, gradient in zip(row, item_gradients, strict=True):
            of_items[item] += gradient
    return total / len(users), of_users / len(users), of_items / len(users)


def sgd_epoch(
    user_factors: Floats,
    item_factors: Floats,
    users: Integers,
    items: Integers,
    learning_rate: float,
    margin: float,
    weight: float,
) -> tuple[Float64s, Float64s]:
    """Return the factors after SGD over the interactions, one after the other.

    Within an interaction the item rows are updated one at a time, positive first, each from what
    the rows before left; the user's row is last and takes the sum of what it owes to each of them.

    Args:
        user_factors: (users, dim).
        item_factors: (items, dim).
        users: (interactions,) ids.
        items: (interactions, 1 + negatives) ids, the positive first.
        learning_rate: of SGD.
        margin: see `loss_and_gradient`.
        weight: see `loss_and_gradient`.
    """
    of_users: Float64s = user_factors.astype(np.float64)
    of_items: Float64s = item_factors.astype(np.float64)
    negatives = items.shape[1] - 1
    for user, row in zip(users, items, strict=True):
        owed = np.zeros(of_users.shape[1])
        vector = of_users[user]
        for place, item in enumerate(row):
            if place == 0:
                slope = -1.0
            elif cosine(vector, of_items[item]) > margin:
                slope = weight / negatives
            else:
                continue
            owed += slope * cosine_gradient(vector, of_items[item])
            of_items[item] -= learning_rate * slope * cosine_gradient(of_items[item], vector)
        of_users[user] -= learning_rate * owed
    return of_users, of_items


def block_epoch(
    user_factors: Floats,
    item_factors: Floats,
    users: Integers,
    positives: Integers,
    negatives: Integers,
    learning_rate: float,
    margin: float,
    weight: float,
    *,
    block: int,
    panel: int,
) -> tuple[Float64s, Float64s]:
    """Return the factors after SGD over blocks of interactions that share their negatives.

    In a block each interaction in turn moves user and positive by their gradients. Then the
    negatives, `panel` at a time, move all users of the block, by gradients at what each user was
    before its own positive moved it, and are then moved by them, one negative after the other: one
    that was drawn twice takes its second step from where the first left it.

    Args:
        user_factors: (users, dim).
        item_factors: (items, dim).
        users: (interactions,) ids.
        positives: (interactions,) ids.
        negatives: (blocks, negatives) ids.
        learning_rate: of SGD, of the sum of the losses.
        margin: see `loss_and_gradient`.
        weight: see `loss_and_gradient`.
        block: interactions that share negatives.
        panel: negatives whose gradients are made of the same rows.
    """
    of_users: Float64s = user_factors.astype(np.float64)
    of_items: Float64s = item_factors.astype(np.float64)
    slope = weight / negatives.shape[1]
    for number, start in enumerate(range(0, len(users), block)):
        before = []
        for user, item in zip(
            users[start : start + block], positives[start : start + block], strict=True
        ):
            vector = of_users[user].copy()
            before.append((user, vector))
            of_users[user] += learning_rate * cosine_gradient(vector, of_items[item])
            of_items[item] += learning_rate * cosine_gradient(of_items[item], vector)
        for first in range(0, negatives.shape[1], panel):
            ids = negatives[number, first : first + panel]
            rows = of_items[ids]
            for user, vector in before:
                for row in rows:
                    if cosine(vector, row) > margin:
                        of_users[user] -= learning_rate * slope * cosine_gradient(vector, row)
            for item, row in zip(ids, rows, strict=True):
                near = [vector for _, vector in before if cosine(vector, row) > margin]
                along = sum(cosine(vector, row) for vector in near) / _norm(row)
                ahead = sum((vector / _norm(vector) for vector in near), np.zeros(len(row)))
                rate = learning_rate * slope / _norm(row)
                of_items[item] += rate * (along * of_items[item] - ahead)
    return of_users, of_items


def recall_and_ndcg(
    scores: Floats, interactions: Interactions, top: int = 20
) -> tuple[float, float]:
    """Return Recall and NDCG at `top` over all users that have test items.

    As LightGCN's released code has them: a user's training items are left out of the ranking,
    recall is the share of the test items that are among the first `top`, and the ideal ranking of
    NDCG has at most `top` hits.

    Args:
        scores: (users, items); of equal scores the lower id ranks first.
        interactions: what is left out, and what is to be found.
        top: length of the list.
    """
    recalls = []
    gains = []
    for user in range(interactions.users):
        wanted = set(_row(interactions.test_ptr, interactions.test_items, user))
        if not wanted:
            continue
        known = set(_row(interactions.train_ptr, interactions.train_items, user))
        ranked = [item for item in np.argsort(-scores[user], kind="stable") if item not in known]
        hits = [item in wanted for item in ranked[:top]]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(top, len(wanted))))
        recalls.append(sum(hits) / len(wanted))
        gains.append(sum(1 / math.log2(p + 2) for p, hit in enumerate(hits) if hit) / ideal)
    return float(np.mean(recalls)), float(np.mean(gains))


def cosine_scores(user_factors: Floats, item_factors: Floats) -> Float64s:
    """Return float64 (users, items): the cosine of each user and item."""
    return np.array([[cosine(user, item) for item in item_factors] for user in user_factors])


def popularity_scores(interactions: Interactions) -> Float64s:
    """Return float64 (users, items): how often each item occurs in training, for any user."""
    counts = np.zeros(interactions.items)
    for item in interactions.train_items:
        counts[item] += 1
    return np.tile(counts, (interactions.users, 1))


def _row(pointers: Integers, items: Integers, user: int) -> list[int]:
    return [int(item) for item in items[pointers[user] : pointers[user + 1]]]


def _norm(vector: Floats) -> float:
    return max(float(np.linalg.norm(vector)), NORM_FLOOR)
