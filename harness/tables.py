"""Prints rows: a table on the terminal, markdown for a pull request, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import units
from harness.printable import printable
from harness.records import Outcome, Params, Scalar
from harness.registry import Registry
from harness.rows import Quantity, Row, as_json
from harness.statistics import Interval

NARROW_TERMINAL = 80
PIPE_WIDTH = 200  # wide enough for every column; a pipe has no width of its own


@dataclass(frozen=True, slots=True)
class Sheet:
    """One workload's rows as printable text: a title, column names, and the cells."""

    title: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    notes: Sequence[str]


def baselines_of(registry: Registry) -> list[tuple[str, str]]:
    """Return each workload's name with its baseline variant's; broken workloads have none."""
    found = []
    for name in registry.workloads:
        try:
            variants = registry.workload(name).variants
        # A third party's workload may raise anything; its results are shown without speed-ups.
        except Exception:
            continue
        found += [(name, variant.name) for variant in variants if variant.baseline]
    return found


def print_rows(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print one table a workload, with the reasons for what is missing below it."""
    print_sheets(sheets(rows), console)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the tables as GitHub markdown."""
    return markdown_of_sheets(sheets(rows))


def print_sheets(sheets: Iterable[Sheet], console: Console | None = None) -> None:
    """Print sheets as tables, each with its notes below it."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH, file=console.file)
    for sheet in sheets:
        table = Table(title=Text(sheet.title), title_justify="left")
        for column in sheet.columns:
            table.add_column(Text(column), justify="left", overflow="fold")
        for line in sheet.cells:
            # As Text: a name or a reason in brackets is no markup.
            table.add_row(*(Text(cell) for cell in line))
        console.print(table)
        for note in sheet.notes:
            console.print(Text(note))


def markdown_of_sheets(sheets: Iterable[Sheet]) -> str:
    """Return sheets as GitHub markdown."""
    blocks = []
    for sheet in sheets:
        lines = [
            f"### {_markdown_cell(sheet.title)}",
            "",
            _markdown_line(sheet.columns),
            _markdown_line(["---"] * len(sheet.columns)),
            *(_markdown_line(cells) for cells in sheet.cells),
        ]
        if sheet.notes:
            lines += ["", *(f"- {_markdown_cell(note)}" for note in sheet.notes)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return one line a row with unrounded SI numbers; columns are the same for every workload."""
    out = io.StringIO()
    lines = [_flat(as_json(row)) for row in rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """Return one sheet a workload; parameters that never change stand in its title."""
    workloads = dict.fromkeys(row.result.case.workload for row in rows)
    return [_sheet([row for row in rows if row.result.case.workload == name]) for name in workloads]


def _sheet(rows: Sequence[Row]) -> Sheet:
    case = rows[0].result.case
    constant, varying = split_params([row.params for row in rows])
    backends = list(dict.fromkeys(row.result.case.backend for row in rows))
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("variant", lambda row: row.result.case.variant),
        *([("backend", _backend_cell)] if len(backends) > 1 else []),
        *((name, _param_cell(name)) for name in varying),
        (f"time per {_item(rows)}", lambda row: _headline(row)),
        ("peak memory", lambda row: _cell(row.peak_memory, units.format_bytes)),
        ("energy", lambda row: _cell(row.energy, lambda value: units.format_si(value, "J"))),
        ("speed-up", _speedup_cell),
        ("detects", _effect_cell),
        ("first call", lambda row: _short(row.first_call)),
        ("rate", _rate_cell),
        ("of ceiling", _ceiling_cell),
        ("quality", _quality_cell),
        ("processes", _processes_cell),
        ("flags", lambda row: " ".join(row.case_run.flags())),
    ]
    shown = [
        (name, [cell(row) for row in rows])
        for name, cell in columns
        if name in ("variant", "energy") or any(cell(row) for row in rows)
    ]
    where = [", ".join(backends), *(f"{name}={value}" for name, value in constant.items())]
    return Sheet(
        title=printable(f"{case.workload} (version {case.version}) on {' '.join(where)}"),
        columns=[printable(name) for name, _ in shown],
        cells=list(zip(*(map(printable, cells) for _, cells in shown), strict=True)),
        notes=[printable(note) for note in _notes(rows)],
    )


def split_params(params: Sequence[Params]) -> tuple[dict[str, Scalar], list[str]]:
    """Return the parameters that never change, and the names of those that do."""
    names = list(dict.fromkeys(name for one in params for name in one))
    values = {name: {str(one.get(name)) for one in params} for name in names}
    constant = {name: params[0][name] for name in names if len(values[name]) == 1}
    return constant, [name for name in names if name not in constant]


def _backend_cell(row: Row) -> str:
    return row.result.case.backend


def _ceiling_cell(row: Row) -> str:
    if not row.shares:
        return ""
    nearest = row.shares[0]
    share = f"{nearest.share:.0%}" if nearest.share >= 0.1 else f"{nearest.share:.1%}"
    return f"{share} {nearest.ceiling.level}"


def _effect_cell(row: Row) -> str:
    if row.smallest_effect is None:
        return ""
    return f"{row.smallest_effect:.1%}" if row.smallest_effect <= 1 else ">100%"


def _processes_cell(row: Row) -> str:
    return str(len(row.case_run.results)) if row.result.measurements else ""


def _short(quantity: Quantity | None) -> str:
    if quantity is None or quantity.interval is None:
        return ""
    return units.format_si(quantity.interval.estimate, quantity.unit)


def _param_cell(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.params.get(name, ""))


def _item(rows: Iterable[Row]) -> str:
    return next((row.result.work.item for row in rows if row.result.work is not None), "item")


def _headline(row: Row) -> str:
    if row.result.outcome is not Outcome.OK:
        return str(row.result.outcome)
    return _cell(row.time, lambda value: units.format_si(value, "s"))


def _cell(quantity: Quantity | None, write: Callable[[float], str]) -> str:
    if quantity is None:
        return ""
    if quantity.interval is None:
        return str(quantity.status)
    note = "" if quantity.status == "measured" else f" ({quantity.status})"
    return f"{write(quantity.interval.estimate)}{spread(quantity.interval)}{note}"


def spread(interval: Interval) -> str:
    """Return the interval as offsets in percent, since its ends rarely lie at equal distance.

    One that reaches beyond half or twice the estimate says only that little is known.
    """
    if interval.low is None or interval.high is None or interval.estimate == 0:
        return ""
    if not interval.estimate / 2 <= interval.low <= interval.high <= interval.estimate * 2:
        return " ±>100%"
    below = (interval.low / interval.estimate - 1) * 100
    above = (interval.high / interval.estimate - 1) * 100
    return f" {below:+.1f}/{above:+.1f}%"


def _speedup_cell(row: Row) -> str:
    if row.speedup is None:
        return "baseline" if row.baseline == row.result.case.variant else ""
    estimate, low, high = row.speedup.estimate, row.speedup.low, row.speedup.high
    if low is None or high is None:
        return f"{_factor(estimate)}x"
    return f"{_factor(estimate)}x [{_factor(low)}, {_factor(high)}]"


def _factor(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _rate_cell(row: Row) -> str:
    flop = sum(rate for name, rate in row.rates.items() if name.endswith("_flop_per_s"))
    return f"{flop / 1e9:.3g} GFLOP/s" if flop else ""


def _quality_cell(row: Row) -> str:
    if row.result.quality is None:
        return ""
    return " ".join(f"{name} {value:.4f}" for name, value in row.result.quality.values.items())


def _notes(rows: Sequence[Row]) -> list[str]:
    """Each reason once, with the variants it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        variant = row.result.case.variant
        if row.result.reason:
            reasons.setdefault(f"{row.result.outcome}: {row.result.reason}", []).append(variant)
        quantities = {"time": row.time, "energy": row.energy, "peak memory": row.peak_memory}
        for name, quantity in quantities.items():
            if quantity is not None and quantity.reason:
                text = f"{name} {quantity.status}: {quantity.reason}"
                reasons.setdefault(text, []).append(variant)
    everyone = list(dict.fromkeys(row.result.case.variant for row in rows))
    notes = []
    for reason, variants in reasons.items():
        who = list(dict.fromkeys(variants))
        notes.append(reason if who == everyone else f"{', '.join(who)}: {reason}")
    return notes


def _flat(value: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, part in value.items():
        if not prefix and name == "ceilings":
            continue  # a list of objects fits into no cell; the nearest has columns of its own
        if isinstance(part, dict):
            flat |= _flat(part, f"{prefix}{name}.")
        else:
            cell = " ".join(map(str, part)) if isinstance(part, list) else part
            flat[printable(prefix + name)] = printable(cell) if isinstance(cell, str) else cell
    return flat


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_markdown_cell(cell) for cell in cells)} |"


def _markdown_cell(text: str) -> str:
    """Escape what would end the cell or become markup or HTML in a pull-request comment."""
    text = " ".join(text.split())
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\")):
        text = text.replace(mark, safe)
    for mark in "|`*_[]@#":
        text = text.replace(mark, f"\\{mark}")
    return text
