"""The workload `heat`: training matrix factorisation with the cosine contrastive loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.allocator import KEEP_FREED_MEMORY
from harness.data import Dataset
from harness.protocols import Device
from harness.records import Case, Facts, Parameter, Params, Quality, Variant, Verification, Work
from harness.registry import resolve
from workloads.heat import evaluate, interactions, synthetic
from workloads.heat.gowalla import GOWALLA
from workloads.heat.settings import (
    CASES,
    PARAMETERS,
    SYNTHETIC,
    Settings,
    checked,
    data_folder,
    settings,
)
from workloads.heat.training import Compiles, Trainer, Training, training
from workloads.heat.verification import verify

_VARIANTS = (
    Variant(
        name="torch",
        run="workloads.heat.torch_dense:run",
        baseline=True,
        packages=frozenset({"torch"}),
    ),
    Variant(
        name="numba",
        run="workloads.heat.numba_sgd:run",
        requires=frozenset({"host"}),
        packages=frozenset({"numba"}),
    ),
)


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
    "torch": _Cost(start_s=4.0, product_s=7e-9, row_s=2e-9),
    "numba": _Cost(start_s=8.0, product_s=4e-10, row_s=0.0),
}
"""Measured with `epochs` and `negatives` varied at the ci and Gowalla shapes."""

_READ_S = 1e-5
"""An interaction: reading or generating it, and ranking all items for its user, twice."""

_TRAININGS = 9
"""To verify, to warm up, for the peak, and the six samples of time at least."""


@dataclass(frozen=True, slots=True)
class State:
    """What the steps of one case work on."""

    training: Training
    trainer: Trainer
    digest: str


@dataclass(frozen=True, slots=True)
class Heat:
    """A step is one complete training from the initial weights; `docs/workloads/heat.md` explains.

    After HEAT (Zhang et al., ICS 2023) and SimpleX (Mao et al., CIKM 2021).
    """

    name: str = "heat"
    version: str = "1"
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
        training_s = chosen.epochs * (
            pairs * (1 + chosen.negatives) * chosen.dim * cost.product_s
            + pairs / chosen.batch * (users + items) * chosen.dim * cost.row_s
        )
        return cost.start_s + pairs * _READ_S + _TRAININGS * training_s

    def worker_env(self, case: Case) -> Mapping[str, str]:
        """Return the allocator setting that torch runs at its best with."""
        return KEEP_FREED_MEMORY if case.variant == "torch" else {}

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
        trainer: Trainer = resolve(variant.run)(start, device)
        return State(start, trainer, interactions.digest(data))

    def before_sample(self, state: State) -> None:
        """Go back to the initial weights, optimiser state and random streams."""
        state.trainer.reset()

    def step(self, state: State) -> None:
        """Train all epochs."""
        state.trainer.train()

    def verify(self, state: State) -> Verification:
        """Check an update against the reference, and that one training learns."""
        return verify(state.trainer, state.training)

    def quality(self, state: State) -> Quality:
        """Return Recall@20 and NDCG@20 over all users that have test items."""
        found = evaluate.of_factors(*state.trainer.factors(), state.training.interactions)
        return Quality(
            {f"recall@{evaluate.TOP}": found.recall, f"ndcg@{evaluate.TOP}": found.ndcg},
            detail="all users that have test items, all items ranked, training items left out",
        )

    def work(self, state: State) -> Work:
        """Return the least that a training does: the forward pass, reading each row it needs.

        FLOPs are those of 1 + negatives dot products and of the lengths of as many items and one
        user; bytes are those rows, and the rows of user and positive written back. The backward
        pass of a negative above the margin is not counted: how many there are, training decides.
        """
        data, chosen = state.training.interactions, state.training.settings
        steps = data.train_items.size * chosen.epochs
        products = 2 * (1 + chosen.negatives) + 1
        rows = (1 + chosen.negatives) + 1 + 2
        row_bytes = 4.0 * chosen.dim
        return Work(
            items=float(steps),
            item="interaction",
            flops={"float32": steps * products * 2.0 * chosen.dim},
            bytes={"memory": steps * rows * row_bytes},
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

    def datasets(self) -> Sequence[Dataset]:
        """Return the data sets that `assay data` fetches."""
        return (GOWALLA,)


def _shape(chosen: Settings) -> tuple[int, int, int]:
    """Return users, items and interactions, guessed from the files' size where data is a folder."""
    if chosen.data == SYNTHETIC:
        return chosen.users, chosen.items, chosen.interactions
    # Of Gowalla: 5.7 bytes an interaction, 27 of them a user, 20 an item.
    size_bytes = sum(path.stat().st_size for path in interactions.files(data_folder(chosen.data)))
    pairs = max(1, round(size_bytes / 5.7))
    return pairs // 27 + 1, pairs // 20 + 1, pairs


WORKLOAD = Heat()
