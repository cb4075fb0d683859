"""Counts false alarms, detections and delays as a user of a growing history would see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection_peers import Detector, Peer, Report, oracle_reports
from benchmarks.detection_series import BEFORE

Values = NDArray[np.float64]
Looks = tuple[int, ...]

SIZES = (0.005, 0.01, 0.02, 0.05, 0.10)
WITHIN = 5  # points
START = 30  # points of a history before anything is counted
NEAR = 5  # points that a report may lie off, and that make two reports one
ORACLE_LIMIT = 3.6


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Reports on series without a step: `changes` has the relative size of each."""

    changes: tuple[float, ...]
    points: int

    def rate(self, least: float = 0.0) -> float:
        """Return how many of at least this size there are per 1,000 points."""
        return 1000.0 * sum(abs(change) >= least for change in self.changes) / self.points


@dataclass(frozen=True, slots=True)
class Power:
    """How often a step of one size is found, and how soon.

    Attributes:
        within: share found within five points, less what is reported there without a step.
        delay: median of the points after the step at which it is first reported; None beyond 50.
        series: how many steps were injected.
    """

    within: float
    delay: float | None
    series: int


def false_alarms(
    detector: Detector, name: str, series: Sequence[Values], every: int
) -> FalseAlarms:
    """Return what a detector reports while series without a step grow from 30 points to their end.

    Each look shows it the whole history so far. A report is new, and a false alarm, unless one was
    made within five points of it at any earlier look: a report that flickers or moves a little is
    counted once, one that goes and comes elsewhere is counted again.
    """
    changes: list[float] = []
    points = 0
    for values in series:
        known: list[int] = []
        for seen in range(START, len(values) + 1, every):
            for report in detector(values[:seen])[name]:
                if all(abs(report.index - other) > NEAR for other in known):
                    changes.append(report.change)
                known.append(report.index)
        points += len(values) - START
    return FalseAlarms(tuple(changes), points)


def power(
    detector: Detector, name: str, series: Sequence[Values], size: float, looks: Looks
) -> Power:
    """Return how often and how soon a step up of relative `size` after 150 points is found.

    It is found at the first look that reports a step up within five points of it. What the same
    detector also reports there without the step is no find and is taken off the share.

    Args:
        detector: what is measured.
        name: which of its answers.
        series: noise to put the step into.
        size: relative.
        looks: points after the step at which the detector is shown the history.
    """
    delays = np.array([_delay(detector, name, values, size, looks) for values in series])
    chance = [_delay(detector, name, values, 0.0, looks) <= WITHIN for values in series]
    within = float(np.mean(delays <= WITHIN) - np.mean(chance))
    median = float(np.median(delays))
    return Power(within, median if np.isfinite(median) else None, len(series))


def sizes_found(
    detector: Detector, name: str, series: Sequence[Values], size: float, looks: Looks
) -> list[tuple[float, float]]:
    """Return for each series the largest change reported within five points, with and without it.

    One run then answers for every least magnitude.
    """
    soon = tuple(look for look in looks if look <= WITHIN)
    return [
        (_largest(detector, name, values, size, soon), _largest(detector, name, values, 0.0, soon))
        for values in series
    ]


def net_power(found: Sequence[tuple[float, float]], least: float = 0.0) -> float:
    """Return the share found by a detector that drops reports below `least`."""
    floor = max(least, 1e-12)
    return float(np.mean([(a >= floor) - float(b >= floor) for a, b in found]))


def oracle(
    correlation: float, noise: Callable[[np.random.Generator], Values], count: int
) -> dict[str, object]:
    """Return the oracle's false alarms per 1,000 points, and its power and delay for each size."""
    rng = np.random.default_rng(90_210)
    reports = points = 0
    for _ in range(count):
        deviations = noise(rng)
        reports += len(oracle_reports(deviations, correlation, ORACLE_LIMIT))
        points += len(deviations)
    rows = {}
    for size in SIZES:
        delays = []
        for _ in range(count):
            deviations = noise(rng)
            deviations[BEFORE:] += np.log1p(size) * 100.0
            after = [
                seen - BEFORE
                for seen, sign in oracle_reports(deviations, correlation, ORACLE_LIMIT)
                if seen > BEFORE and sign > 0.0
            ]
            delays.append(min(after, default=np.inf))
        median = float(np.median(delays))
        rows[f"{size:g}"] = {
            "within": float(np.mean(np.array(delays) <= WITHIN)),
            "delay": median if np.isfinite(median) else None,
        }
    return {"false_alarms": 1000.0 * reports / points, "points": points, "sizes": rows}


def part(series: Sequence[Values], peer: Peer) -> list[Values]:
    """Return the share of the series that a detector can be run on in time, evenly spread."""
    step = round(1.0 / peer.share)
    return list(series[::step])


def _delay(detector: Detector, name: str, values: Values, size: float, looks: Looks) -> float:
    stepped = _stepped(values, size)
    for look in looks:
        found = _near(detector(stepped[: BEFORE + look])[name])
        if found:
            return float(min((r.seen - BEFORE if r.seen else look) for r in found))
    return float("inf")


def _largest(detector: Detector, name: str, values: Values, size: float, looks: Looks) -> float:
    stepped = _stepped(values, size)
    found = [
        report.change
        for look in looks
        for report in _near(detector(stepped[: BEFORE + look])[name])
    ]
    return max(found, default=0.0)


def _near(reports: Sequence[Report]) -> list[Report]:
    return [
        report
        for report in reports
        if abs(report.index - BEFORE) <= NEAR
        and report.change > 0.0
        and not 0 < report.seen <= BEFORE
    ]


def _stepped(values: Values, size: float) -> Values:
    stepped = values.copy()
    stepped[BEFORE:] *= 1.0 + size
    return stepped
