"""One cell of an asv result list: the value of one quantity of one result, with its statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from harness.records import Measurement, Outcome, Result, Status
from harness.statistics import median_interval

CONFIDENCE = 0.99
"""asv's `stats_ci_99_a` and `stats_ci_99_b`."""

CI_FLOOR = 0.005
"""The narrowest half-width that is exported, as a share of the median.

asv weighs a point by the inverse width of its interval, so one point whose few samples happen to
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
    """Statistics of one cell; the interval is None where there is one sample only."""

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
        value: the median; None where the case failed, NaN where it was skipped or not measured.
        stats: None without a value.
        samples: every sample, in the order in which they were taken.
    """

    value: float | None
    stats: Stats | None = None
    samples: tuple[float, ...] = ()


FAILED = Cell(None)
ABSENT = Cell(math.nan)


def cell_of(result: Result, quantity: Quantity) -> Cell:
    """Return what asv is told of a quantity of a result."""
    if result.outcome not in (Outcome.OK, Outcome.SKIPPED):
        return FAILED
    measurement, samples = steady(result, quantity), samples_of(result, quantity)
    if measurement is None or not samples:
        return ABSENT
    low, high = _interval(samples)
    q_25, median, q_75 = (float(q) for q in np.quantile(samples, [0.25, 0.5, 0.75]))
    stats = Stats(low, high, q_25, q_75, measurement.steps_per_sample, len(samples))
    return Cell(median, stats, samples)


def samples_of(result: Result, quantity: Quantity) -> tuple[float, ...]:
    """Return the samples that are exported; none where they cannot be had or cannot be true."""
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


def _interval(samples: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 99 % interval of the median, never narrower than the floor.

    From eight samples on it is made of order statistics, without assuming a distribution. Fewer
    cannot enclose the median in 99 % of all cases, whatever the distribution (the extremes of
    seven reach 98.4 %); there it is Student's t interval, t s / sqrt(n), around the median, which
    assumes a normal distribution and is wide: 45 s for two samples, 1.4 s for seven.
    """
    n = len(samples)
    if n == 1:
        return None, None
    interval = median_interval(samples, CONFIDENCE)
    median = interval.estimate
    if interval.confidence >= CONFIDENCE and interval.low is not None and interval.high is not None:
        low, high = interval.low, interval.high
    else:
        t = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        half_width = t * float(np.std(samples, ddof=1)) / math.sqrt(n)
        low, high = median - half_width, median + half_width
    floor = CI_FLOOR * abs(median)
    return min(low, median - floor), max(high, median + floor)
