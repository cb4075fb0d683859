"""The file of one series: every point, every event and every finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboards.pages.axis import Axis
from dashboards.pages.book import Book, Line
from dashboards.pages.entries import Entry
from dashboards.pages.jsonfile import MAX_REASON, interval, moment, numbers, text
from harness.ceilings import IMPOSSIBLE
from harness.findings import Finding
from harness.history import Point, Series
from harness.records import Outcome, Status
from harness.sighting import QUANTITIES

_MAX_EVENTS = 2_000
_MAX_FINDINGS = 2_000
_MAX_DIFFERENCES = 8
_NOT_MEASURED = (str(Status.UNAVAILABLE), str(Status.UNRESOLVABLE))
_LASTING = (str(Outcome.SKIPPED), *_NOT_MEASURED)

_X = Mapping[tuple[str, str], float]


def series_json(line: Line, axis: Axis, book: Book) -> dict[str, Any]:
    """Return the file of one series."""
    x, listed = axis.of(line), _Listed(line, book)
    return {
        "id": line.id,
        "case": line.newest.key,
        "quantities": {
            quantity: _points(series, x, listed) for quantity, series in line.histories.items()
        },
        "events": [
            {**event, "run": listed.run(entry.run, entry.at)} for entry, event in _events(line, x)
        ],
        "findings": [_finding(finding, x) for finding in line.findings[:_MAX_FINDINGS]],
        "runs": [[text(run), moment(at)] for run, at in listed.runs],
        "envs": [list(environment) for environment in listed.environments],
    }


@dataclass(slots=True)
class _Listed:
    """What points refer to by its place in a list."""

    line: Line
    book: Book
    runs: dict[tuple[str, float], int] = field(default_factory=dict)
    environments: dict[tuple[str, str], int] = field(default_factory=dict)

    def run(self, run: str, at: float) -> int:
        return self.runs.setdefault((run, at), len(self.runs))

    def environment(self, now: str, before: str | None) -> int:
        changed = "" if before is None else _differences(self._facts(before), self._facts(now))
        return self.environments.setdefault((text(now), changed), len(self.environments))

    def _facts(self, environment: str) -> Mapping[str, str]:
        newest = self.line.newest
        at = (newest.device, newest.case.workload, newest.case.variant, environment)
        return self.book.surroundings.get(at, {})


def _points(series: Series, x: _X, listed: _Listed) -> dict[str, Any]:
    points = series.points
    return {
        "unit": text(series.unit),
        "item": text(series.item),
        "x": [x[point.commit, point.environment] for point in points],
        "y": numbers([point.interval.estimate for point in points]),
        "low": numbers([point.interval.low for point in points]),
        "high": numbers([point.interval.high for point in points]),
        "run": [listed.run(point.runs[-1], point.measured_at) for point in points],
        "env": list(_stretches(points, listed)),
        "processes": [point.processes for point in points],
    }


def _stretches(points: Iterable[Point], listed: _Listed) -> Iterator[int]:
    """Yield each point's environment: an entry of its own wherever another one came before."""
    before: str | None = None
    place = 0
    for point in points:
        if point.environment != before:
            place = listed.environment(point.environment, before)
            before = point.environment
        yield place


def _events(line: Line, x: _X) -> list[tuple[Entry, dict[str, Any]]]:
    """Return what happened instead of a number, each with the entry that tells it.

    Of what repeats from commit to commit (a skip, a quantity that is not measured) there is one
    event that says how far it goes.
    """
    standing: dict[str | None, dict[str, Any]] = {}
    found: list[tuple[Entry, dict[str, Any]]] = []
    for entry in line.entries:
        told = dict(_told(entry))
        if not told:
            standing.clear()
            continue
        at = x[entry.seen.commit, entry.seen.environment]
        lasting: dict[str | None, dict[str, Any]] = {}
        for quantity, (outcome, reason) in told.items():
            event = standing.get(quantity)
            if event is not None and (event["outcome"], event["reason"]) == (outcome, reason):
                event["to"] = at
            else:
                event = {"x": at, "to": at, "outcome": outcome, "quantity": quantity}
                event["reason"] = reason
                found.append((entry, event))
            if outcome in _LASTING:
                lasting[quantity] = event
        standing = lasting
    return found[-_MAX_EVENTS:]


def _told(entry: Entry) -> Iterator[tuple[str | None, tuple[str, str]]]:
    """Yield why there is no number: the quantity, None for all, what became of it, and why."""
    if not entry.ok:
        yield None, (str(entry.outcome), entry.reason)
    elif entry.impossible:
        yield None, (IMPOSSIBLE, "beyond its ceiling, so it is not counted")
    else:
        for quantity in QUANTITIES:
            told = entry.told.get(quantity)
            if told is not None and told.status in _NOT_MEASURED:
                yield quantity, (told.status, told.reason)


def _finding(finding: Finding, x: _X) -> dict[str, Any]:
    points = finding.series.points
    at, start = points[finding.index], points[finding.start]
    return {
        "kind": finding.kind,
        "verdict": finding.verdict,
        "quantity": finding.series.quantity,
        "x": x[at.commit, at.environment],
        "from": x[start.commit, start.environment],
        "ratio": interval(finding.ratio),
        "note": text(finding.note, MAX_REASON),
        "known_at": moment(finding.known_at),
    }


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    told = [
        f"{name}: {old.get(name, 'not told')} \u2192 {new.get(name, 'not told')}"
        for name in names[:_MAX_DIFFERENCES]
    ]
    more = len(names) - len(told)
    return "; ".join([*told, *([f"and {more} more"] if more > 0 else [])])
