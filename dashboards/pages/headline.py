"""The number that stands for a quantity of a case, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from dashboards.pages.entries import Entry
from harness.ceilings import IMPOSSIBLE
from harness.columns import ragged
from harness.intervals import process_intervals
from harness.statistics import Interval


@dataclass(frozen=True, slots=True)
class Headline:
    """A quantity of a case in one run.

    Attributes:
        unit: SI unit, per item for time and energy.
        interval: None where there is no number.
        status: how it came about; "impossible" where it is beyond its ceiling.
        reason: why there is none, and the fix.
        middles: the median of each process; none where there is no number.
    """

    unit: str
    interval: Interval | None
    status: str
    reason: str
    middles: tuple[float, ...]


def headline_of(entry: Entry, quantity: str) -> Headline | None:
    """Return the headline of a quantity; None where it was not asked for or the case failed.

    What is beyond its ceiling has a status and no number: it is no result.
    """
    told = next((one for one in entry.ending.told if one.quantity == quantity), None)
    if told is None:
        return None
    if entry.ending.impossible:
        return Headline(told.unit, None, IMPOSSIBLE, "beyond its ceiling", ())
    amount = entry.seen.amounts.get(quantity)
    if amount is None:
        return Headline(told.unit, None, told.status, told.reason, ())
    # Some counters read 0, of which there is no logarithm and so no interval.
    if min(amount.middles) > 0:
        found = process_intervals(ragged([amount.middles]))[0]
    else:
        found = Interval(median(amount.middles), None, None, 0.0)
    return Headline(amount.unit, found, told.status, "", amount.middles)
