"""Simulates the limits of the step detector and prints the table in `harness.detect_critical`.

python benchmarks/detection_critical.py            # 5 minutes on one core
"""

from __future__ import annotations

import click
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.detect_critical import FALSE_ALARMS, REFERENCES
from harness.detect_scan import statistics

CORRELATIONS = (0.0, 0.3, 0.6, 0.8)
LENGTH = 215
SEED = 20_131


@click.command()
@click.option("--series", default=1500, show_default=True, help="Simulated series a correlation.")
def main(series: int) -> None:
    """Print the limits that AR(1) noise of any of the correlations passes at the named rates."""
    rng = np.random.default_rng(SEED)
    table = np.max([limits(simulate(rho, series, rng)) for rho in CORRELATIONS], axis=0)
    for reference, row in zip(REFERENCES, table, strict=True):
        print(f"    ({', '.join(f'{limit:.2f}' for limit in row)}),  # {reference}")


def simulate(rho: float, series: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Return each series' (size of the reference, statistic) at every point; [points, 2]."""
    return [np.array(list(statistics(autoregressive(LENGTH, rho, rng)))) for _ in range(series)]


def autoregressive(length: int, rho: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return stationary AR(1) noise of unit variance; [length] float64."""
    innovations = rng.standard_normal(length + 200) * np.sqrt(1.0 - rho * rho)
    noise: NDArray[np.float64] = lfilter([1.0], [1.0, -rho], innovations)[200:]
    return noise


def limits(traces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the limit that is newly passed at each rate; [references, rates].

    The logarithm of the rate is nearly a straight line in the limit, so a line through the rates
    that were seen often enough also gives the rare ones.
    """
    edges = np.sqrt(np.array([*REFERENCES[:-1]]) * np.array([*REFERENCES[1:]]))
    heights = np.arange(2.0, 6.0, 0.02)
    passed = np.zeros((len(REFERENCES), len(heights)))
    points = np.zeros(len(REFERENCES))
    for trace in traces:
        bucket = np.searchsorted(edges, trace[:, 0])
        above = trace[:, 1, None] > heights
        above[1:] &= ~above[:-1]
        np.add.at(passed, bucket, above)
        np.add.at(points, bucket, 1.0)
    rows = []
    for count, total in zip(passed, points, strict=True):
        seen = (count >= 4) & (count <= 0.03 * total)
        slope, offset = np.polyfit(heights[seen], np.log(count[seen] / total * 1000.0), 1)
        rows.append((np.log(FALSE_ALARMS) - offset) / slope)
    return np.array(rows)


if __name__ == "__main__":
    main()
