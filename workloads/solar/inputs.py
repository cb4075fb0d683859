"""Which file is read: one of the user's, or one that is made once and kept."""

from __future__ import annotations

import math
from pathlib import Path

from harness import data
from harness.errors import AssayError
from harness.records import Params
from workloads.solar.shapes import SHAPES


def is_generated(params: Params) -> bool:
    """Return whether the data are made here."""
    return str(params["data"]) in SHAPES


def user_file(params: Params) -> Path:
    """Return the HDF5 file that `data` names: a path, or a name below a data folder.

    Raises:
        AssayError: there is no such file.
    """
    name = str(params["data"])
    try:
        path = data.find(name)
    except AssayError as error:
        raise AssayError(f"{error}; shapes to generate: {', '.join(SHAPES)}") from error
    if not path.is_file():
        raise AssayError(f"{path} is no file; name an HDF5 file")
    return path


def dataset_names(params: Params) -> tuple[str, ...]:
    """Return the datasets of a sample; () for every one of the file."""
    if is_generated(params):
        return tuple(field.name for field in SHAPES[str(params["data"])])
    return tuple(filter(None, (name.strip() for name in str(params["datasets"]).split(","))))


def slots(params: Params, samples: int) -> int:
    """Return the samples that each rank's buffer holds, of a share of all for all ranks."""
    return math.floor(float(params["buffer"]) * samples / int(params["world_size"]))
