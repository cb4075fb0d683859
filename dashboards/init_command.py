"""`assay init`: write a starter project that runs and publishes at once."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--assay", "spec", help="The Assay to depend on: a pip requirement, URL or folder; "
              "the one that runs, by default.")  # fmt: skip
def init(folder: Path, spec: str | None) -> None:
    """Write a starter project: a workload, its test, and the night."""
    from dashboards.starter_project import describe, first_commit, write
    from harness.printable import printable

    project = describe(folder, spec)
    count = write(project)
    click.echo(f"wrote {count} files: project {project.name}, workload {project.module}")
    click.echo(f"it depends on {printable(project.requirement)}")
    if project.local:
        click.echo("others cannot reach that folder: name a URL in pyproject.toml before you share")
    click.echo(printable(first_commit(project.folder)))
    for step in (
        f"cd {shlex.quote(printable(str(folder)))}",
        "python -m pip install --no-deps -e .",
        f"assay run -w {project.module}",
        "assay publish",
        "assay preview",
    ):
        click.echo(f"  {step}")
