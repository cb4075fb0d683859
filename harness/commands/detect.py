"""`assay detect`: steps and drift over the stored history of every case."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness import config, store
from harness.case_run import case_runs
from harness.detect import FALSE_ALARMS, LEAST_POINTS
from harness.errors import AssayError, unknown
from harness.findings import as_json, finding_sheets, findings, too_short
from harness.history import histories, normalised
from harness.tables import markdown_of_sheets, print_sheets
from harness.units import parse_share


@click.command()
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("-w", "--workload", "workloads", multiple=True, help="Only these workloads.")
@click.option(
    "--quantity",
    type=click.Choice(("time", "peak_memory", "energy")),
    default="time",
    show_default=True,
    help="What is looked at.",
)
@click.option("--last", type=click.IntRange(min=1), help="Only what changed at the newest commits.")
@click.option("--min-change", help="Smallest change that is told, such as 1%; any by default.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0.1, 20.0),
    default=FALSE_ALARMS,
    show_default=True,
    help="Steps per 1,000 points that may be told where there are none.",
)
@click.option("--normalise", is_flag=True, help="Divide each point by its canary.")
@click.option("--json", "style", flag_value="json", help="JSON, one object a finding.")
@click.option("--markdown", "style", flag_value="markdown", help="Markdown for a pull request.")
def detect(
    results: Path | None,
    workloads: tuple[str, ...],
    quantity: str,
    last: int | None,
    min_change: str | None,
    false_alarms: float,
    normalise: bool,
    style: str | None,
) -> int:
    """Find steps and drift over the history; exit with 1 where a regression is found."""
    root = results or config.load().results
    contents = store.read(root)
    cases = case_runs((stored.run, stored.result) for stored in contents.results)
    for name in workloads:
        known = {one.case.workload for one in cases}
        if name not in known:
            raise unknown("workload", name, known)
    series = histories(
        [one for one in cases if not workloads or one.case.workload in workloads], quantity
    )
    if normalise:
        series = [normalised(one) for one in series]
    if not any(one.points for one in series):
        raise AssayError(
            f"{root} holds no history of {quantity}: a point is a clean commit that was measured; "
            "commit, then `assay run`"
        )
    least = parse_share(min_change) if min_change else 0.0
    found = findings(series, false_alarms=false_alarms, min_change=least)
    if last is not None:
        found = [one for one in found if one.index >= len(one.series.points) - last]
    if style == "json":
        click.echo(json.dumps([as_json(one) for one in found], indent=2))
    elif style == "markdown":
        click.echo(markdown_of_sheets(finding_sheets(found)) if found else "No change found.")
    else:
        print_sheets(finding_sheets(found))
        short = too_short(series)
        told = f", {short} of them shorter than {LEAST_POINTS} commits" if short else ""
        click.echo(f"{len(found)} findings in {len(series)} series{told}")
    if contents.problems:
        raise AssayError("; ".join(contents.problems))
    return int(any(one.verdict == "regression" for one in found))
