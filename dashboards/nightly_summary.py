"""Writes a night's summary in markdown: what changed, what failed, what was published."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dashboards.ledger import Ledger
from dashboards.nightly_news import News, failed, in_source
from harness.case_run import CaseRun
from harness.findings import Finding, finding_sheets
from harness.records import Outcome
from harness.sighting import QUANTITIES
from harness.tables import Sheet, markdown_of_sheets
from harness.units import format_duration

MOST_LINES = 100
"""Of one table: GitHub cuts a summary at 1 MiB, and nobody reads on."""

_CELL_LENGTH = 300  # characters; a reason or a name may be of any length


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the night.

    Attributes:
        name: "pull", "run", "ledger", "detect" or "publish".
        outcome: "done" or "failed".
        duration_s: wall time, s.
        note: what it did, or why it failed.
    """

    name: str
    outcome: str
    duration_s: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """What a night did and found.

    Attributes:
        started_at: Unix time, s.
        steps: in their order.
        cases: what was measured since the last night.
        ledger: None where it was not written.
        news: None where nothing was looked for.
        published: what the publishing step printed.
    """

    started_at: float
    steps: tuple[Step, ...]
    cases: tuple[CaseRun, ...] = ()
    ledger: Ledger | None = None
    news: News | None = None
    published: tuple[str, ...] = ()


def summary(night: Night) -> str:
    """Return the summary; text that others chose cannot become markup in it."""
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(night.started_at))
    blocks = [f"# Night of {date}", _headline(night)]
    if night.news is not None and night.ledger is not None:
        blocks += _changes("New regressions", _of(night.news.new, "regression"), night.ledger)
        blocks += _changes("New improvements", _of(night.news.new, "improvement"), night.ledger)
        blocks += _environment(night.news)
    blocks += _ended_badly(failed(night.cases))
    blocks += _skipped([one for one in night.cases if one.outcome is Outcome.SKIPPED])
    if night.news is not None and night.ledger is not None:
        blocks += _changes(
            "Regressions told before", _of(night.news.older, "regression"), night.ledger
        )
    if night.published:
        lines = [[line] for line in night.published]
        blocks.append(_table("Published", ["what `assay publish` said"], lines))
    blocks.append(_steps(night.steps))
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _headline(night: Night) -> str:
    counts = []
    if night.news is not None:
        for kind in ("regression", "improvement"):
            counts.append(_count(len(_of(night.news.new, kind)), f"new {kind}"))
    skipped = sum(one.outcome is Outcome.SKIPPED for one in night.cases)
    machines = {str(one.result.environment.get("machine")) for one in night.cases}
    dirty = sum(one.result.environment.get("dirty") is not False for one in night.cases)
    counts += [
        f"{_count(len(failed(night.cases)), 'case')} failed",
        f"{skipped} skipped",
        f"{_count(len(night.cases), 'case')} on {_count(len(machines), 'machine')} since the last"
        " night",
    ]
    line = f"{', '.join(counts)}."
    if dirty:
        line += f" {dirty} of them at no clean commit: they enter no history."
    return line


def _of(found: Iterable[Finding], verdict: str) -> list[Finding]:
    return [one for one in found if one.verdict == verdict]


def _changes(title: str, found: Sequence[Finding], ledger: Ledger) -> list[str]:
    if not found:
        return []
    # Quantities have units of their own, so each has its tables.
    sheets = [
        sheet
        for quantity in QUANTITIES
        for sheet in finding_sheets(
            [in_source(one, ledger) for one in found if one.series.quantity == quantity]
        )
    ]
    return [f"## {title}", markdown_of_sheets(_cut(sheet) for sheet in sheets)]


def _environment(news: News) -> list[str]:
    """Say what came with each new entry of the ledger, where any series was there before it."""
    lines = []
    for entry in news.entries:
        with_it = [one for one in news.environment if one.commit == entry.commit]
        ratios = [one.ratio.estimate - 1 for one in with_it if one.ratio is not None]
        effect = f"{min(ratios):+.1%} to {max(ratios):+.1%}" if ratios else "not known yet"
        machines = ", ".join(sorted(news.machines[entry.commit]))
        lines.append([entry.subject, machines, str(len(with_it)), effect])
    if not lines:
        return []
    columns = ["commit and what is new", "machines", "series", "levels moved by"]
    return [_table("New on the ledger", columns, lines)]


def _ended_badly(cases: Sequence[CaseRun]) -> list[str]:
    lines = [
        [
            one.case.label,
            str(one.result.environment.get("machine")),
            str(one.outcome),
            one.result.reason,
        ]
        for one in cases
    ]
    return [_table("Failed", ["case", "machine", "outcome", "reason"], lines)] if lines else []


def _skipped(cases: Sequence[CaseRun]) -> list[str]:
    counts: dict[tuple[str, str], int] = {}
    for one in cases:
        key = (str(one.result.environment.get("machine")), one.result.reason)
        counts[key] = counts.get(key, 0) + 1
    lines = [[str(count), machine, reason] for (machine, reason), count in sorted(counts.items())]
    return [_table("Skipped", ["cases", "machine", "reason"], lines)] if lines else []


def _steps(steps: Sequence[Step]) -> str:
    lines = [
        [step.name, step.outcome, format_duration(step.duration_s), step.note] for step in steps
    ]
    return _table("Steps", ["step", "outcome", "took", ""], lines)


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    sheet = Sheet(title=title, columns=columns, cells=lines, notes=())
    return markdown_of_sheets([_cut(sheet)]).replace("###", "##", 1)


def _cut(sheet: Sheet) -> Sheet:
    more = len(sheet.cells) - MOST_LINES
    cells = [[cell[:_CELL_LENGTH] for cell in line] for line in sheet.cells[:MOST_LINES]]
    notes = [*sheet.notes, f"and {more} more"] if more > 0 else sheet.notes
    return Sheet(sheet.title[:_CELL_LENGTH], sheet.columns, cells, notes)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
