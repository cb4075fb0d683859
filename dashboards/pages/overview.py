"""The first page: what changed, what failed, what is not measured, and how each device stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any

from dashboards.pages.book import Book, Line, Workload, label_of
from dashboards.pages.entries import Entries, Entry
from dashboards.pages.headline import headline_of
from dashboards.pages.jsonfile import MAX_REASON, interval, moment, text
from harness.findings import Finding
from harness.records import Outcome, Status
from harness.sighting import QUANTITIES

DAY_S = 86_400
WEEK_S = 7 * DAY_S
_LEAST_MOVED = 0.01
"""Of a level, for certain: of hundreds of intervals of 95 % many leave out 1 by chance."""

_MAX_CHANGES = 500
_MAX_MISSING = 200
_MAX_CASES = 20
_MAX_PROBLEMS = 100
_PERIODS = ("day", "week", "older")
_FAILURES = (Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class _Change:
    """A finding on the page, with how many series it stands for."""

    finding: Finding
    line: Line
    workload: Workload
    count: int = 1


def overview_json(
    book: Book,
    subjects: Mapping[str, str],
    left_out: Mapping[str, int],
    problems: Sequence[str],
) -> dict[str, Any]:
    """Return the first page's data; lists that are cut say in `more` how much is left out."""
    changes = _changes(book)
    missing = _missing(book)
    unavailable = _unavailable(book)
    commits = {scene.commit for scene in book.entries.seen.scenes.values if scene.commit}
    return {
        "as_of": moment(book.as_of),
        "day": moment(book.as_of) - DAY_S,
        "week": moment(book.as_of) - WEEK_S,
        "changes": [_change_json(one, book, subjects) for one in changes[:_MAX_CHANGES]],
        "missing": missing[:_MAX_MISSING],
        "unavailable": unavailable[:_MAX_MISSING],
        "devices": _devices(book, changes),
        "left_out": [
            [text(reason, MAX_REASON), count]
            for reason, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        ],
        "problems": [text(problem, MAX_REASON) for problem in problems[:_MAX_PROBLEMS]],
        "counts": {
            "results": sum(one.processes for one in book.entries.endings.rows()),
            "commits": len(commits),
        },
        "more": {
            "changes": max(0, len(changes) - _MAX_CHANGES),
            "missing": max(0, len(missing) - _MAX_MISSING),
            "unavailable": max(0, len(unavailable) - _MAX_MISSING),
            "problems": max(0, len(problems) - _MAX_PROBLEMS),
        },
    }


def period_of(at: float, as_of: float) -> str:
    """Return "day" or "week" for what became known in the last day or week, else "older"."""
    age_s = moment(as_of) - moment(at)
    return "day" if age_s <= DAY_S else "week" if age_s <= WEEK_S else "older"


def _changes(book: Book) -> list[_Change]:
    """Return what happened, the newest period first, and in it by importance.

    An environment that moved no level is told once a device, whatever the number of its series;
    of single points that were far off only those of the last week are told.
    """
    found: list[_Change] = []
    quiet: dict[tuple[str, str, str], list[_Change]] = {}
    for workload in book.workloads.values():
        for line in workload.lines:
            for finding in line.findings:
                change = _Change(finding, line, workload)
                if finding.kind == "environment" and not _moved(finding):
                    quiet.setdefault((line.device, finding.commit, finding.note), []).append(change)
                elif finding.kind != "spike" or _period(change, book) != "older":
                    found.append(change)
    for same in quiet.values():
        newest = max(same, key=lambda one: (one.finding.known_at, one.line.id))
        found.append(_Change(newest.finding, newest.line, newest.workload, len(same)))
    return sorted(found, key=lambda one: _importance(one, book))


def _importance(one: _Change, book: Book) -> tuple[Any, ...]:
    finding = one.finding
    kinds = ("regression", "environment", "improvement", "drift", "spike")
    kind = finding.verdict if finding.kind == "step" else finding.kind
    ratio = finding.ratio
    ends = () if ratio is None else (ratio.low, ratio.estimate, ratio.high)
    known = [abs(log(end)) for end in ends if end is not None and 0 < end < inf]
    # The end that is nearer to no change at all: how much it is at least.
    least = min(known, default=0.0)
    certain = ratio is not None and ratio.low is not None
    return (
        _PERIODS.index(_period(one, book)),
        kinds.index(kind),
        not certain,
        -round(least, 6),
        one.workload.name,
        one.line.id,
        QUANTITIES.index(finding.series.quantity),
        finding.index,
    )


def _moved(finding: Finding) -> bool:
    ratio = finding.ratio
    if ratio is None or ratio.low is None or ratio.high is None:
        return False
    return ratio.low > 1.0 + _LEAST_MOVED or ratio.high < 1.0 - _LEAST_MOVED


def _period(one: _Change, book: Book) -> str:
    return period_of(one.finding.known_at, book.as_of)


def _change_json(one: _Change, book: Book, subjects: Mapping[str, str]) -> dict[str, Any]:
    finding, line = one.finding, one.line
    series = finding.series
    return {
        "kind": finding.kind,
        "verdict": finding.verdict,
        "workload": one.workload.slug,
        "series": line.id,
        "label": line.label,
        "device": line.device,
        "quantity": series.quantity,
        "unit": text(series.unit),
        "item": text(series.item),
        "ratio": interval(finding.ratio),
        "now": interval(series.points.intervals[-1]),
        "before": finding.before,
        "commit": finding.commit,
        "subject": subjects.get(finding.commit, ""),
        "known_at": moment(finding.known_at),
        "period": _period(one, book),
        "note": text(finding.note, MAX_REASON),
        "run": text(series.points.scene(finding.index).run),
        "case": line.newest.key,
        "count": one.count,
    }


def _missing(book: Book) -> list[dict[str, Any]]:
    """Return the cases whose newest run did not end well, by outcome and reason: failures first."""
    groups: dict[tuple[str, str, str], list[Entries]] = {}
    for own in book.series.values():
        last = own[-1]
        if not last.ending.ok:
            device = book.devices[last.device].id
            reason = text(last.ending.reason, MAX_REASON)
            groups.setdefault((str(last.ending.outcome), reason, device), []).append(own)
    found = [_missing_json(book, *key, histories) for key, histories in groups.items()]
    return sorted(
        found,
        key=lambda one: (
            one["outcome"] == str(Outcome.SKIPPED),
            not one["new"],
            -one["count"],
            one["outcome"],
            one["reason"],
            one["device"],
        ),
    )


def _missing_json(
    book: Book, outcome: str, reason: str, device: str, histories: Sequence[Entries]
) -> dict[str, Any]:
    cases = [_missing_case(book, own[-1]) for own in histories]
    return {
        "outcome": outcome,
        "reason": reason,
        "device": device,
        "count": len(histories),
        "since": moment(min(_since(own) for own in histories)),
        "cases": sorted(cases, key=lambda one: (one["workload"], one["label"], one["case"]))[
            :_MAX_CASES
        ],
        "new": any(len(own) > 1 and own[-2].ending.ok for own in histories),
    }


def _missing_case(book: Book, entry: Entry) -> dict[str, Any]:
    workload, line = book.workloads[entry.case.workload], book.lines.get(entry.seen.identity)
    return {
        "workload": workload.slug,
        "series": None if line is None else line.id,
        "label": label_of(entry.case, workload.varying, entry.seen.scene.settings),
        "run": text(entry.run),
        "case": entry.key,
    }


def _since(own: Entries) -> float:
    """Return when the runs that did not end well began."""
    since = own[-1].at
    for entry in reversed(own):
        if entry.ending.ok:
            break
        since = entry.at
    return since


def _unavailable(book: Book) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str, str, str], int] = {}
    for own in book.series.values():
        last = own[-1]
        for quantity in QUANTITIES:
            headline = headline_of(last, quantity)
            if headline is not None and headline.status in (
                str(Status.UNAVAILABLE),
                str(Status.UNRESOLVABLE),
            ):
                reason = text(headline.reason, MAX_REASON)
                key = (quantity, headline.status, reason, book.devices[last.device].id)
                counts[key] = counts.get(key, 0) + 1
    return [
        {"quantity": quantity, "status": status, "reason": reason, "device": device, "count": count}
        for (quantity, status, reason, device), count in sorted(
            counts.items(), key=lambda item: (-item[1], item[0])
        )
    ]


def _devices(book: Book, changes: Iterable[_Change]) -> list[dict[str, Any]]:
    counts = {device.id: {"day": [0, 0, 0], "week": [0, 0, 0]} for device in book.devices.values()}
    for one in changes:
        period, kind = _period(one, book), one.finding.verdict or one.finding.kind
        if kind not in _COUNTED or period == "older":
            continue
        counted = counts[one.line.device]
        for name in ("day", "week") if period == "day" else ("week",):
            counted[name][_COUNTED.index(kind)] += 1
    newest_of_all = [own[-1] for own in book.series.values()]
    found = []
    for device in book.devices.values():
        last = [entry for entry in newest_of_all if entry.device == device.place]
        newest = device.newest
        found.append(
            {
                "device": device.id,
                "cases": len(last),
                "ok": sum(entry.ending.ok for entry in last),
                "failed": sum(entry.ending.outcome in _FAILURES for entry in last),
                "skipped": sum(entry.ending.outcome is Outcome.SKIPPED for entry in last),
                "last": moment(newest.at),
                "commit": text(newest.seen.scene.commit),
                "environment": text(newest.seen.scene.environment),
                "model": text(newest.ending.model),
                "changes": counts[device.id],
            }
        )
    return found


_COUNTED = ("regression", "improvement", "environment")
