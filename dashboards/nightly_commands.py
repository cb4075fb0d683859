"""The commands of the night that `dashboards` adds to `assay`: ledger and nightly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from harness.errors import AssayError

_FOLDER = click.Path(file_okay=False, path_type=Path)
_LEDGER = ".asv/ledger"
_SUITE = "nightly"

_results = click.option("--results", type=_FOLDER, help="Results folder.")
_ledger = click.option(
    "--ledger",
    "folder",
    type=_FOLDER,
    default=_LEDGER,
    show_default=True,
    help="The ledger's git repository; made where it does not exist.",
)


@click.command()
@_results
@_ledger
def ledger(results: Path | None, folder: Path) -> None:
    """Write the run ledger: a git repository whose commits lock what measured."""
    from dashboards.ledger import write_ledger
    from harness import config, store
    from harness.case_run import case_runs
    from harness.commands.selecting import warn

    contents = store.read(results or config.load().results)
    warn(contents.problems)
    written = write_ledger(
        case_runs((stored.run, stored.result) for stored in contents.results), folder
    )
    for entry in written.entries:
        click.echo(f"{entry.commit[:8]} {entry.subject}")
    click.echo(folder)


@click.command()
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- RUN OPTIONS]")
@click.option("--pull", is_flag=True, help="First move the checkout forward to its branch.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(("pull", "run", "ledger", "detect", "publish")),
    help="Only this step; repeat for more.",
)
@click.option("--suite", help="Suite of assay.toml; `nightly` where there is one, or else all.")
@click.option("--budget", help="Wall time for measuring, such as 2h.")
@click.option("--min-change", help="Smallest change that is told, such as 1%; any by default.")
@_results
@_ledger
@click.option("--html", type=_FOLDER, help="Where the pages go, as `assay publish` has it.")
@click.option(
    "--summary", type=click.Path(dir_okay=False, path_type=Path), help="Summary, in markdown."
)
@click.option("--pulled", hidden=True, default="")
def nightly(run_options: tuple[str, ...], **flags: Any) -> int:
    """Measure, detect, publish and sum up; exit with 1 on a new regression or a failed case.

    What stands behind -- goes to `assay run`.
    """
    from dashboards.nightly import STEPS, Options, spend_night
    from harness import config, units

    settings = config.load()
    steps = flags["only"] or [name for name in STEPS if name != "pull" or flags["pull"]]
    suite = flags["suite"] or (_SUITE if _SUITE in settings.suites else None)
    if suite is not None:
        settings.suite(suite)
    if flags["budget"] is not None:
        units.parse_duration(flags["budget"])
    options = Options(
        steps=steps,
        results=flags["results"] or settings.results,
        ledger=flags["folder"],
        html=flags["html"],
        run_options=[
            *(("--suite", suite) if suite else ()),
            *(("--budget", flags["budget"]) if flags["budget"] else ()),
            *run_options,
        ],
        min_change=units.parse_share(flags["min_change"]) if flags["min_change"] else 0.0,
        pulled=flags["pulled"],
    )
    return spend_night(options, lambda text: _write(text, flags["summary"]))


def _write(text: str, file: Path | None) -> None:
    """Print the summary, and write it where it was asked for and where GitHub shows it."""
    click.echo(text)
    shown = os.environ.get("GITHUB_STEP_SUMMARY")
    for path, mode in ((file, "w"), (Path(shown) if shown else None, "a")):
        if path is None:
            continue
        try:
            with path.open(mode, encoding="utf-8") as out:
                out.write(text)
        except OSError as error:
            raise AssayError(f"cannot write the summary {path}: {error.strerror}") from error
