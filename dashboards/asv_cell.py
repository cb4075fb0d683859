"""One cell of an asv result list: the value of one quantity of one result, with its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.case_run import CaseRun
from harness.records import Measurement, Outcome, Result, Status
from harness.repetition import process_interval

CONFIDENCE = 0.99
"""asv's `stats_ci_99_a` and `stats_ci_99_b`."""

CI_FLOOR = 0.005
"""The narrowest half-width that is exported, as a share of the median.

asv weighs a point by the inverse width of its interval, so one point whose processes happen to
agree outweighs a whole history and is a regression by itself. Runs of one commit on one machine
rarely agree to better than half a percent.
"""

_LARGEST = 1e100
"""Beyond any number of s, B or J, and its square is still finite; NaN is not below it either."""

_TRUSTED = (Status.MEASURED, Status.INTEGRATED)


@dataclass(frozen=True, slots=True)
class Quantity:
    """What one asv benchmark holds of a workload.

    Attributes:
        name: the measurement's quantity, and the benchmark's last name.
        unit: SI unit of the measurement.
        asv_unit: the same unit under asv's name.
        asv_type: asv's kind of benchmark.
        per_item: whether the value of a step is divided by its items.
    """

    name: str
    unit: str
    asv_unit: str
    asv_type: str
    per_item: bool


QUANTITIES = (
    Quantity("time", "s", "seconds", "time", per_item=True),
    Quantity("peak_memory", "B", "bytes", "peakmemory", per_item=False),
    Quantity("energy", "J", "joules", "track", per_item=True),
)


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of one cell; the interval is None where there is one process only."""

    ci_99_a: float | None
    ci_99_b: float | None
    q_25: float
    q_75: float
    number: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with its statistics and samples, or the reason there is none.

    Attributes:
        value: the headline; None where the case failed, NaN where it was skipped or not measured.
        stats: None without a value.
        samples: the median of each process, which alone are independent.
    """

    value: float | None
    stats: Stats | None = None
    samples: tuple[float, ...] = ()


FAILED = Cell(None)
ABSENT = Cell(math.nan)


def cell_of(one: CaseRun, quantity: Quantity) -> Cell:
    """Return what asv is told of a quantity of a case."""
    if one.outcome not in (Outcome.OK, Outcome.SKIPPED):
        return FAILED
    measurement, groups = steady(one.result, quantity), groups_of(one, quantity)
    if measurement is None or not groups:
        return ABSENT
    samples = tuple(float(np.median(group)) for group in groups)
    q_25, value, q_75 = (float(q) for q in np.quantile(samples, [0.25, 0.5, 0.75]))
    low = high = None
    if len(samples) > 1 and min(samples) > 0:
        interval = process_interval([[sample] for sample in samples], CONFIDENCE)
        value, low, high = interval.estimate, interval.low, interval.high
    elif len(samples) > 1:
        # Some counters read 0, of which there is no logarithm; asv needs an interval all the same.
        low, high = min(samples), max(samples)
    low, high = _floored(value, low, high)
    stats = Stats(low, high, q_25, q_75, measurement.steps_per_sample, len(samples))
    return Cell(value, stats, samples)


def groups_of(one: CaseRun, quantity: Quantity) -> list[tuple[float, ...]]:
    """Return the samples of each process that has any which can be true, as `CaseRun.groups`."""
    speaks = one.measurement(quantity.name)
    if speaks is not None and speaks.status is Status.UNRESOLVABLE:
        return []
    return [samples for result in one.results if (samples := _samples(result, quantity))]


def _samples(result: Result, quantity: Quantity) -> tuple[float, ...]:
    measurement = steady(result, quantity)
    if result.outcome is not Outcome.OK or measurement is None:
        return ()
    divisor = result.work.items if quantity.per_item and result.work else 1.0
    if measurement.status not in _TRUSTED or not (math.isfinite(divisor) and divisor > 0):
        return ()
    samples = tuple(value / divisor for value in measurement.values)
    return samples if all(abs(sample) < _LARGEST for sample in samples) else ()


def steady(result: Result, quantity: Quantity) -> Measurement | None:
    """Return the measurement of a quantity after warm-up, in the unit that is exported."""
    for measurement in result.measurements:
        if (measurement.quantity, measurement.phase) == (quantity.name, "steady"):
            return measurement if measurement.unit == quantity.unit else None
    return None


def _floored(
    median: float, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    if low is None or high is None:
        return None, None
    floor = CI_FLOOR * abs(median)
    return min(low, median - floor), max(high, median + floor)
