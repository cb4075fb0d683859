"""Thins the samples of old results on request: fewer samples with the same five-number summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness import store
from harness.records import Measurement, Result

_T = TypeVar("_T")

MIN_KEPT = 7
"""Six samples a side are what asv's comparison needs; one may go for the sake of the median."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """How many results were seen and thinned, and how many samples were dropped."""

    seen: int
    results: int
    samples: int
    problems: tuple[str, ...]


def prune(root: Path, *, older_than_s: float, keep: int, dry_run: bool = False) -> PruneReport:
    """Thin every result of a finished run that started longer than `older_than_s` seconds ago.

    Raises:
        AssayError: the folder cannot be read or written.
    """
    contents = store.read(root)
    before = time.time() - older_than_s
    results = samples = 0
    for stored in contents.results:
        finished = (stored.path.parent / "finished").exists()
        if stored.result.started_at >= before or not finished:
            continue
        thinned = thin(stored.result, keep)
        fewer = _samples(stored.result) - _samples(thinned)
        if fewer == 0:
            continue
        results += 1
        samples += fewer
        if not dry_run:
            store.write_record(stored.path, "result", thinned)
    return PruneReport(len(contents.results), results, samples, contents.problems)


def thin(result: Result, keep: int) -> Result:
    """Return the result with about `keep` samples of each quantity.

    Kept are the samples at evenly spaced ranks, the same from either end, so that the extremes and
    the median stay as they are and the quartiles move at most to a neighbouring sample's place.
    They stay in the order in which they were taken; the flag `thinned` is added.
    """
    return replace(
        result, measurements=tuple(_thin(measured, keep) for measured in result.measurements)
    )


def _thin(measurement: Measurement, keep: int) -> Measurement:
    count = len(measurement.values)
    # As many as the count's parity allows: the median is one middle sample, or the mean of two.
    keep -= (keep - count) % 2
    if count <= keep:
        return measurement
    lower = np.linspace(0, (count - 1) // 2, (keep + 1) // 2).round().astype(int)
    ranks = np.unique([*lower, *(count - 1 - lower)])
    kept = sorted(np.argsort(measurement.values, kind="stable")[ranks].tolist())
    return replace(
        measurement,
        values=_pick(measurement.values, kept),
        noise=_pick(measurement.noise, kept) if measurement.noise else (),
        flags=(*(flag for flag in measurement.flags if flag != "thinned"), "thinned"),
    )


def _pick(values: Sequence[_T], places: Sequence[int]) -> tuple[_T, ...]:
    return tuple(values[place] for place in places)


def _samples(result: Result) -> int:
    return sum(len(measurement.values) for measurement in result.measurements)
