"""`assay data`: the public inputs that workloads know."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
import platformdirs

from harness import data as datasets
from harness.commands.data_progress import transfer_progress
from harness.commands.group import HelpfulGroup
from harness.errors import AssayError, unknown
from harness.printable import printable
from harness.protocols import NamesDatasets
from harness.registry import Registry, installed
from harness.units import format_bytes


@click.group(name="data", cls=HelpfulGroup)
def data() -> None:
    """List, find and fetch input data."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_data(as_json: bool) -> None:
    """List the known data sets and whether they are on this machine."""
    rows = [
        {
            "name": dataset.name,
            "workload": workload,
            "summary": dataset.summary,
            "terms": dataset.terms,
            "bytes": _download_bytes(dataset),
            "path": None if (path := datasets.present(dataset)) is None else str(path),
        }
        for dataset, workload in _known().values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = row["path"] or f"not here; `assay data fetch {row['name']}` gets it"
        size = "size unknown" if row["bytes"] is None else format_bytes(float(str(row["bytes"])))
        lines = (
            f"{row['name']} ({row['workload']}, {size}): {row['summary']}",
            f"  {row['terms']}",
            f"  {where}",
        )
        click.echo("\n".join(map(printable, lines)))


@data.command("path")
@click.argument("name")
def path_of_data(name: str) -> None:
    """Print the folder of a data set that is on this machine."""
    dataset = _dataset(name)
    path = datasets.present(dataset)
    if path is None:
        raise AssayError(f"{name} is not on this machine; `assay data fetch {name}` gets it")
    _print_path(path)


@data.command("fetch")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Data folder to put it in.")
def fetch_data(name: str, folder: Path | None) -> None:
    """Download a data set, check it against its checksum, and print its folder.

    A download that was broken off is gone on with.
    """
    dataset = _dataset(name)
    path = datasets.present(dataset) if folder is None else None
    if path is None:
        target = folder or Path(platformdirs.user_data_dir("assay"))
        with transfer_progress() as progress:
            path = datasets.fetch(dataset, target, progress.moved, progress.say)
    _print_path(path)


def _download_bytes(dataset: datasets.Dataset) -> int | None:
    """Return the size of all downloads, None where it is not known before the first."""
    sizes = [file.size_bytes for file in dataset.files]
    return sum(sizes) if all(sizes) else None


def _print_path(path: Path) -> None:
    """Byte for byte: another program is to open it, whatever its encoding."""
    click.echo(os.fsencode(path))


def _dataset(name: str) -> datasets.Dataset:
    known = _known()
    if name not in known:
        raise unknown("data set", name, known)
    return known[name][0]


def _known() -> dict[str, tuple[datasets.Dataset, str]]:
    registry = installed()
    found = {}
    for workload in registry.workloads:
        try:
            named = _datasets_of(registry, workload)
        # A third party's workload may raise anything; the others' data must still be found.
        except Exception as error:
            said = error if isinstance(error, AssayError) else f"workload {workload!r}: {error!r}"
            click.echo(printable(f"warning: {said}"), err=True)
            continue
        found.update({dataset.name: (dataset, workload) for dataset in named})
    return found


def _datasets_of(registry: Registry, name: str) -> Sequence[datasets.Dataset]:
    workload = registry.workload(name)
    return workload.datasets() if isinstance(workload, NamesDatasets) else ()
