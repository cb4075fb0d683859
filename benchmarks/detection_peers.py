"""Step detectors behind one face: ours, asv's, Apache Otava's, E-divisive and an oracle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from harness.detect import FALSE_ALARMS, detect

Values = NDArray[np.float64]
ASSAY, ASV, ASV_REGRESSIONS, OTAVA, E_DIVISIVE = (
    "Assay",
    "asv, all steps",
    "asv, regressions",
    "Apache Otava",
    "E-divisive",
)
_PERMUTATIONS = 99
_LEAST_SEGMENT = 3


@dataclass(frozen=True, slots=True)
class Report:
    """A step that a detector reports.

    Attributes:
        index: the first point after it.
        change: its relative size.
        seen: how many points it was found at; 0 where the detector does not say, so that it was
            found at this look.
    """

    index: int
    change: float
    seen: int = 0


Reports = Mapping[str, Sequence[Report]]
Detector = Callable[[Values], Reports]


@dataclass(frozen=True, slots=True)
class Peer:
    """A detector, its threshold, and what measuring it can afford.

    Attributes:
        names: what it reports as; several where one computation answers several questions.
        make: a detector for a threshold.
        default: the threshold that it comes with.
        thresholds: from loose to strict, for the comparison at equal false alarms.
        every: points between two looks while false alarms are counted.
        share: of the series that it can be run on in time.
        looks: points after an injected step at which it is asked whether it finds it.
    """

    names: tuple[str, ...]
    make: Callable[[float], Detector]
    default: float
    thresholds: tuple[float, ...]
    every: int = 1
    share: float = 1.0
    looks: tuple[int, ...] = (1, 2, 3, 4, 5, 10, 20, 50)


def peers() -> tuple[list[Peer], list[str]]:
    """Return the detectors that can run here, and a line for each that cannot."""
    found = [
        Peer(
            (ASSAY,),
            assay,
            FALSE_ALARMS,
            (20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1),
            every=85,
            looks=(5, 50),
        )
    ]
    missing = []
    try:
        import_module("asv.step_detect")

        found.append(Peer((ASV, ASV_REGRESSIONS), asv_steps, 4.0, (3.0, 4.0, 6.0, 8.0), 10))
    except ImportError:
        missing.append("asv is not installed and left out: pip install asv")
    try:
        import_module("otava.analysis")

        levels = (1e-2, 1e-3, 1e-5, 1e-8, 1e-13)
        found.append(Peer((OTAVA,), otava_steps, 1e-3, levels, 10))
    except ImportError:
        missing.append(
            "Apache Otava is not installed and left out: pip install --no-deps apache-otava==0.8.0"
        )
    found.append(Peer((E_DIVISIVE,), e_divisive, 0.05, (0.1, 0.05, 0.01), 17, 0.25, (5, 20, 50)))
    return found, missing


def remembered(detector: Detector) -> Detector:
    """Return the detector with its answers kept: the same history is asked about many times."""
    kept: dict[bytes, Reports] = {}

    def run(values: Values) -> Reports:
        key = values.tobytes()
        if key not in kept:
            kept[key] = detector(values)
        return kept[key]

    return run


def assay(false_alarms: float) -> Detector:
    """Return ours; a drift counts as a report like a step, where it begins."""

    def run(values: Values) -> Reports:
        found = detect(values.tolist(), false_alarms=false_alarms)
        steps = [
            Report(step.index, step.ratio.estimate - 1.0, step.found_at) for step in found.steps
        ]
        drifts = [
            Report(drift.first, drift.ratio.estimate ** (drift.last - drift.first) - 1.0)
            for drift in found.drifts
        ]
        return {ASSAY: [*steps, *drifts]}

    return run


def asv_steps(penalty: float) -> Detector:
    """Return asv's steps, and its regressions of 5 % or more as its pages show them.

    `asv.step_detect.detect_steps` with its penalty of 4 ln(n)/n a step, of which the 4 is varied.
    """
    from asv.step_detect import detect_regressions, solve_potts_autogamma

    def run(values: Values) -> Reports:
        n, y = len(values), values.tolist()
        ends, levels, distances, _ = solve_potts_autogamma(
            y, w=[1] * n, beta=penalty * math.log(n) / n
        )
        starts = [0, *ends[:-1]]
        steps = [
            (left, right, level, min(y[left:right]), abs(distance / (right - left)))
            for left, right, level, distance in zip(starts, ends, levels, distances, strict=True)
        ]
        worse = detect_regressions(steps, threshold=0.05)[2] or []
        return {
            ASV: [
                Report(after[0], after[2] / before[2] - 1.0)
                for before, after in itertools.pairwise(steps)
            ],
            ASV_REGRESSIONS: [Report(place[1], place[3] / place[2] - 1.0) for place in worse],
        }

    return run


def otava_steps(max_pvalue: float) -> Detector:
    """Return Apache Otava's change points with no least magnitude."""
    compute_change_points = import_module("otava.analysis").compute_change_points

    def run(values: Values) -> Reports:
        points, _ = compute_change_points(values.tolist(), max_pvalue=max_pvalue, min_magnitude=0.0)
        return {
            OTAVA: [Report(int(p.index), p.stats.mean_2 / p.stats.mean_1 - 1.0) for p in points]
        }

    return run


def e_divisive(level: float) -> Detector:
    """Return E-divisive's change points: Matteson and James, JASA 109, 2014, sections 2.1 to 2.3.

    Energy statistic with exponent 1, binary splits, each tested by 99 permutations within the
    segments; the seed is fixed, so equal histories give equal answers.
    """

    def run(values: Values) -> Reports:
        rng = np.random.default_rng(2014)
        cuts = [0, len(values)]
        while True:
            split, statistic = _best_split(values, cuts)
            if not split:
                break
            most = level * (_PERMUTATIONS + 1) - 1.0
            exceeded = 0
            for _ in range(_PERMUTATIONS):
                shuffled = np.concatenate(
                    [rng.permutation(values[a:b]) for a, b in itertools.pairwise(cuts)]
                )
                exceeded += _best_split(shuffled, cuts)[1] >= statistic
                if exceeded > most:
                    break
            if exceeded > most:
                break
            cuts = sorted([*cuts, split])
        levels = [values[a:b].mean() for a, b in itertools.pairwise(cuts)]
        return {
            E_DIVISIVE: [
                Report(cut, levels[i + 1] / levels[i] - 1.0) for i, cut in enumerate(cuts[1:-1])
            ]
        }

    return run


def _best_split(values: Values, cuts: Sequence[int]) -> tuple[int, float]:
    best, at = 0.0, 0
    for left, right in itertools.pairwise(cuts):
        n = right - left
        if n < 2 * _LEAST_SEGMENT:
            continue
        part = values[left:right]
        distance = np.abs(part[:, None] - part[None, :])
        # Sums of the distances within the first k points and between them and the rest.
        prefix = np.cumsum(np.cumsum(distance, axis=0), axis=1)
        k = np.arange(_LEAST_SEGMENT, n - _LEAST_SEGMENT + 1)
        first, rows, total = prefix[k - 1, k - 1], prefix[k - 1, -1], prefix[-1, -1]
        between, rest = rows - first, total - 2.0 * rows + first
        m = n - k
        energy = 2.0 * between / (k * m) - first / (k * (k - 1)) - rest / (m * (m - 1))
        statistic = k * m / n * energy
        j = int(np.argmax(statistic))
        if statistic[j] > best:
            best, at = float(statistic[j]), left + int(k[j])
    return at, best


def oracle_reports(deviations: Values, correlation: float, limit: float) -> list[tuple[int, float]]:
    """Return what an oracle says that knows level, scatter and correlation: (points seen, sign).

    The window-limited generalised likelihood ratio (Lai, JRSS B 57, 1995) over steps that began 1
    to 5 points ago, two-sided; a run of points above the limit is one report.

    Args:
        deviations: from the true level in true standard deviations; [points] float64.
        correlation: of first-order autoregressive noise.
        limit: in standard deviations.
    """
    spread = math.sqrt(1.0 - correlation**2)
    added = (deviations[1:] - correlation * deviations[:-1]) / spread
    trace = np.array([1.0, *[1.0 - correlation] * 4]) / spread
    n = len(added)
    z = np.zeros((5, n))
    for window in range(1, 6):
        shape = trace[:window] / np.linalg.norm(trace[:window])
        z[window - 1, window - 1 :] = np.correlate(added, shape, mode="valid")
    best = z[np.abs(z).argmax(axis=0), np.arange(n)]
    above = np.abs(best) > limit
    above[1:] &= ~above[:-1] | (np.sign(best[1:]) != np.sign(best[:-1]))
    return [(int(i) + 2, float(np.sign(best[i]))) for i in np.flatnonzero(above)]
