"""`assay show`: stored results as a table, JSON, CSV or markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click

from harness import config, store
from harness.case_run import CaseRun, case_runs
from harness.errors import AssayError, unknown
from harness.registry import Registry, installed
from harness.rows import as_json, latest_of_each_case, rows
from harness.tables import as_csv, as_markdown, baselines_of, print_rows


@click.command()
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("--run", "run_id", default="latest", show_default=True, help="A run's id.")
@click.option("--all", "all_runs", is_flag=True, help="The last run of each case.")
@click.option("-w", "--workload", "workloads", multiple=True, help="Only these workloads.")
@click.option("--json", "style", flag_value="json", help="JSON, one object a case.")
@click.option("--csv", "style", flag_value="csv", help="CSV with unrounded SI numbers.")
@click.option("--markdown", "style", flag_value="markdown", help="GitHub markdown.")
def show(
    results: Path | None,
    run_id: str,
    all_runs: bool,
    workloads: tuple[str, ...],
    style: str | None,
) -> None:
    """Print stored results with their intervals."""
    root = results or config.load().results
    contents = store.read(root, None if all_runs else run_id)
    found = case_runs((stored.run, stored.result) for stored in contents.results)
    if all_runs:
        found = latest_of_each_case(found)
    elif found:
        # Measured in random order, shown as planned.
        order = store.planned_order(root, found[0].run)
        found.sort(key=lambda one: order.get(one.case.key, len(order)))
    registry = installed()
    if workloads:
        _check_workloads(workloads, found, registry, contents.problems)
        found = [one for one in found if one.case.workload in workloads]
    shown = rows(found, baselines_of(registry))
    if style == "json":
        click.echo(json.dumps([as_json(row) for row in shown], indent=2))
    elif style == "csv":
        click.echo(as_csv(shown), nl=False)
    elif style == "markdown":
        click.echo(as_markdown(shown), nl=False)
    else:
        print_rows(shown)
    # What can be read is shown first; the damage is told last, where it is seen.
    if contents.problems:
        raise AssayError("; ".join(contents.problems))


def _check_workloads(
    names: Iterable[str], cases: Iterable[CaseRun], registry: Registry, problems: Iterable[str]
) -> None:
    """Refuse a name that nothing is shown of: empty output would look like an empty store."""
    known = dict.fromkeys(one.case.workload for one in cases)
    for name in names:
        if name in known:
            continue
        if known and name not in registry.workloads:
            raise unknown("workload", name, known)
        there = f"there are results of {', '.join(known)}" if known else "there is no result"
        raise AssayError("; ".join([f"no result of workload {name!r}", there, *problems]))
