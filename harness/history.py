"""Turns stored results into histories: one series a case and machine, one point a commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.errors import AssayError
from harness.records import Case, Outcome
from harness.repetition import process_interval
from harness.statistics import Interval

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of a case at one commit.

    Attributes:
        commit: 40 hexadecimal digits.
        commit_time: Unix time, s.
        interval: the headline, per item where that applies.
        environment: id of the machine's state and software.
        canary: name and time in s of the device's reference kernel; None where it was not run.
    """

    commit: str
    commit_time: float
    interval: Interval
    environment: str
    canary: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one quantity of one case on one machine, the oldest commit first."""

    machine: str
    case: Case
    quantity: str
    unit: str
    item: str
    points: tuple[Point, ...]


def histories(cases: Iterable[CaseRun], quantity: str = "time") -> list[Series]:
    """Return a series for each case on each machine, in order of first appearance.

    Results of a dirty or unknown commit, of cases that did not end well, and of those beyond their
    ceiling are left out. Runs of one commit in one environment are pooled; where a commit was
    measured in several environments, the last counts.

    Args:
        cases: stored cases of runs, in order of their start.
        quantity: "time", "peak_memory" or "energy".
    """
    pooled: dict[tuple[str, str], dict[str, list[CaseRun]]] = {}
    for one in cases:
        environment = one.result.environment
        commit = environment.get("commit")
        if not (_fit(one) and isinstance(commit, str) and one.groups(quantity)):
            continue
        series = pooled.setdefault((str(environment.get("machine")), one.case.key), {})
        runs = series.setdefault(commit, [])
        if runs and runs[-1].result.environment.get("id") != environment.get("id"):
            runs.clear()
        runs.append(one)
    return [_series(machine, commits, quantity) for (machine, _), commits in pooled.items()]


def normalised(series: Series) -> Series:
    """Return the series as it would read had the machine always been as fast as in the middle.

    Each value is divided by its canary, in units of the median canary. Points without the newest
    point's kind of canary are left out: beside others they would be a step of their own.

    Raises:
        AssayError: the series is not one of times.
    """
    if series.quantity != "time":
        raise AssayError(
            f"{series.quantity} does not follow the machine's speed as time does; "
            "leave out --normalise"
        )
    name = next((point.canary[0] for point in reversed(series.points) if point.canary), None)
    known = [
        (point, point.canary[1])
        for point in series.points
        if point.canary and point.canary[0] == name and point.canary[1] > 0
    ]
    if not known:
        return replace(series, points=())
    typical = median(canary_s for _, canary_s in known)
    return replace(
        series,
        points=tuple(_scaled(point, typical / canary_s) for point, canary_s in known),
    )


def _fit(one: CaseRun) -> bool:
    environment = one.result.environment
    commit, date = environment.get("commit"), environment.get("commit_time")
    return (
        one.outcome is Outcome.OK
        and environment.get("dirty") is False
        and isinstance(commit, str)
        and _COMMIT.fullmatch(commit) is not None
        and isinstance(date, int | float)
        and IMPOSSIBLE not in one.flags()
    )


def _series(machine: str, commits: dict[str, list[CaseRun]], quantity: str) -> Series:
    points = [point for runs in commits.values() if (point := _point(runs, quantity)) is not None]
    last = [runs[-1] for runs in commits.values()][-1]
    measured, work = last.result.measurement(quantity), last.result.work
    return Series(
        machine=machine,
        case=last.case,
        quantity=quantity,
        unit=measured.unit if measured is not None else "",
        item=work.item if work is not None and quantity != "peak_memory" else "",
        points=tuple(sorted(points, key=lambda point: point.commit_time)),
    )


def _point(runs: Sequence[CaseRun], quantity: str) -> Point | None:
    middles = [
        median(group)
        for one in runs
        for group in one.groups(quantity, per_item=quantity != "peak_memory")
    ]
    if min(middles) <= 0:
        return None
    environment = runs[-1].result.environment
    together = CaseRun(runs[-1].run, tuple(result for one in runs for result in one.results))
    return Point(
        commit=environment["commit"],
        commit_time=float(environment["commit_time"]),
        interval=process_interval([[middle] for middle in middles]),
        environment=str(environment.get("id")),
        canary=together.canary(),
    )


def _scaled(point: Point, factor: float) -> Point:
    return replace(point, interval=point.interval.scaled(factor))
