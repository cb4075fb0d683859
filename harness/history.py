"""Turns stored results into histories: one series a case, machine and settings.

A point is a commit in one environment, so that a new driver or torch is a point of its own, and
what changes there is never taken for the commit's doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from statistics import median

from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.records import Case
from harness.repetition import process_intervals
from harness.sighting import Identity, Position, Sighting, places_of, sightings_of
from harness.statistics import Interval

Placed = tuple[Position, Sighting]
"""What was seen, and where it stands."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of a case at one commit in one environment.

    Attributes:
        commit: 40 hexadecimal digits.
        commit_time: Unix time, s.
        interval: the headline, per item where that applies.
        environment: id of the machine's state and software.
        canary: name and time in s of the device's reference kernel; None where it was not run.
        measured_at: when the newest of its results was started, Unix time in s.
        runs: ids of the runs it was measured in, the oldest first.
        processes: how many processes measured it.
    """

    commit: str
    commit_time: float
    interval: Interval
    environment: str
    canary: tuple[str, float] | None = None
    measured_at: float = 0.0
    runs: tuple[str, ...] = ()
    processes: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one quantity of one case on one machine, the oldest commit first.

    `settings` is what `settings_of` tells of the results: other threads are another series.
    """

    machine: str
    case: Case
    quantity: str
    unit: str
    item: str
    points: tuple[Point, ...]
    settings: str = ""


def histories(cases: Iterable[CaseRun], quantity: str = "time") -> list[Series]:
    """Return a series for each case on each machine with each settings; order does not matter.

    Results of a dirty or unknown commit, of cases that did not end well, and of those beyond their
    ceiling are left out. Runs of one commit in one environment are pooled; each environment of a
    commit is a point, in the order in which the machine was first in it.

    Args:
        cases: stored cases of runs.
        quantity: one of `QUANTITIES`.
    """
    seen = sightings_of(cases)
    places = places_of(seen)
    groups: dict[Identity, list[Placed]] = {}
    for one in seen:
        if one.commit:
            groups.setdefault(one.identity, []).append((places.of(one), one))
    found = (series_of(groups[identity], quantity) for identity in sorted(groups))
    return [series for series in found if series is not None]


def series_of(group: Iterable[Placed], quantity: str) -> Series | None:
    """Return the history of one case on one machine with one kind of settings.

    Args:
        group: what was seen of it, in any order, each with its position.
        quantity: one of `QUANTITIES`.

    Returns:
        None where nothing was measured.
    """
    pooled: dict[Position, list[Sighting]] = {}
    for position, seen in sorted(group, key=_place_and_age):
        if quantity in seen.amounts:
            pooled.setdefault(position, []).append(seen)
    if not pooled:
        return None
    last = max((own[-1] for own in pooled.values()), key=_age)
    middles = [_middles(own, quantity) for own in pooled.values()]
    known = [min(own) > 0 for own in middles]
    intervals = process_intervals(list(compress(middles, known)))
    return Series(
        machine=last.machine,
        case=last.case,
        quantity=quantity,
        unit=last.amounts[quantity].unit,
        item=last.amounts[quantity].item,
        points=tuple(
            map(
                _point,
                compress(pooled, known),
                compress(pooled.values(), known),
                compress(middles, known),
                intervals,
            )
        ),
        settings=last.settings,
    )


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


def _place_and_age(placed: Placed) -> tuple[Position, float, str]:
    return placed[0], placed[1].measured_at, placed[1].run


def _age(one: Sighting) -> tuple[float, str]:
    return one.measured_at, one.run


def _point(
    position: Position, seen: Sequence[Sighting], middles: Sequence[float], interval: Interval
) -> Point:
    last = seen[-1]
    return Point(
        commit=last.commit,
        commit_time=position[0],
        interval=interval,
        environment=last.environment,
        canary=_canary(seen),
        measured_at=last.measured_at,
        runs=tuple([one.run for one in seen]),
        processes=len(middles),
    )


def _middles(seen: Sequence[Sighting], quantity: str) -> tuple[float, ...]:
    if len(seen) == 1:
        return seen[0].amounts[quantity].middles
    return tuple(middle for one in seen for middle in one.amounts[quantity].middles)


def _canary(seen: Sequence[Sighting]) -> tuple[str, float] | None:
    canaries = [canary for one in seen for canary in one.canaries]
    if not canaries:
        return None
    kinds = {name for name, _ in canaries}
    return (kinds.pop(), median(s for _, s in canaries)) if len(kinds) == 1 else None


def _scaled(point: Point, factor: float) -> Point:
    return replace(point, interval=point.interval.scaled(factor))
