"""The parameters of a case, their ranges and the cases of each size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from harness.data import find
from harness.errors import AssayError
from harness.records import Parameter, Params
from workloads.heat.interactions import files
from workloads.heat.synthetic import ITEMS_PER_COMMUNITY, MAX_DENSITY

SYNTHETIC = "synthetic"
"""The value of `data` that generates interactions instead of reading them."""

PARAMETERS: Mapping[str, Parameter] = {
    "data": Parameter(SYNTHETIC, "synthetic, a file or folder of interactions, or a data set"),
    "users": Parameter(3_000, "users of the synthetic data; 0 where data is a folder"),
    "items": Parameter(4_096, "items of the synthetic data; 0 where data is a folder"),
    "interactions": Parameter(
        60_000, "training interactions of the synthetic data; 0 where data is a folder"
    ),
    "dim": Parameter(64, "embedding dim"),
    "negatives": Parameter(16, "negatives an interaction"),
    "epochs": Parameter(4, "epochs a step trains for, from the initial weights"),
    "margin": Parameter(0.45, "cosine below which a negative costs nothing"),
    "weight": Parameter(25.0, "weight of the mean over negatives against the positive"),
    "batch": Parameter(0, "interactions an update; 0 for what the variant does best with"),
    "lr_adam": Parameter(0.004, "learning rate of Adam, of the mean loss of a batch"),
    "lr_sgd": Parameter(0.01, "learning rate of SGD, of the sum of losses"),
    "lr_end": Parameter(1.0, "share of the learning rate that is left in the last epoch"),
    "sampled": Parameter(0, "interactions a step of a torch variant trains on; 0 for all epochs"),
    "tile": Parameter(512, "items of a tile, in heat-tile; 0 to fit the cache"),
    "refresh": Parameter(
        2_048, "interactions a tile is used for, in heat-tile; 0 to fit the cache"
    ),
    "history": Parameter(0, "items of a user's history in SimpleX; 0 for matrix factorisation"),
    "user_weight": Parameter(1.0, "g of SimpleX, of the user's row against the history"),
    "pooling": Parameter("mean", "of the history: mean, self-attention or user-attention"),
}
"""The defaults learn in a few epochs both on the synthetic data and on Gowalla, whose best are not
the same: a low margin and a small weight for the one, a high margin and a large one for the other.
"""

_MIDDLE: Params = {"users": 12_000, "items": 16_384, "interactions": 300_000}
_GOWALLA_SHAPE: Params = {"users": 29_858, "items": 40_981, "interactions": 810_128}
_FOR_GOWALLA: Params = {
    "dim": 128, "margin": 0.6, "weight": 80.0, "lr_adam": 0.002, "lr_end": 0.15, "sampled": 12_288,
}  # fmt: skip
"""Below the margin 0.9 and weight 150 of the published run on Gowalla, which has 800 negatives."""

CASES: Mapping[str, tuple[Params, ...]] = {
    "ci": ({"epochs": 6, "sampled": 20_480},),
    "small": tuple({**_MIDDLE, "negatives": count, "sampled": 20_480} for count in (32, 64)),
    "medium": (
        {**_GOWALLA_SHAPE, **_FOR_GOWALLA, "negatives": 64, "epochs": 8},
        {**_GOWALLA_SHAPE, **_FOR_GOWALLA, "negatives": 256, "epochs": 4},
    ),
    "paper": ({**_GOWALLA_SHAPE, **_FOR_GOWALLA, "negatives": 1_024, "epochs": 24},),
}
"""Parameters of each size; what is not named takes its default."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "dim": (2, 4_096),
    "negatives": (1, 65_536),
    "epochs": (1, 100_000),
    "margin": (-1, 1),
    "weight": (1e-6, 1e6),
    "batch": (0, 1 << 20),
    "lr_adam": (1e-9, 1e3),
    "lr_sgd": (1e-9, 1e3),
    "lr_end": (0, 1),
    "sampled": (0, 1 << 31),
    "tile": (0, 1 << 24),
    "refresh": (0, 1 << 31),
    "history": (0, 10_000),
    "user_weight": (0, 1),
}
"""Lowest and highest value of each parameter that is not about the data's shape."""

POOLINGS = ("mean", "self-attention", "user-attention")

_MAX_ROWS = 100_000_000
_MAX_INTERACTIONS = 1_000_000_000
"""Three times the largest public sets, so that a slip of the finger does not fill the memory."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of one case as typed values; `PARAMETERS` explains them."""

    data: str
    users: int
    items: int
    interactions: int
    dim: int
    negatives: int
    epochs: int
    margin: float
    weight: float
    batch: int
    lr_adam: float
    lr_sgd: float
    lr_end: float
    sampled: int
    tile: int
    refresh: int
    history: int
    user_weight: float
    pooling: str


def settings(params: Params) -> Settings:
    """Return the parameters as typed values; what is missing takes its default."""
    values = {name: params.get(name, each.default) for name, each in PARAMETERS.items()}
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})  # type: ignore[arg-type]


def checked(params: Params) -> Params:
    """Return the parameters in normal form: where `data` is a folder, its shape is set to 0.

    Raises:
        AssayError: a value is out of range, or `data` is neither synthetic nor a file or folder of
            interactions.
    """
    for name, (low, high) in _RANGES.items():
        _check_range(params, name, low, high)
    if params["pooling"] not in POOLINGS:
        raise AssayError(f"pooling={params['pooling']} is unknown; use {', '.join(POOLINGS)}")
    if params["data"] != SYNTHETIC:
        files(data_folder(str(params["data"])))
        return {**params, "users": 0, "items": 0, "interactions": 0}
    _check_range(params, "users", 2, _MAX_ROWS)
    _check_range(params, "items", ITEMS_PER_COMMUNITY, _MAX_ROWS)
    users, items = int(params["users"]), int(params["items"])
    most = min(math.floor(users * items * MAX_DENSITY), _MAX_INTERACTIONS)
    _check_range(params, "interactions", users, most)
    return params


def data_folder(data: str) -> Path:
    """Return the folder that `data` names: a path, or the name of a data set that is there.

    Raises:
        AssayError: there is none.
    """
    return find(data)


def cases(size: str) -> Iterable[Params]:
    """Return the parameters of each case of a size."""
    return CASES[size]


def _check_range(params: Params, name: str, low: float, high: float) -> None:
    value = float(params[name])
    if not low <= value <= high:
        raise AssayError(f"{name}={params[name]} is out of range; use {low:g} to {high:g}")
