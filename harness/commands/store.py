"""`assay store`: look after the results folder."""

from __future__ import annotations

from pathlib import Path

import click

from harness import config, thinning, units
from harness.commands.group import HelpfulGroup
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
