"""The series on which detectors are compared: simulated noise of 1 %, and recorded A/A series."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_critical import autoregressive
from harness.data import find
from harness.errors import AssayError

LENGTH = 200
BEFORE = 150  # points before an injected step
CORRELATION = 0.6
RECORDED_BY_ASSAY = Path(__file__).parent / "recorded" / "aa_assay.jsonl"
_KERNELS = ("py", "mm", "copy", "spmv", "sort")
_APART = 0.0208  # between the two modes; with 0.3 % of scatter, 1 % in all

Values = NDArray[np.float64]


def noises() -> Mapping[str, Callable[[int, np.random.Generator], Values]]:
    """Return each kind of noise as a function of length and generator; values about 100."""
    return {
        "independent": lambda n, rng: _series(rng.standard_normal(n) / 100.0),
        "AR(.6)": lambda n, rng: _series(autoregressive(n, CORRELATION, rng) / 100.0),
        "bimodal": lambda n, rng: _series(
            _APART * (rng.random(n) < 0.3) + 0.003 * rng.standard_normal(n)
        ),
        "heavy tails, t(3)": lambda n, rng: _series(rng.standard_t(3, n) / np.sqrt(3.0) / 100.0),
        "skewed, lognormal": lambda n, rng: _series(rng.lognormal(0.0, 1.0, n) / 2.161 / 100.0),
    }


def simulated(noise: str, count: int, seed: int) -> list[Values]:
    """Return `count` series of one kind of noise."""
    rng = np.random.default_rng([seed, list(noises()).index(noise)])
    return [noises()[noise](LENGTH, rng) for _ in range(count)]


def recorded() -> dict[str, list[Values]]:
    """Return stretches of A/A series by where they come from, in order of time within a series.

    Raises:
        AssayError: `aa_series.jsonl` is below no data folder.
    """
    path = find("aa_series.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    series = [
        [row[kernel][statistic] for row in rows]
        for statistic in ("min", "med")
        for kernel in _KERNELS
    ]
    found = {"real A/A": [part for values in series for part in _stretches(values)]}
    if RECORDED_BY_ASSAY.exists():
        lines = RECORDED_BY_ASSAY.read_text().splitlines()
        own = [part for line in lines for part in _stretches(json.loads(line)["values"])]
        if own:
            found["A/A by Assay"] = own
    return found


def recorded_or_reason() -> tuple[dict[str, list[Values]], str]:
    """Return the recorded series, or none and why."""
    try:
        return recorded(), ""
    except AssayError as error:
        return {}, str(error)


def _series(noise: Values) -> Values:
    return np.asarray(100.0 * np.exp(noise), np.float64)


def _stretches(values: list[float]) -> list[Values]:
    return [
        np.array(values[at : at + LENGTH], np.float64)
        for at in range(0, len(values) - LENGTH + 1, LENGTH)
    ]
