"""The interval of a median, without assuming any distribution.

It speaks of the samples of one process. Processes differ more than samples do, so an interval
from one process says how steady the process was, not how repeatable the result is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval that covers the truth in `confidence` of all cases.

    `low` and `high` are None where there are too few samples for any interval.
    """

    estimate: float
    low: float | None
    high: float | None
    confidence: float

    def scaled(self, factor: float) -> Interval:
        """Return the interval of the quantity times a positive constant."""
        return Interval(
            self.estimate * factor,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
            self.confidence,
        )


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the median and the order-statistic interval around it.

    The number of samples below the true median is binomial(n, 1/2) whatever the distribution, so
    the k-th smallest and k-th largest sample enclose it with a probability that is known exactly
    (Conover, Practical Nonparametric Statistics, sec. 3.2). Below six samples even the extremes
    fall short of 95 %; the interval then has the confidence that they reach.

    Args:
        values: at least one sample.
        confidence: the wanted confidence; the narrowest interval that reaches it is returned.

    Raises:
        ValueError: `values` is empty.
    """
    if len(values) == 0:
        raise ValueError("the median of no samples")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    median = float(np.median(ordered))
    if n == 1:
        return Interval(median, None, None, 0.0)
    outside = [sum(comb(n, j) for j in range(k + 1)) / 2**n for k in range((n + 1) // 2)]
    k = max((k for k in range(len(outside)) if 1 - 2 * outside[k] >= confidence), default=0)
    return Interval(median, float(ordered[k]), float(ordered[n - 1 - k]), 1 - 2 * outside[k])
