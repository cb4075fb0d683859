"""The headlines of many cases at once: of each what `repetition.process_interval` tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.columns import Floats, Indices, Ragged
from harness.repetition import processes_kept, stated_confidence, student
from harness.statistics import CONFIDENCE, Interval

_LARGEST_EXPONENT = 700.0  # e to it is a number; beyond, nothing is known anyway


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Estimates with the intervals that cover the truth in `CONFIDENCE` of all cases.

    Attributes:
        estimates: [rows].
        lows: [rows]; NaN where there are too few processes for any interval.
        highs: the same of the upper ends.
    """

    estimates: Floats
    lows: Floats
    highs: Floats

    def __getitem__(self, row: int) -> Interval:
        estimate = float(self.estimates[row])
        if np.isnan(self.lows[row]):
            return Interval(estimate, None, None, 0.0)
        return Interval(estimate, float(self.lows[row]), float(self.highs[row]), CONFIDENCE)

    def take(self, rows: Indices) -> Intervals:
        """Return these rows, in this order."""
        return Intervals(self.estimates[rows], self.lows[rows], self.highs[rows])

    def scaled(self, factors: Floats) -> Intervals:
        """Return the intervals of the quantity times positive factors; [rows]."""
        return Intervals(self.estimates * factors, self.lows * factors, self.highs * factors)


def process_intervals(middles: Ragged) -> Intervals:
    """Return `process_interval` of each row, all rows of one length at once.

    Args:
        middles: the median of each process, positive; at least one a row.
    """
    found = np.full((3, len(middles.counts)), np.nan)
    for count in np.unique(middles.counts).tolist():
        rows = np.flatnonzero(middles.counts == count)
        logs = np.sort(np.log(middles.take(rows).all().reshape(-1, count)), axis=1)
        kept = processes_kept(count)
        cut = (count - kept) // 2
        means = logs[:, cut : count - cut].mean(axis=1)
        if kept == 1:
            found[0, rows] = np.exp(means)
            continue
        winsorised = np.clip(logs, logs[:, [cut]], logs[:, [count - 1 - cut]])
        squares = winsorised.var(axis=1) * count
        reach = student(stated_confidence(CONFIDENCE), kept - 1) * np.sqrt(
            squares / (kept * (kept - 1))
        )
        ends = np.minimum([means, means - reach, means + reach], _LARGEST_EXPONENT)
        found[:, rows] = np.exp(ends)
    return Intervals(*found)
