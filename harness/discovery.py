"""Which of many differences to believe: control of the false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float], rate: float) -> list[bool]:
    """Say which hypotheses are rejected so that at most `rate` of these are expected to be false.

    Benjamini & Hochberg (1995). It holds for independent p-values and for positively dependent
    ones (Benjamini & Yekutieli 2001): series of one machine that drift together are such, two
    series that trade time with each other are not.

    Args:
        p_values: one for each series, each in [0, 1].
        rate: the accepted share of false ones among those rejected.

    Raises:
        ValueError: a p-value or the rate is outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate lies between 0 and 1; this one is {rate}")
    return [adjusted <= rate for adjusted in adjusted_p_values(p_values)]


def adjusted_p_values(p_values: Sequence[float]) -> list[float]:
    """Return, for each p-value, the lowest rate at which Benjamini & Hochberg would reject it.

    Yekutieli & Benjamini (1999), sec. 3: the smallest of m p / rank over this and larger p-values.

    Raises:
        ValueError: a p-value is outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a p-value lies between 0 and 1")
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return [float(value) for value in np.minimum(adjusted, 1.0)]
