"""`assay import`: files of pytest-benchmark and pyperf become results of the store."""

from __future__ import annotations

from pathlib import Path

import click

from harness import config
from harness.errors import AssayError
from harness.printable import printable


@click.command(name="import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("-w", "--workload", help="The suite's name; by default the project's, or pyperf.")
@click.option("--machine", help="The machine's name, instead of the one in the file.")
@click.option("--commit", help="The clean commit that was measured, where a file names none.")
def import_command(
    files: tuple[Path, ...],
    results: Path | None,
    workload: str | None,
    machine: str | None,
    commit: str | None,
) -> None:
    """Take pytest-benchmark and pyperf JSON into the store."""
    from harness.importing import import_files
    from harness.importing.commits import resolve

    for name, text in (("--workload", workload), ("--machine", machine)):
        if text is not None and not text.strip():
            raise AssayError(f"{name} names nothing; give a name or leave it out")
    root = results or config.load().results
    report = import_files(
        files,
        root,
        workload=workload,
        machine=machine,
        commit=None if commit is None else resolve(Path.cwd(), commit),
    )
    for warning in report.warnings:
        click.echo(printable(f"warning: {warning}"), err=True)
    for file, run in report.known.items():
        again = f"nothing was added; to import it anew, delete {root / run}"
        click.echo(printable(f"{file} is in run {run} already: {again}"))
    for one in report.runs:
        processes = "" if one.results == one.cases else f", {one.results} processes"
        benchmarks = "benchmark" if one.cases == 1 else "benchmarks"
        click.echo(
            printable(f"imported {one.cases} {benchmarks}{processes} from {', '.join(one.files)}")
        )
        click.echo(f"see them with: assay show --run {one.run}")
