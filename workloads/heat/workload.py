"""The workload `heat`: training matrix factorisation with the cosine contrastive loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.allocator import KEEP_FREED_MEMORY
from harness.data import Dataset
from harness.protocols import Device
from harness.records import Case, Facts, Parameter, Params, Quality, Variant, Verification, Work
from harness.registry import resolve
from workloads.heat import evaluate, interactions, synthetic
from workloads.heat.datasets import DATASETS
from workloads.heat.learned import Learned, cache_folder, digest_of, keep, kept
from workloads.heat.settings import (
    CASES,
    PARAMETERS,
    SYNTHETIC,
    Settings,
    checked,
    data_folder,
    settings,
)
from workloads.heat.simplex_reference import MEAN, has_tower
from workloads.heat.training import (
    Compiles,
    Counts,
    Declares,
    Trainer,
    Training,
    TrainsPartly,
    training,
)
from workloads.heat.verification import (
    BASELINE_SHARE,
    checks,
    floor,
    judged,
    learn,
    time_to_recall,
)

_TORCH = frozenset({"torch"})
_HOST = frozenset({"host"})
_NUMBA = frozenset({"numba"})

_VARIANTS = (
    Variant("torch", "workloads.heat.torch_variants:dense", baseline=True, packages=_TORCH),
    Variant("torch-sparse", "workloads.heat.torch_variants:sparse", packages=_TORCH),
    Variant("torch-shared", "workloads.heat.torch_variants:shared", packages=_TORCH),
    Variant("torch-shared-sparse", "workloads.heat.torch_variants:shared_sparse", packages=_TORCH),
    Variant("heat", "workloads.heat.per_sample:run", requires=_HOST, packages=_NUMBA),
    Variant("heat-tile", "workloads.heat.per_sample:run_tile", requires=_HOST, packages=_NUMBA),
    Variant("block", "workloads.heat.block:run", requires=_HOST, packages=_NUMBA),
    Variant("block-float32", "workloads.heat.block:run_float32", requires=_HOST, packages=_NUMBA),
)
_BASELINE = _VARIANTS[0].name
_MAX_BLOCK = 16_384
"""A thread keeps 28 bytes for each pair of an interaction and 128 negatives."""

_SIMPLEX = ("block", "block-float32")
"""The compiled variants that have a history."""

_QUICK_AT_A_COST = ("heat-tile",)
"""Variants that are shown with the recall that they cost, whatever it is."""

GATED_INTERACTIONS = 500_000
"""From here on a variant must reach the baseline's recall. Fewer are too few updates of many
interactions each, and too few users to tell two percent of recall apart."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds on two cores of an x86-64 virtual machine, rounded up.

    Attributes:
        start_s: imports, and compilation where nothing is cached.
        product_s: one of the (1 + negatives) x dim products of an interaction.
        row_s: one value of the factors, once an update of `batch` interactions.
    """

    start_s: float
    product_s: float
    row_s: float


_COSTS = {
    "torch": _Cost(start_s=4.0, product_s=3.5e-9, row_s=2e-9),
    "torch-sparse": _Cost(start_s=4.0, product_s=3.5e-9, row_s=0.0),
    "torch-shared": _Cost(start_s=4.0, product_s=6e-10, row_s=2e-9),
    "torch-shared-sparse": _Cost(start_s=4.0, product_s=6e-10, row_s=0.0),
    "heat": _Cost(start_s=3.5, product_s=2e-10, row_s=0.0),
    "heat-tile": _Cost(start_s=3.5, product_s=1e-10, row_s=0.0),
    "block": _Cost(start_s=7.0, product_s=1e-11, row_s=0.0),
    "block-float32": _Cost(start_s=7.0, product_s=2e-11, row_s=0.0),
}
"""Measured with `epochs` and `negatives` varied at the ci and Gowalla shapes."""

_HISTORY_S = 4e-10
"""A value of a history's rows, read and written."""

_READ_S = 1e-5
"""An interaction: reading or generating it, and ranking all items for its user, twice."""

_BATCHES = {"torch-shared": 256, "torch-shared-sparse": 256}
"""Of the variants' own; 1,024 for the others'."""

_TRAININGS = 9
"""To verify, to warm up, for the peak, and the six samples of time at least."""


@dataclass(frozen=True, slots=True)
class State:
    """What the steps of one case work on.

    Attributes:
        variant: its name.
        run: its import path.
        device: what it runs on.
        train: makes a trainer of another training on the same device.
        digest: of the interactions.
    """

    variant: str
    run: str
    device: str
    training: Training
    trainer: Trainer
    train: Callable[[Training], Trainer]
    digest: str

    @property
    def sampled(self) -> int:
        """How many interactions a step trains on; 0 for a complete training."""
        partly = isinstance(self.trainer, TrainsPartly)
        return self.training.settings.sampled if partly else 0

    @property
    def share(self) -> float:
        """The share of a complete training that a step does."""
        if not self.sampled:
            return 1.0
        assert isinstance(self.trainer, TrainsPartly)
        pairs, batch = self.training.interactions.train_items.size, self.trainer.recipe()["batch"]
        done = min(-(-self.sampled // batch) * batch, pairs)
        return float(done / (pairs * self.training.settings.epochs))


@dataclass(frozen=True, slots=True)
class Heat:
    """A step is one complete training from the initial weights; `docs/workloads/heat.md` explains.

    After HEAT (Zhang et al., ICS 2023) and SimpleX (Mao et al., CIKM 2021).
    """

    name: str = "heat"
    version: str = "2"
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: PARAMETERS)
    variants: Sequence[Variant] = _VARIANTS

    def cases(self, size: str) -> Iterable[Params]:
        """Return the parameters of each case of a size."""
        return CASES[size]

    def check(self, params: Params) -> Params:
        """Return the parameters in normal form: where `data` is a folder, its shape is set to 0.

        Raises:
            AssayError: a value is out of range, or the folder does not hold the data.
        """
        return checked(params)

    def estimate_s(self, variant: Variant, params: Params) -> float:
        """Return the seconds of start, data and the fewest trainings a worker does."""
        chosen = settings(params)
        # Others' variants take the baseline's cost: rather too long than too short.
        cost = _COSTS.get(variant.name, _COSTS["torch"])
        users, items, pairs = _shape(chosen)
        batch = chosen.batch or _BATCHES.get(variant.name, 1_024)
        training_s = chosen.epochs * (
            pairs * (1 + chosen.negatives) * chosen.dim * cost.product_s
            + pairs / batch * (users + items) * chosen.dim * cost.row_s
            + pairs * chosen.history * chosen.dim * _HISTORY_S
        )
        trainings = 1 if chosen.sampled and variant.packages == _TORCH else _TRAININGS
        return cost.start_s + pairs * _READ_S + trainings * training_s

    def worker_env(self, case: Case) -> Mapping[str, str]:
        """Return the allocator setting that torch runs at its best with."""
        return KEEP_FREED_MEMORY if case.variant.startswith("torch") else {}

    def prepare(self, device: Device, variant: Variant, params: Params, seed: int) -> State:
        """Read or generate the interactions and put them on the device, with the initial factors.

        Raises:
            AssayError: the files are not interactions.
        """
        chosen = settings(params)
        data = (
            synthetic.generate(chosen.users, chosen.items, chosen.interactions, seed)
            if chosen.data == SYNTHETIC
            else interactions.read(data_folder(chosen.data))
        )
        start = training(data, chosen, seed)

        def train(begun: Training) -> Trainer:
            trainer: Trainer = resolve(variant.run)(begun, device)
            return trainer

        digest = interactions.digest(data)
        return State(variant.name, variant.run, device.name, start, train(start), train, digest)

    def before_sample(self, state: State) -> None:
        """Go back to the initial weights, optimiser state and random streams."""
        state.trainer.reset()

    def step(self, state: State) -> None:
        """Train all epochs, or on a part of one where that would take too long."""
        if state.sampled:
            assert isinstance(state.trainer, TrainsPartly)
            state.trainer.train_part(state.sampled)
        else:
            state.trainer.train()

    def verify(self, state: State) -> Verification:
        """Check an update against the reference, and that one training learns."""
        checked = checks(state.trainer, state.training.seed)
        return judged(checked, _learned(state), floor=_floor(state))

    def quality(self, state: State) -> Quality:
        """Return Recall@20 and NDCG@20 over all users that have test items.

        Where the baseline's recall is known, also how long a training takes that reaches it.
        """
        if state.sampled:
            learned = _learned(state)
            recall, ndcg = learned.recall, learned.ndcg
        else:
            found = evaluate.of_factors(*state.trainer.factors(), state.training.interactions)
            recall, ndcg = found.recall, found.ndcg
        values = {f"recall@{evaluate.TOP}": recall, f"ndcg@{evaluate.TOP}": ndcg}
        baseline = _baseline(state)
        if baseline is not None and not state.sampled and recall >= baseline.recall:
            taken = time_to_recall(state.training, state.train, baseline.recall)
            values |= {} if taken is None else {"s_to_baseline_recall": taken}
        ranked = evaluate.ranked_users(state.training.interactions).size
        everyone = ranked == state.training.interactions.users
        who = "all users" if everyone else f"of {ranked} users drawn by chance all"
        return Quality(
            values,
            detail=(
                f"{who} that have test items, all items ranked, training items left out; "
                f"a step is {state.share:.3g} of a training; {_declared(state.trainer)}"
            ),
        )

    def counters(self, state: State) -> Mapping[str, float]:
        """Return means over the interactions of the last epoch, where the variant counts."""
        return state.trainer.counters() if isinstance(state.trainer, Counts) else {}

    def work(self, state: State) -> Work:
        """Return the least that a step does: the forward pass, reading each row it needs.

        FLOPs are those of 1 + negatives dot products and of the lengths of as many items and one
        user; bytes are those rows, and the rows of user and positive written back. Variants whose
        interactions share negatives declare the rows of those once, and products of fewer bits as
        such. The backward pass of a negative above the margin is not counted: how many there are,
        training decides.
        """
        data, chosen = state.training.interactions, state.training.settings
        steps = data.train_items.size * chosen.epochs * state.share
        recipe = state.trainer.recipe() if isinstance(state.trainer, Declares) else {}
        shared = str(recipe.get("sampler", "")).startswith("shared")
        lengths = chosen.negatives / float(recipe["batch"]) if shared else float(chosen.negatives)
        rows = lengths
        if recipe.get("sampler") == "tile":
            rows = min(lengths, float(recipe["tile"]) / float(recipe["refresh"]))
        products = 2.0 * chosen.dim * chosen.negatives
        other = 2.0 * chosen.dim * (3 + lengths)
        if has_tower(chosen):
            # W times the pool, and its two gradients; the rows of a history read twice, written.
            counts = np.diff(data.train_ptr)
            history = float((np.minimum(counts, chosen.history) * counts).sum() / counts.sum())
            # Compiled, each user of a block once: at least this share of the interactions.
            once = min(1.0, data.users / float(recipe["batch"])) if shared else 1.0
            other += 6.0 * chosen.dim**2 * once
            rows += 3 * history * once
        dtype = str(recipe.get("products", "float32"))
        flops = {dtype: steps * products}
        flops["float32"] = flops.get("float32", 0.0) + steps * other
        row_bytes = 4.0 * chosen.dim
        return Work(
            items=float(steps),
            item="interaction",
            flops=flops,
            bytes={"memory": steps * (rows + 4) * row_bytes},
            working_set_bytes=(data.users + data.items) * row_bytes + 8.0 * data.train_items.size,
        )

    def spans(self, state: State) -> Mapping[str, float]:
        """Return how long the variant was compiled, in s, where it says so."""
        trainer = state.trainer
        return {"compile": trainer.compile_s} if isinstance(trainer, Compiles) else {}

    def inputs(self, state: State) -> Facts:
        """Return the shape of the interactions and the digest of their content."""
        data = state.training.interactions
        return {
            "data": state.training.settings.data,
            "users": data.users,
            "items": data.items,
            "train_interactions": int(data.train_items.size),
            "test_interactions": int(data.test_items.size),
            "digest": state.digest,
        }

    def unsupported(self, variant: Variant, features: frozenset[str], params: Params) -> str | None:
        """Return why a variant cannot train a model with a history, or so large a batch."""
        chosen = settings(params)
        if variant.packages == _NUMBA and chosen.batch > _MAX_BLOCK:
            return f"shares negatives among {_MAX_BLOCK} interactions at most; use a smaller batch"
        if not has_tower(chosen) or variant.packages != _NUMBA:
            return None
        if variant.name not in _SIMPLEX:
            return (
                f"trains matrix factorisation only; for SimpleX take {' or '.join(_SIMPLEX)} or a "
                "torch variant, or leave out history and user_weight"
            )
        if chosen.pooling != MEAN:
            return "compiles mean pooling only; use pooling=mean or a torch variant"
        return None

    def datasets(self) -> Sequence[Dataset]:
        """Return the data sets that `assay data` fetches."""
        return DATASETS


def _declared(trainer: Trainer) -> str:
    """Return how a variant trains, in words: variants with unlike inputs would not compare."""
    recipe = trainer.recipe() if isinstance(trainer, Declares) else {}
    return ", ".join(f"{name} {value}" for name, value in recipe.items())


def _learned(state: State) -> Learned:
    """Return what one complete training learnt; of a slow variant, once for all its workers."""
    digest = _digest(state, state.variant, state.training.settings)
    found = kept(cache_folder(), digest) if state.sampled else None
    if found is None:
        found = learn(state.trainer, state.training)
        if state.sampled or state.variant == _BASELINE:
            keep(cache_folder(), digest, found)
    return found


def _baseline(state: State) -> Learned | None:
    """Return what the baseline learnt from the same start, where a worker has trained it.

    The baseline is the one with batches of its own, whatever `batch` says to the variant.
    """
    chosen = state.training.settings
    if state.variant == _BASELINE and not chosen.batch:
        return None
    return kept(cache_folder(), _digest(state, _BASELINE, replace(chosen, batch=0)))


def _floor(state: State) -> float:
    if state.variant in _QUICK_AT_A_COST:
        return 0.0
    baseline = _baseline(state)
    if state.training.interactions.train_items.size < GATED_INTERACTIONS:
        baseline = None
    share = 0.0 if baseline is None else BASELINE_SHARE * baseline.recall
    return max(share, floor(state.training.settings, state.digest))


def _digest(state: State, variant: str, chosen: Settings) -> str:
    run = next((one.run for one in _VARIANTS if one.name == variant), state.run)
    if variant == _BASELINE:
        # What dense Adam does not know of makes no other training.
        chosen = replace(chosen, lr_sgd=0.0, tile=0, refresh=0)
    return digest_of(variant, run, state.device, chosen, state.training.seed, state.digest)


def _shape(chosen: Settings) -> tuple[int, int, int]:
    """Return users, items and interactions, guessed from the files' size where data is a folder."""
    if chosen.data == SYNTHETIC:
        return chosen.users, chosen.items, chosen.interactions
    # Gowalla has 27 interactions a user and 20 an item.
    pairs = interactions.estimated_interactions(data_folder(chosen.data))
    return pairs // 27 + 1, pairs // 20 + 1, pairs


WORKLOAD = Heat()
