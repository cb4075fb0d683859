"""The limits of the step detector, simulated: how large its statistic gets where nothing steps.

The table is the output of `python benchmarks/detection_critical.py`: the limits that first-order
autoregressive Gaussian noise passes at the named rates, for the worst of the correlations 0, .3, .6
and .8. For independent noise they hold whatever its distribution.
"""

from __future__ import annotations

from functools import lru_cache
from math import log

import numpy as np

FALSE_ALARMS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # per 1,000 points
REFERENCES = (12, 17, 25, 38, 60, 96, 160)  # points that the scatter is known from
_LIMITS = np.array(
    [
        (4.23, 4.04, 3.80, 3.61, 3.43, 3.18, 3.00, 2.81),  # 12
        (5.19, 4.87, 4.44, 4.12, 3.80, 3.37, 3.05, 2.72),  # 17
        (4.88, 4.59, 4.21, 3.93, 3.64, 3.26, 2.97, 2.69),  # 25
        (4.91, 4.61, 4.21, 3.91, 3.61, 3.20, 2.90, 2.60),  # 38
        (4.38, 4.11, 3.76, 3.53, 3.30, 3.00, 2.77, 2.54),  # 60
        (4.32, 4.07, 3.73, 3.47, 3.23, 2.93, 2.71, 2.48),  # 96
        (4.14, 3.91, 3.60, 3.37, 3.14, 2.83, 2.65, 2.48),  # 160
    ]
)


@lru_cache(maxsize=4096)
def limit(reference: int, false_alarms: float) -> float:
    """Return the limit for a reference of so many points at so many false alarms per 1,000 points.

    Linear in the logarithms of both; constant beyond the ends of the table.
    """
    rates = np.log(FALSE_ALARMS)
    column = [float(np.interp(log(false_alarms), rates, row)) for row in _LIMITS]
    return float(np.interp(log(reference), np.log(REFERENCES), column))
