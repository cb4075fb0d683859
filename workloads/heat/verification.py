"""Accepts a variant only if its update is the model's own and its training learns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from harness.records import Verification, verified
from workloads.heat import evaluate
from workloads.heat.learned import Learned
from workloads.heat.settings import Settings
from workloads.heat.training import ChecksLoss, Factors, Trainer, Training

UPDATE_TOLERANCE = 1e-4
"""Relative. Float32 sums of at most 4,096 products stay below 1e-5; a wrong sign or factor is 1."""

LOSS_TOLERANCE = 0.01
"""Relative, of the loss after a small training that the reference repeats draw for draw."""

LOSS_SHARE = 0.95
"""Training ends at most at this share of the initial loss; the defaults end below 0.7 of it."""

POPULARITY_FACTOR = 2.5
"""Recall@20 of what was learnt over that of recommending the most popular items to everyone."""

ATTAINABLE_RECALL = 0.25
"""Where few items or a strong popularity put the above beyond this, no model reaches it: Recall@20
of the best published models on sparse data with tens of thousands of items is below it."""

UNTRAINED_FACTOR = 1.5
"""Recall@20 of what was learnt over that of the initial factors, where popularity cannot be it."""

BASELINE_SHARE = 0.98
"""Of the Recall@20 of the baseline, trained alike, where that is known."""

GOWALLA_DIGEST = "d9c4112c1d721d62"
"""Of the Gowalla interactions in LightGCN's split (`interactions.digest`)."""

GOWALLA_FLOORS = {(64, 8): 0.160, (256, 4): 0.160, (1024, 24): 0.175}
"""Least Recall@20 on them, by negatives and epochs, with a row length of 128."""

_FLOOR_DIM = 128

_INTERACTIONS = 2_000
_NEGATIVES = 64
"""Of the loss before and after: enough for a standard error of about 0.01."""

_REFERENCE = (
    f"update of a small problem against float64 NumPy within {UPDATE_TOLERANCE:g}, and where the "
    f"draws can be repeated the loss after a small training within {LOSS_TOLERANCE:g}; after one "
    f"training, loss at most {LOSS_SHARE:g} of the initial one and Recall@20 at least "
    f"{POPULARITY_FACTOR:g} times that of popularity, or where that is beyond "
    f"{ATTAINABLE_RECALL:g}, {UNTRAINED_FACTOR:g} times that of the initial factors, and at least "
    f"{BASELINE_SHARE:g} of the baseline's where that is known; "
    "error is the largest share of what is allowed"
)


@dataclass(frozen=True, slots=True)
class Checks:
    """How far a trainer is from the reference.

    Attributes:
        update: of one update or epoch, relative.
        loss: of the loss after a small training, relative; 0 where it cannot be repeated.
    """

    update: float
    loss: float = 0.0


def checks(trainer: Trainer, seed: int) -> Checks:
    """Hold a trainer against the reference."""
    loss = trainer.loss_error(seed) if isinstance(trainer, ChecksLoss) else 0.0
    return Checks(trainer.update_error(seed), loss)


def learn(trainer: Trainer, training: Training) -> Learned:
    """Train once from the start and return what came of it."""
    trainer.reset()
    trainer.train()
    return learning(training, *trainer.factors())


def time_to_recall(
    training: Training, train: Callable[[Training], Trainer], recall: float
) -> float | None:
    """Return the seconds of the shortest training that reaches a recall; None where none does.

    The learning rate falls over as many epochs as there are, so a longer training does not pass
    through a shorter one: their number is searched by bisection, as recall grows with it. What is
    found is trained once more for the time, so that a lucky training is not the one that counts.
    """
    low, high = 0, training.settings.epochs
    while high - low > 1:
        middle = (low + high) // 2
        reached, _ = _trained(training, train, middle)
        low, high = (low, middle) if reached >= recall else (middle, high)
    reached, taken = _trained(training, train, high)
    return taken if reached >= recall else None


def _trained(
    training: Training, train: Callable[[Training], Trainer], epochs: int
) -> tuple[float, float]:
    """Return the recall of a training of so many epochs, and its seconds."""
    shorter = replace(training, settings=replace(training.settings, epochs=epochs))
    trainer = train(shorter)
    started = time.perf_counter()
    trainer.train()
    taken = time.perf_counter() - started
    return evaluate.of_factors(*trainer.factors(), training.interactions).recall, taken


def learning(training: Training, user_factors: Factors, item_factors: Factors) -> Learned:
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

    reached = evaluate.of_factors(user_factors, item_factors, interactions)
    start = training.user_factors, training.item_factors
    return Learned(
        loss_before=loss(*start),
        loss_after=loss(user_factors, item_factors),
        recall=reached.recall,
        ndcg=reached.ndcg,
        popularity_recall=evaluate.of_popularity(interactions).recall,
        untrained_recall=evaluate.of_factors(*start, interactions).recall,
    )


def floor(settings: Settings, data: str) -> float:
    """Return the least Recall@20 that these settings must reach on this data; 0 for none known."""
    if data != GOWALLA_DIGEST or settings.dim != _FLOOR_DIM:
        return 0.0
    return GOWALLA_FLOORS.get((settings.negatives, settings.epochs), 0.0)


def judged(checked: Checks, learnt: Learned, *, floor: float = 0.0) -> Verification:
    """Return the verification; NaN in any part is not accepted.

    Args:
        checked: against the reference.
        learnt: by one training.
        floor: the least Recall@20, besides what popularity asks for.
    """
    needed = POPULARITY_FACTOR * learnt.popularity_recall
    if needed > ATTAINABLE_RECALL:
        needed = UNTRAINED_FACTOR * learnt.untrained_recall
    needed = max(needed, floor)
    shares = (
        checked.update / UPDATE_TOLERANCE,
        checked.loss / LOSS_TOLERANCE,
        learnt.loss_after / (LOSS_SHARE * learnt.loss_before),
        needed / learnt.recall if learnt.recall else float("inf"),
    )
    detail = (
        f"update off by {checked.update:.2g}, loss of a small training by {checked.loss:.2g}; "
        f"loss {learnt.loss_before:.3f} before, {learnt.loss_after:.3f} after; "
        f"Recall@{evaluate.TOP} {learnt.recall:.4f}, at least {needed:.4f} needed: "
        "if only that is short, train for more epochs or change learning rate, margin or weight"
    )
    # np.max keeps a NaN, which the built-in may lose.
    return verified(float(np.max(shares)), 1.0, _REFERENCE, detail)
