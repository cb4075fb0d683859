"""Accepts a variant only if its update is the model's own and its training learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.records import Verification, verified
from workloads.heat import evaluate
from workloads.heat.training import Factors, Trainer, Training

UPDATE_TOLERANCE = 1e-4
"""Relative. Float32 sums of at most 4,096 products stay below 1e-5; a wrong sign or factor is 1."""

LOSS_SHARE = 0.95
"""Training ends at most at this share of the initial loss; the defaults end below 0.7 of it."""

POPULARITY_FACTOR = 2.5
"""Recall@20 of what was learnt over that of recommending the most popular items to everyone."""

ATTAINABLE_RECALL = 0.25
"""Where few items or a strong popularity put the above beyond this, no model reaches it: Recall@20
of the best published models on sparse data with tens of thousands of items is below it."""

UNTRAINED_FACTOR = 1.5
"""Recall@20 of what was learnt over that of the initial factors, where popularity cannot be it."""

_USERS = 4_000
"""Ranked; enough for a standard error of Recall@20 near 0.003."""

_INTERACTIONS = 2_000
_NEGATIVES = 64
"""Of the loss before and after: enough for a standard error of about 0.01."""

_REFERENCE = (
    f"update of a small problem against float64 NumPy within {UPDATE_TOLERANCE:g}; after one "
    f"training, loss at most {LOSS_SHARE:g} of the initial one and Recall@20 at least "
    f"{POPULARITY_FACTOR:g} times that of popularity, or where that is beyond "
    f"{ATTAINABLE_RECALL:g}, {UNTRAINED_FACTOR:g} times that of the initial factors; "
    "error is the largest share of what is allowed"
)


@dataclass(frozen=True, slots=True)
class Learning:
    """What one training did, on a sample of interactions and users."""

    loss_before: float
    loss_after: float
    recall: float
    popularity_recall: float
    untrained_recall: float


def verify(trainer: Trainer, training: Training) -> Verification:
    """Check one update, then train once from the start and check what was learnt."""
    update_error = trainer.update_error(training.seed)
    trainer.reset()
    trainer.train()
    return judged(update_error, learning(training, *trainer.factors()))


def learning(training: Training, user_factors: Factors, item_factors: Factors) -> Learning:
    """Return how far the factors are from the initial ones and from popularity."""
    interactions, settings = training.interactions, training.settings
    random = np.random.default_rng(training.seed)
    sample = random.integers(0, interactions.train_items.size, _INTERACTIONS)
    users = interactions.train_users()[sample]
    negatives = random.integers(0, interactions.items, (sample.size, _NEGATIVES))
    items = np.column_stack([interactions.train_items[sample], negatives])

    def loss(user_factors: Factors, item_factors: Factors) -> float:
        return evaluate.mean_loss(
            user_factors, item_factors, users, items, settings.margin, settings.weight
        )

    tested = np.flatnonzero(np.diff(interactions.test_ptr))
    ranked = random.choice(tested, min(_USERS, tested.size), replace=False)
    return Learning(
        loss_before=loss(training.user_factors, training.item_factors),
        loss_after=loss(user_factors, item_factors),
        recall=evaluate.of_factors(user_factors, item_factors, interactions, ranked).recall,
        popularity_recall=evaluate.of_popularity(interactions, ranked).recall,
        untrained_recall=evaluate.of_factors(
            training.user_factors, training.item_factors, interactions, ranked
        ).recall,
    )


def judged(update_error: float, learnt: Learning) -> Verification:
    """Return the verification; NaN in any part is not accepted."""
    needed = POPULARITY_FACTOR * learnt.popularity_recall
    if needed > ATTAINABLE_RECALL:
        needed = UNTRAINED_FACTOR * learnt.untrained_recall
    shares = (
        update_error / UPDATE_TOLERANCE,
        learnt.loss_after / (LOSS_SHARE * learnt.loss_before),
        needed / learnt.recall if learnt.recall else float("inf"),
    )
    detail = (
        f"update off by {update_error:.2g}; "
        f"loss {learnt.loss_before:.3f} before, {learnt.loss_after:.3f} after; "
        f"Recall@{evaluate.TOP} {learnt.recall:.4f}, at least {needed:.4f} needed: "
        "if only that is short, train for more epochs or change learning rate, margin or weight"
    )
    # np.max keeps a NaN, which the built-in may lose.
    return verified(float(np.max(shares)), 1.0, _REFERENCE, detail)
