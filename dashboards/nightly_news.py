"""Tells what is new since the last night, and remembers what was told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dashboards.ledger import Entry, Ledger, on_ledger
from harness.case_run import CaseRun
from harness.detect import FALSE_ALARMS
from harness.findings import Finding, findings
from harness.history import histories
from harness.records import Outcome
from harness.rows import latest_of_each_case
from harness.sighting import QUANTITIES
from harness.store import write_record
from harness.validity import read_record

FILE_NAME = "nightly.json"
"""In the results folder: what the last night told."""

LEEWAY = 5
"""Points by which more measurements may move what was found: those that the detector ignores
after a change of environment."""


@dataclass(frozen=True, slots=True)
class Told:
    """A change that was told once.

    Attributes:
        series: machine, settings, case and quantity.
        verdict: "regression" or "improvement".
        lock: digest of the ledger's entry at which it showed.
    """

    series: tuple[str, str, str, str]
    verdict: str
    lock: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier nights have seen and told.

    Attributes:
        at: when the last night ended, Unix time in s; 0 before the first.
        seen: the start of each run's newest result, Unix time in s.
        locks: digests of the ledger's entries.
        told: the changes.
    """

    at: float = 0.0
    seen: Mapping[str, float] = field(default_factory=dict)
    locks: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What a night found.

    Attributes:
        new: changes that the code made and that were not told before.
        older: those that were.
        entries: the ledger's new entries.
        machines: which machines measured at each of the ledger's commits.
        environment: changes that came with these entries' software.
        memory: what the next night has to know.
    """

    new: tuple[Finding, ...]
    older: tuple[Finding, ...]
    entries: tuple[Entry, ...]
    machines: Mapping[str, frozenset[str]]
    environment: tuple[Finding, ...]
    memory: Memory


def remembered(root: Path) -> Memory:
    """Return what earlier nights have told of the results in this folder.

    Raises:
        AssayError: the file is damaged.
    """
    path = root / FILE_NAME
    return read_record(path, Memory, "nightly") if path.exists() else Memory()


def remember(root: Path, memory: Memory) -> None:
    """Store what the next night has to know.

    Raises:
        AssayError: the folder cannot be written.
    """
    write_record(root / FILE_NAME, "nightly", memory)


def since(cases: Iterable[CaseRun], memory: Memory) -> list[CaseRun]:
    """Return the last run of each case of which a result is newer than what was seen.

    Each run has its own time: results that are merged a night late are new all the same.
    """
    return latest_of_each_case(
        one
        for one in cases
        if any(result.started_at > memory.seen.get(one.run, -1.0) for result in one.results)
    )


def failed(cases: Iterable[CaseRun]) -> list[CaseRun]:
    """Return the cases that neither ended well nor were skipped."""
    return [one for one in cases if one.outcome not in (Outcome.OK, Outcome.SKIPPED)]


def news(
    cases: Sequence[CaseRun], ledger: Ledger, memory: Memory, *, min_change: float = 0.0
) -> News:
    """Return what the results tell that earlier nights did not.

    Args:
        cases: all stored cases of runs.
        ledger: that of the same cases.
        memory: what earlier nights told.
        min_change: the smallest change of level, as a share, that is told.
    """
    placed = on_ledger(cases, ledger)
    found = [
        finding
        for quantity in QUANTITIES
        for finding in findings(
            histories(placed, quantity), false_alarms=FALSE_ALARMS, min_change=min_change
        )
    ]
    locks = {entry.commit: entry.digest for entry in ledger.entries}
    left = list(memory.told)
    new: list[Finding] = []
    older: list[Finding] = []
    for finding in found:
        if finding.verdict:
            known = next((one for one in left if _is_of(one, finding, locks)), None)
            if known is None:
                new.append(finding)
            else:
                # Each was told once: a second change nearby is another one.
                left.remove(known)
                older.append(finding)
    entries = tuple(entry for entry in ledger.entries if entry.digest not in memory.locks)
    fresh = {entry.commit for entry in entries}
    told = [Told(_series(one), one.verdict, locks[one.commit]) for one in new]
    return News(
        new=tuple(new),
        older=tuple(older),
        entries=entries,
        machines=_machines(placed),
        environment=tuple(
            one for one in found if one.kind == "environment" and one.commit in fresh
        ),
        memory=Memory(
            at=time.time(),
            seen=_seen(cases),
            locks=tuple(entry.digest for entry in ledger.entries),
            told=(*memory.told, *told),
        ),
    )


def in_source(finding: Finding, ledger: Ledger) -> Finding:
    """Return the finding with the commits that were measured in place of the ledger's."""
    commits = {entry.commit: entry.facts["commit"] for entry in ledger.entries}
    return replace(finding, before=commits[finding.before], commit=commits[finding.commit])


def _is_of(told: Told, finding: Finding, locks: Mapping[str, str]) -> bool:
    """Return whether a finding is what was told, though more points may have moved it."""
    if told.series != _series(finding) or told.verdict != finding.verdict:
        return False
    points = finding.series.points[max(0, finding.start - LEEWAY) : finding.index + LEEWAY + 1]
    return any(locks[point.commit] == told.lock for point in points)


def _series(finding: Finding) -> tuple[str, str, str, str]:
    series = finding.series
    return series.machine, series.settings, series.case.key, series.quantity


def _machines(placed: Iterable[CaseRun]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for one in placed:
        found.setdefault(str(one.result.environment.get("commit")), set()).add(_machine(one))
    return {commit: frozenset(machines) for commit, machines in found.items()}


def _seen(cases: Iterable[CaseRun]) -> dict[str, float]:
    seen: dict[str, float] = {}
    for one in cases:
        newest = max(result.started_at for result in one.results)
        seen[one.run] = max(newest, seen.get(one.run, newest))
    return dict(sorted(seen.items()))


def _machine(one: CaseRun) -> str:
    return str(one.result.environment.get("machine"))
