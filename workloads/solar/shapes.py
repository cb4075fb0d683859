"""The shapes of the files that SOLAR was evaluated on, and what samples hold here instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import unknown


@dataclass(frozen=True, slots=True)
class Field:
    """One dataset of a file.

    Attributes:
        name: of the dataset.
        shape: of one sample.
        dtype: NumPy's name of it: "float32" or "int16".
        low: values are uniform from here
        high: to here, which is left out.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one sample."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def _ptychonn(side: int) -> tuple[Field, ...]:
    return (
        Field("X", (side, side), "float32", 0.0, 1.0),
        Field("Y_I", (side, side), "float32", 0.0, 1.0),
        Field("Y_phi", (side, side), "float32", -math.pi, math.pi),
    )


def _autophase(side: int) -> tuple[Field, ...]:
    return (
        Field("diffraction", (side, side, side), "float32", 0.0, 1.0),
        Field("amplitude", (side, side, side), "float32", 0.0, 1.0),
        Field("phase", (side, side, side), "float32", -math.pi, math.pi),
    )


def _cosmoflow(side: int) -> tuple[Field, ...]:
    return (
        Field("full", (side, side, side, 4), "int16", 0, 256),
        Field("unitPar", (4,), "float32", -1.0, 1.0),
    )


SHAPES: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        "ptychonn": _ptychonn(64),
        "ptychonn-128": _ptychonn(128),
        "autophase": _autophase(64),
        "autophase-32": _autophase(32),
        "cosmoflow": _cosmoflow(128),
        "cosmoflow-32": _cosmoflow(32),
    }
)
"""By name.

ptychonn: diffraction, amplitude and phase of 64 x 64, as PtychoNN trains on (Cherukara et al.,
Applied Physics Letters 117, 044103, 2020; `PyTorch/CNN_encoder_decoder` of its repository). 128 is
the size of the detector images before they are halved there.
autophase: 64^3 each, as AutoPhaseNN (Yao et al., npj Computational Materials 8, 124, 2022;
`TF2/data_generator.py` of its repository).
cosmoflow: counts of particles in 128^3 cells at four redshifts, and four cosmological parameters,
named as in the HDF5 files that MLPerf HPC prepares (`cosmoflow/prepare.py` of mlcommons/hpc).
The smaller ones are these with shorter sides.
"""


def fields_of(shape: str) -> tuple[Field, ...]:
    """Return the datasets of a named shape.

    Raises:
        AssayError: there is no shape of that name.
    """
    if shape not in SHAPES:
        raise unknown("sample shape", shape, SHAPES)
    return SHAPES[shape]


def sample(shape: str, seed: int, index: int) -> tuple[NDArray[Any], ...]:
    """Return what a generated file holds as one sample: an array for each dataset.

    Each array has its own stream of random numbers, so any sample can be made by itself and no two
    are alike.

    Args:
        shape: one of SHAPES.
        seed: of the file, not negative.
        index: of the sample.
    """
    arrays = []
    for number, field in enumerate(fields_of(shape)):
        row = np.empty(field.shape, field.dtype)
        fill(row, field, seed, number, index)
        arrays.append(row)
    return tuple(arrays)


def fill(row: NDArray[Any], field: Field, seed: int, number: int, index: int) -> None:
    """Write one sample of the field of that number in its shape into `row`, which is contiguous."""
    random = np.random.Generator(np.random.SFC64([seed, number, index]))
    if field.dtype == "float32":
        random.random(out=row, dtype=np.float32)
        row *= np.float32(field.high - field.low)
        row += np.float32(field.low)
    else:
        row[...] = random.integers(int(field.low), int(field.high), field.shape, field.dtype)
