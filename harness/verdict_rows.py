"""Shows what became of each pair that was compared: a table, markdown for a pull request, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import units
from harness.printable import printable
from harness.records import Case
from harness.repetition import process_interval
from harness.statistics import Interval
from harness.tables import Sheet, split_params, spread


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One case on two sides.

    Attributes:
        item: what the times are per.
        base: seconds per item; None where there is none.
        candidate: likewise.
        ratio: candidate over base.
        verdict: "regression", "improvement", "unchanged", "undecided", or how the case ended.
        repetitions: processes a side.
        smallest_effect: the change, as a share, that so many processes are likely to show.
        note: what the verdict alone does not say: why there is none, or what it still takes.
        details: further JSON values of this kind of comparison.
    """

    case: Case
    item: str
    base: Interval | None
    candidate: Interval | None
    ratio: Interval | None
    verdict: str
    repetitions: str = ""
    smallest_effect: float | None = None
    note: str = ""
    details: tuple[tuple[str, Any], ...] = ()


def verdict_sheets(rows: Sequence[VerdictRow], names: tuple[str, str]) -> list[Sheet]:
    """Return one sheet a workload.

    Args:
        rows: what was compared.
        names: what base and candidate are called in the heads of the columns.
    """
    workloads = dict.fromkeys(row.case.workload for row in rows)
    return [_sheet([row for row in rows if row.case.workload == name], names) for name in workloads]


def headline(groups: Sequence[Sequence[float]]) -> Interval | None:
    """Return the time that stands for processes, those without samples left out; None for none."""
    timed = [group for group in groups if group]
    return process_interval(timed) if timed and min(map(min, timed)) > 0 else None


def as_json(row: VerdictRow) -> dict[str, Any]:
    """Return the row as JSON values; what is not known is null."""
    return {
        "workload": row.case.workload,
        "version": row.case.version,
        "variant": row.case.variant,
        "backend": row.case.backend,
        "params": dict(row.case.params),
        "seed": row.case.seed,
        "per": row.item,
        "base_s": _interval_json(row.base),
        "candidate_s": _interval_json(row.candidate),
        "ratio": _interval_json(row.ratio),
        "verdict": row.verdict,
        "smallest_effect": row.smallest_effect,
        "note": row.note,
        **dict(row.details),
    }


def _sheet(rows: Sequence[VerdictRow], names: tuple[str, str]) -> Sheet:
    case = rows[0].case
    constant, varying = split_params([row.case.params for row in rows])
    item = next((row.item for row in rows if row.item), "item")
    lines = [
        [
            row.case.variant,
            row.case.backend,
            *(str(row.case.params.get(name, "")) for name in varying),
            _time(row.base),
            _time(row.candidate),
            change_text(row.ratio),
            row.verdict,
            row.repetitions,
            "" if row.smallest_effect is None else f"{row.smallest_effect:.1%}",
        ]
        for row in rows
    ]
    title = [f"{case.workload} (version {case.version}), time per {item}"]
    title += [f"{name}={value}" for name, value in constant.items()]
    columns = ["variant", "backend", *varying, *names, "change", "verdict", "processes", "detects"]
    return Sheet(
        title=printable(" ".join(title)),
        columns=[printable(column) for column in columns],
        cells=[[printable(cell) for cell in line] for line in lines],
        notes=[
            printable(f"{row.case.variant}{_varied(row, varying)}: {row.note}")
            for row in rows
            if row.note
        ],
    )


def _varied(row: VerdictRow, varying: Sequence[str]) -> str:
    return "".join(f" {name}={row.case.params.get(name)}" for name in varying)


def _time(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{units.format_si(interval.estimate, 's')}{spread(interval)}"


def change_text(interval: Interval | None) -> str:
    """Return a ratio as the change in percent with its interval: -5 % is faster."""
    if interval is None:
        return ""
    size = f"{interval.estimate - 1:+.1%}"
    if interval.low is None or interval.high is None:
        return size
    if not interval.estimate / 2 <= interval.low <= interval.high <= interval.estimate * 2:
        return f"{size} [±>100%]"
    return f"{size} [{interval.low - 1:+.1%}, {interval.high - 1:+.1%}]"


def _interval_json(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {
        "estimate": interval.estimate,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "confidence": interval.confidence,
    }
