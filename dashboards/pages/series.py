"""The file of one series: every point, every event and every finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboards.pages.axis import Axis
from dashboards.pages.book import Book, Line
from dashboards.pages.entries import Ending
from dashboards.pages.jsonfile import MAX_REASON, column, interval, moment, text
from harness.ceilings import IMPOSSIBLE
from harness.findings import Finding
from harness.history import Series
from harness.records import Outcome, Status
from harness.sighting import Scene

_MAX_EVENTS = 2_000
_MAX_FINDINGS = 2_000
_MAX_DIFFERENCES = 8
_NOT_MEASURED = (str(Status.UNAVAILABLE), str(Status.UNRESOLVABLE))
_LASTING = (str(Outcome.SKIPPED), *_NOT_MEASURED)


def series_json(line: Line, axis: Axis, book: Book) -> dict[str, Any]:
    """Return the file of one series."""
    listed = _Listed(line, book)
    return {
        "id": line.id,
        "case": line.newest.key,
        "quantities": {
            quantity: _points(series, axis, listed) for quantity, series in line.histories.items()
        },
        "events": _events(line, axis, listed),
        "findings": [_finding(finding, axis) for finding in line.findings[:_MAX_FINDINGS]],
        "runs": listed.runs(),
        "envs": [list(environment) for environment in listed.environments],
    }


@dataclass(slots=True)
class _Listed:
    """What points refer to by its place in a list."""

    line: Line
    book: Book
    scenes: dict[int, int] = field(default_factory=dict)
    environments: dict[tuple[str, str], int] = field(default_factory=dict)

    def run(self, scene: int) -> int:
        """Return the place of a scene's run: the line has one entry of each."""
        return self.scenes.setdefault(scene, len(self.scenes))

    def runs(self) -> list[list[str | int]]:
        """Return the runs in order of their places, with when their entry was started."""
        seen = self.line.entries.seen
        started = dict(zip(seen.scenes.codes.tolist(), seen.measured_at.tolist(), strict=True))
        return [[text(seen.scenes.values[code].run), moment(started[code])] for code in self.scenes]

    def environment(self, now: str, before: str | None) -> int:
        changed = "" if before is None else _differences(self._facts(before), self._facts(now))
        return self.environments.setdefault((text(now), changed), len(self.environments))

    def _facts(self, environment: str) -> Mapping[str, str]:
        newest = self.line.newest
        at = (newest.device, newest.case.workload, newest.case.variant, environment)
        return self.book.surroundings.get(at, {})


def _points(series: Series, axis: Axis, listed: _Listed) -> dict[str, Any]:
    points = series.points
    codes = points.seen.scenes.codes[points.newest].tolist()
    return {
        "unit": text(series.unit),
        "item": text(series.item),
        "x": [axis.x[code] for code in codes],
        "y": column(points.intervals.estimates),
        "low": column(points.intervals.lows),
        "high": column(points.intervals.highs),
        "run": [listed.run(code) for code in codes],
        "env": list(_stretches(points.scenes(), listed)),
        "processes": points.processes.tolist(),
    }


def _stretches(scenes: Iterable[Scene], listed: _Listed) -> Iterator[int]:
    """Yield each point's environment: an entry of its own wherever another one came before."""
    before: str | None = None
    place = 0
    for scene in scenes:
        if scene.environment != before:
            place = listed.environment(scene.environment, before)
            before = scene.environment
        yield place


def _events(line: Line, axis: Axis, listed: _Listed) -> list[dict[str, Any]]:
    """Return what happened instead of a number, at most the newest of it.

    Of what repeats from commit to commit (a skip, a quantity that is not measured) there is one
    event that says how far it goes.
    """
    scenes, endings = line.entries.seen.scenes.codes.tolist(), line.entries.endings
    every = {code: dict(_told(endings.values[code])) for code in set(endings.codes.tolist())}
    standing: dict[str | None, dict[str, Any]] = {}
    found: list[tuple[int, dict[str, Any]]] = []
    for row, code in enumerate(endings.codes.tolist()):
        if not every[code]:
            standing.clear()
            continue
        at = axis.x[scenes[row]]
        lasting: dict[str | None, dict[str, Any]] = {}
        for quantity, (outcome, reason) in every[code].items():
            event = standing.get(quantity)
            if event is not None and (event["outcome"], event["reason"]) == (outcome, reason):
                event["to"] = at
            else:
                event = {"x": at, "to": at, "outcome": outcome, "quantity": quantity}
                event["reason"] = reason
                found.append((row, event))
            if outcome in _LASTING:
                lasting[quantity] = event
        standing = lasting
    return [{**event, "run": listed.run(scenes[row])} for row, event in found[-_MAX_EVENTS:]]


def _told(ending: Ending) -> Iterator[tuple[str | None, tuple[str, str]]]:
    """Yield why there is no number: the quantity, None for all, what became of it, and why."""
    if not ending.ok:
        yield None, (str(ending.outcome), ending.reason)
    elif ending.impossible:
        yield None, (IMPOSSIBLE, "beyond its ceiling, so it is not counted")
    else:
        for told in ending.told:
            if told.status in _NOT_MEASURED:
                yield told.quantity, (told.status, told.reason)


def _finding(finding: Finding, axis: Axis) -> dict[str, Any]:
    points = finding.series.points
    codes = points.seen.scenes.codes[points.newest]
    return {
        "kind": finding.kind,
        "verdict": finding.verdict,
        "quantity": finding.series.quantity,
        "x": axis.x[int(codes[finding.index])],
        "from": axis.x[int(codes[finding.start])],
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
