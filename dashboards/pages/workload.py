"""The index of one workload: its commits and its series, without their points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.pages.axis import Axis
from dashboards.pages.book import Line, Workload, group_label
from dashboards.pages.entries import Entry
from dashboards.pages.headline import headline_of
from dashboards.pages.jsonfile import MAX_REASON, facts, interval, moment, numbers, text
from harness.sighting import QUANTITIES

_SPARK = 60


def workload_json(
    workload: Workload, axis: Axis, subjects: Mapping[str, str], baseline: str | None
) -> dict[str, Any]:
    """Return the index of a workload.

    Args:
        workload: with its lines.
        axis: of its lines.
        subjects: the first line of each commit's message, where it is known.
        baseline: the name of the baseline variant, where it is known.
    """
    groups = {
        line.group: group_label(line.case, workload.varying, line.newest.seen.scene.settings)
        for line in workload.lines
    }
    ordered = sorted(workload.lines, key=lambda line: (groups[line.group], line.label, line.id))
    return {
        "name": text(workload.name),
        "slug": workload.slug,
        "version": text(workload.version),
        "item": text(workload.item),
        "params": [text(name) for name in workload.params],
        "commits": [
            [commit, moment(time_s), subjects.get(commit, "")] for time_s, commit in axis.commits
        ],
        "series": [_series(line, line.case.variant == baseline) for line in ordered],
        "groups": [
            {"id": group, "label": label, "device": device}
            for label, device, group in sorted(
                {(groups[line.group], line.device, line.group) for line in workload.lines}
            )
        ],
        "default": _default(ordered),
    }


def _series(line: Line, baseline: bool) -> dict[str, Any]:
    case, newest = line.case, line.newest
    time = line.histories.get("time")
    spark = [] if time is None else time.points.intervals.estimates[-_SPARK:].tolist()
    return {
        "id": line.id,
        "device": line.device,
        "variant": text(case.variant),
        "params": facts(case.params),
        "seed": facts(case.seed),
        "label": line.label,
        "settings": text(newest.seen.scene.settings),
        "group": line.group,
        "baseline": baseline,
        "quantities": {
            name: found
            for name in QUANTITIES
            if (found := _quantity(line, name, newest)) is not None
        },
        "last": {
            "outcome": str(newest.ending.outcome),
            "reason": newest.ending.reason,
            "at": moment(newest.at),
            "run": text(newest.run),
            "case": newest.key,
        },
        "changes": len(line.findings),
        "spark": numbers(spark),
    }


def _quantity(line: Line, name: str, newest: Entry) -> dict[str, Any] | None:
    headline, history = headline_of(newest, name), line.histories.get(name)
    if headline is None and history is None:
        return None
    return {
        "unit": text(history.unit if history is not None else headline.unit if headline else ""),
        "last": interval(headline.interval) if headline else None,
        "status": headline.status if headline else "",
        "reason": text(headline.reason, MAX_REASON) if headline else "",
        "n": len(history.points) if history is not None else 0,
    }


def _default(lines: Sequence[Line]) -> str | None:
    """Return the group of the most recent change, or the first group."""
    changes = [
        (finding.known_at, line.group)
        for line in lines
        for finding in line.findings
        if finding.kind != "spike"
    ]
    if changes:
        return max(changes)[1]
    return lines[0].group if lines else None
