"""`assay run`: plan, warn, measure with progress, print the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from harness import config, preflight, session
from harness.commands.progress import progress_for
from harness.commands.selecting import options_of, selecting, selection_of, settings_of, warn
from harness.errors import AssayError
from harness.plan import MAX_PROCESSES, Plan, plan
from harness.printable import printable
from harness.records import Outcome, Result
from harness.registry import installed
from harness.rows import as_json, rows
from harness.tables import baselines_of, print_rows
from harness.task import BAD_INPUT
from harness.units import format_duration


@click.command()
@selecting
@click.option("--precision", help="Repeat a case until its interval is so narrow; 2% by default.")
@click.option(
    "--processes",
    type=click.IntRange(1, MAX_PROCESSES),
    help="Processes a case, whatever the precision.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan with a time estimate and stop.")
@click.option("--force", is_flag=True, help="Start anew instead of resuming an unfinished run.")
@click.option("--json", "as_json_", is_flag=True, help="Print the rows as JSON.")
def run(**flags: Any) -> int:
    """Measure the selected cases and store their results.

    Without a selection: every workload at ci size on every backend of this machine.
    """
    settings_file = config.load(flags["config_path"])
    options = options_of(settings_file, flags)
    registry = installed()
    planned = plan(registry, selection_of(options))
    warn(planned.broken)
    if flags["dry_run"]:
        _print_plan(planned, flags["as_json_"])
        return 0
    settings = settings_of(options)
    warn(preflight.look())
    with progress_for(planned) as observer:
        outcome = session.run_plan(
            planned,
            settings,
            flags["results"] or settings_file.results,
            observer=observer,
            force=flags["force"],
        )
    found = rows(outcome.cases, baselines_of(registry))
    if flags["as_json_"]:
        click.echo(json.dumps([as_json(row) for row in found], indent=2))
    else:
        print_rows(found)
        root = flags["results"] or settings_file.results
        click.echo(printable(f"run {outcome.run} is stored in {root}"))
    return _status([result for one in outcome.cases for result in one.results])


def _print_plan(planned: Plan, as_json_: bool) -> None:
    if as_json_:
        plan_rows = [
            {
                "workload": one.case.workload,
                "variant": one.case.variant,
                "backend": one.case.backend,
                "params": dict(one.case.params),
                "seed": one.case.seed,
                "estimate_s": one.estimate_s,
                "skip": one.skip,
            }
            for one in planned.cases
        ]
        click.echo(json.dumps(plan_rows, indent=2))
        return
    for one in planned.cases:
        fate = f"skip: {one.skip}" if one.skip else f"about {one.estimate_s:.0f} s"
        click.echo(printable(f"{one.case.label}: {fate}"))
    total = format_duration(planned.estimate_s)
    click.echo(f"{len(planned.cases)} cases, about {total}")


def _status(results: Sequence[Result]) -> int:
    """1 where a case failed; bad input is the user's to mend, so it is told as wrong usage."""
    bad_inputs = dict.fromkeys(result.reason for result in results if BAD_INPUT in result.flags)
    if bad_inputs:
        raise AssayError("; ".join(bad_inputs))
    return int(any(r.outcome not in (Outcome.OK, Outcome.SKIPPED) for r in results))
