"""`assay store`: look after the results folder."""

from __future__ import annotations

from pathlib import Path

import click

from harness import config, thinning, units
from harness import merge as merging
from harness.commands.group import HelpfulGroup
from harness.commands.selecting import warn
from harness.errors import AssayError
from harness.printable import printable


@click.group(name="store", cls=HelpfulGroup)
def store() -> None:
    """Look after the results folder."""


@store.command()
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("--older-than", default="90d", show_default=True, help="Age of results to thin.")
@click.option(
    "--keep",
    type=click.IntRange(min=thinning.MIN_KEPT),
    default=15,
    show_default=True,
    help="Samples that stay of each quantity.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be thinned and stop.")
def prune(results: Path | None, older_than: str, keep: int, dry_run: bool) -> None:
    """Thin the samples of old results; medians, quartiles and extremes stay as they are."""
    root = results or config.load().results
    report = thinning.prune(
        root, older_than_s=units.parse_duration(older_than), keep=keep, dry_run=dry_run
    )
    verb = "would thin" if dry_run else "thinned"
    click.echo(f"{verb} {report.results} of {report.seen} results, {report.samples} samples fewer")
    for problem in report.problems:
        click.echo(printable(f"warning: {problem}"), err=True)


@store.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE..."
)
@click.option("--into", type=click.Path(path_type=Path), help="Results folder to add to.")
def merge(sources: tuple[Path, ...], into: Path | None) -> None:
    """Copy the runs of other results folders into one; they stay as they are."""
    root = into or config.load().results
    report = merging.merge(sources, root)
    warn(report.left_out)
    click.echo(
        printable(
            f"merged {report.runs} runs into {root}: {report.new_runs} new, {report.files} files"
        )
    )
    if report.conflicts:
        more = f" (and {len(report.conflicts) - 1} more)" if len(report.conflicts) > 1 else ""
        raise AssayError(f"{report.conflicts[0]}{more}; both stay: move one of them away")
