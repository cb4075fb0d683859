"""One cell of an asv result list: the value of one quantity of one result, with its statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        reason: why there is no value though the case ended well; empty otherwise.
    """

    value: float | None
    stats: Stats | None = None
    samples: tuple[float, ...] = ()
    reason: str = ""


FAILED = Cell(None)
ABSENT = Cell(math.nan)


def cell_of(one: CaseRun, quantity: Quantity) -> Cell:
    """Return what asv is told of a quantity of a case."""
    speaks = one.result
    if speaks.outcome not in (Outcome.OK, Outcome.SKIPPED):
        return FAILED
    measurement = _steady(speaks, quantity)
    if measurement is None:
        return ABSENT
    samples = _medians(one, quantity)
    if not samples:
        told = one.measurement(quantity.name) or measurement
        return Cell(math.nan, reason=told.reason or told.status.value)
    ordered = sorted(samples)
    value = _quantile(ordered, 0.5)
    low = high = None
    if len(samples) > 1 and ordered[0] > 0:
        interval = process_interval([[sample] for sample in samples], CONFIDENCE)
        value, low, high = interval.estimate, interval.low, interval.high
    elif len(samples) > 1:
        # Some counters read 0, of which there is no logarithm; asv needs an interval all the same.
        low, high = ordered[0], ordered[-1]
    low, high = _floored(value, low, high)
    stats = Stats(
        low,
        high,
        _quantile(ordered, 0.25),
        _quantile(ordered, 0.75),
        measurement.steps_per_sample,
        len(samples),
    )
    return Cell(value, stats, samples)


def _medians(one: CaseRun, quantity: Quantity) -> tuple[float, ...]:
    """Return the median of each process that has samples which can be true.

    None at all where one process could not resolve it: the others tell the larger half only.
    """
    found = []
    for result in one.results:
        named = result.measurement(quantity.name)
        if named is not None and named.status is Status.UNRESOLVABLE:
            return ()
        median = _median(result, quantity)
        if median is not None:
            found.append(median)
    return tuple(found)


def _median(result: Result, quantity: Quantity) -> float | None:
    measurement = _steady(result, quantity)
    if result.outcome is not Outcome.OK or measurement is None or not measurement.values:
        return None
    divisor = result.work.items if quantity.per_item and result.work else 1.0
    if measurement.status not in _TRUSTED or not (math.isfinite(divisor) and divisor > 0):
        return None
    # A sum is finite only where every value is a number.
    if not math.isfinite(sum(measurement.values)):
        return None
    ordered = sorted(measurement.values)
    if max(abs(ordered[0]), abs(ordered[-1])) >= _LARGEST * divisor:
        return None
    return _quantile(ordered, 0.5) / divisor


def _steady(result: Result, quantity: Quantity) -> Measurement | None:
    """Return the measurement of a quantity after warm-up, in the unit that is exported."""
    for measurement in result.measurements:
        if (measurement.quantity, measurement.phase) == (quantity.name, "steady"):
            return measurement if measurement.unit == quantity.unit else None
    return None


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile by linear interpolation: Hyndman & Fan's (1996) definition 7."""
    at = (len(ordered) - 1) * share
    below = int(at)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (at - below)


def _floored(
    median: float, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    if low is None or high is None:
        return None, None
    floor = CI_FLOOR * abs(median)
    return min(low, median - floor), max(high, median + floor)
