"""Writes what the detection benchmark measured: a table for the page, and the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import AssayError

MARKER = "<!-- detection table -->"
_ORACLE = "oracle"


def table(found: Mapping[str, Any], targets: Sequence[float]) -> str:
    """Return two tables: at each detector's own threshold, and at equal false alarms."""
    lines = [
        "| noise | detector | false alarms per 1,000 points | found within 5 points: 0.5 % | 1 % "
        "| 2 % | 5 % | 10 % | median delay, points: 0.5 % | 1 % | 2 % | 5 % | 10 % |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, rows in found["kinds"].items():
        if kind in found["oracle"]:
            lines.append(_row(kind, _ORACLE, found["oracle"][kind]))
        lines += [_row(kind, name, row) for name, row in rows.items()]
    if "real A/A" in found["sweeps"]:
        lines += ["", *_equal(found["sweeps"]["real A/A"], targets)]
    return "\n".join(lines) + "\n"


def rewrite(page: Path, lines: str) -> None:
    """Put the tables between the two markers of a page.

    Raises:
        AssayError: the page has not exactly two markers.
    """
    parts = page.read_text().split(MARKER)
    if len(parts) != 3:
        raise AssayError(f"{page} has {len(parts) - 1} lines {MARKER}; the table goes between two")
    page.write_text(f"{parts[0]}{MARKER}\n\n{lines}\n{MARKER}{parts[2]}")


def chosen(rows: Sequence[Mapping[str, Any]], target: float, size: str) -> Mapping[str, Any] | None:
    """Return the setting with the most power on the calibration half at no more false alarms.

    None where every setting has more.
    """
    quiet = [row for row in rows if row["calibration"]["false_alarms"] <= target]
    return max(quiet, key=lambda row: row["calibration"][size], default=None)


def draw(found: Mapping[str, Any], swept: Mapping[str, float], path: Path) -> str:
    """Draw power against false alarms for every detector; return a line that says where."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return "the picture is left out: pip install matplotlib"
    kinds = [kind for kind in swept if kind in found["sweeps"]]
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axis, kind in zip(axes, kinds, strict=True):
        size = f"{swept[kind]:g}"
        for name, rows in found["sweeps"][kind].items():
            points = _envelope(rows, size)
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        if kind in found["oracle"]:
            truth = found["oracle"][kind]
            share = truth["sizes"][size]["within"]
            axis.plot(truth["false_alarms"], share, "k*", markersize=9, label=_ORACLE)
        axis.set(
            title=f"{kind}, steps of {swept[kind]:.0%}",
            xlabel="false alarms per 1,000 points",
            ylabel="found within 5 points",
            xlim=(0, 20),
            ylim=(0, 1),
        )
        axis.grid(alpha=0.3)
    axes[-1].legend(fontsize=8)
    # Equal figures make an equal file.
    with rc_context({"svg.hashsalt": "assay"}):
        figure.savefig(path, metadata={"Date": None})
    return f"wrote {path}"


def _row(kind: str, name: str, row: Mapping[str, Any]) -> str:
    sizes = row["sizes"].values()
    within = " | ".join(f"{max(0.0, size['within']):.2f}" for size in sizes)
    delays = " | ".join("> 50" if s["delay"] is None else f"{s['delay']:.0f}" for s in sizes)
    alarms = f"{row['false_alarms']:.2f} (of {row['points']:,})"
    return f"| {kind} | {name} | {alarms} | {within} | {delays} |"


def _equal(curves: Mapping[str, Any], targets: Sequence[float]) -> list[str]:
    lines = [
        "| real A/A: at most so many false alarms per 1,000 on one half | detector "
        "| 5 % steps found on the other half | at so many false alarms | 10 % steps found "
        "| at so many false alarms |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for target in targets:
        for name, rows in curves.items():
            cells = []
            for size in ("0.05", "0.1"):
                setting = chosen(rows, target, size)
                if setting is None:
                    cells.append("no setting is as quiet | ")
                else:
                    other = setting["evaluation"]
                    cells.append(f"{max(0.0, other[size]):.2f} | {other['false_alarms']:.1f}")
            lines.append(f"| {target:g} | {name} | {' | '.join(cells)} |")
    return lines


def _envelope(rows: Sequence[Mapping[str, Any]], size: str) -> list[tuple[float, float]]:
    """The most power at each rate of false alarms, on the evaluation half, from (0, 0) up."""
    points = sorted((row["evaluation"]["false_alarms"], row["evaluation"][size]) for row in rows)
    best = [(0.0, 0.0)]
    for alarms, share in points:
        if share > best[-1][1]:
            best.append((alarms, share))
    return [*best, (points[-1][0], best[-1][1])]
