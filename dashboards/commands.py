"""The commands that `dashboards` adds to `assay`: publish and preview."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import AssayError

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--results", type=_FOLDER, show_default="as `assay run` has it",
              help="The results folder.")  # fmt: skip
@click.option("--html", type=_FOLDER, show_default=".asv/html in the repository",
              help="Where the pages go; an earlier dashboard there is replaced.")  # fmt: skip
@click.option("--repo", type=_FOLDER, default=Path(), show_default="the current folder",
              help="The git repository that was measured.")  # fmt: skip
@click.option("--ledger", type=_FOLDER,
              help="Let asv's pages show the run ledger's commits, and write it here.")  # fmt: skip
def publish(results: Path | None, html: Path | None, repo: Path, ledger: Path | None) -> None:
    """Publish stored results as pages, ours and asv's."""
    from dashboards import site
    from harness import config
    from harness.registry import installed
    from harness.tables import baselines_of

    root = results or config.load().results
    versions, baselines = current_versions(), dict(baselines_of(installed()))
    report = site.publish(root, repo, html, versions=versions, baselines=baselines, ledger=ledger)
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    for line in report.summary.left_out_lines():
        click.echo(line)
    summary = report.summary
    click.echo(
        f"published {_count(summary.results, 'result')} of {_count(len(summary.commits), 'commit')}"
        f" on {_count(len(summary.machines), 'machine')}"
    )
    index = _from_here(report.index)
    click.echo(f"open it with: assay preview --html {index.parent}")
    click.echo(index)


@click.command()
@click.option("--html", type=_FOLDER, show_default=".asv/html in the repository",
              help="The published pages.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any free one",
              help="The port to listen on.")  # fmt: skip
def preview(html: Path | None, port: int) -> None:
    """Serve published pages on this machine only, until interrupted."""
    from dashboards.preview import serve

    serve(
        html or _default_html(),
        port,
        lambda address: click.echo(f"{address}  (stop with Ctrl-C)"),
    )


def _default_html() -> Path:
    from dashboards.site import repository

    try:
        return repository(Path()) / ".asv" / "html"
    except AssayError:
        return Path(".asv") / "html"


def current_versions() -> dict[str, str]:
    """Return the version of every workload that loads; one that does not keeps its results'."""
    from harness.registry import installed

    registry = installed()
    versions = {}
    for name in registry.workloads:
        try:
            versions[name] = registry.workload(name).version
        except AssayError as error:
            click.echo(f"warning: {error}", err=True)
    return versions


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _from_here(path: Path) -> Path:
    """Return the path as it can be typed in the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
