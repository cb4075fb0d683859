"""Makes the data of the dashboard's own pages, one small file a page and series.

html/data/site.json                    what there is: workloads and devices
html/data/overview.json                what changed, failed or is not measured
html/data/workload/<slug>.json         one workload's commits and series
html/data/workload/<slug>/<id>.json    one series with all its points
html/data/devices.json                 the same cases on every device
html/data/runs.json                    all runs
html/data/runs/<file>.json             one run in full
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dashboards.pages.axis import axis_of, subjects_of
from dashboards.pages.book import Book, book_of
from dashboards.pages.collector import collector_paused
from dashboards.pages.devices import device_json, devices_json
from dashboards.pages.jsonfile import moment, text, write_json
from dashboards.pages.overview import overview_json
from dashboards.pages.readings import remembered
from dashboards.pages.run_page import run_json
from dashboards.pages.runs import runs_json
from dashboards.pages.series import series_json
from dashboards.pages.static import copy_static
from dashboards.pages.stored import Stored, collect, stored_of
from dashboards.pages.workload import workload_json
from harness.case_run import CaseRun
from harness.errors import AssayError

__all__ = ["SCHEMA", "Stored", "collect", "write_pages"]

SCHEMA = 1
"""Raised when the scripts of an older version would misread the data."""

_NOTHING: Mapping[str, int] = MappingProxyType({})
_NOBODY: Mapping[str, str] = MappingProxyType({})


def write_pages(
    found: Sequence[CaseRun] | Stored,
    html: Path,
    *,
    project: str,
    left_out: Mapping[str, int] = _NOTHING,
    problems: Sequence[str] = (),
    repo: Path | None = None,
    baselines: Mapping[str, str] = _NOBODY,
) -> None:
    """Write the pages and their data into `html`; equal results give equal bytes, in any order.

    Args:
        found: everything that is stored, results of dirty checkouts too: cases of runs, or, of
            long histories, what `collect` returns.
        html: the folder of the pages; made where it does not exist, and kept otherwise.
        project: what the pages are about.
        left_out: how many cases of runs other pages do not show, by reason.
        problems: one line for each file or run that cannot be read.
        repo: where the commits' messages are looked up; without it they have none.
        baselines: the name of the baseline variant by workload.

    Raises:
        AssayError: a file cannot be written, or a result is nested too deeply.
    """
    cases = () if isinstance(found, Stored) else found
    data, subjects = html / "data", subjects_of(repo)
    try:
        with collector_paused():
            stored = found if isinstance(found, Stored) else stored_of(found)
            with remembered(stored.readings) as readings:
                book = book_of(stored.entries, stored.surroundings, readings)
            copy_static(html)
            write_json(data / "site.json", _site(book, project, (html / "asv.html").is_file()))
            write_json(data / "overview.json", overview_json(book, subjects, left_out, problems))
            write_json(data / "devices.json", devices_json(book))
            write_json(data / "runs.json", runs_json(book))
            _write_workloads(book, data / "workload", subjects, baselines)
            _write_runs(book, data / "runs", cases, baselines)
            for run, page in stored.pages.items():
                _share(page, data / "runs" / f"{book.files[run]}.json")
    except RecursionError as error:
        raise AssayError(
            "a result holds values that are nested too deeply; move its run away"
        ) from error
    except OSError as error:
        raise AssayError(
            f"cannot write {html}: {error.strerror or error}; make room or choose another folder"
        ) from error


def _write_workloads(
    book: Book, folder: Path, subjects: Mapping[str, str], baselines: Mapping[str, str]
) -> None:
    for workload in book.workloads.values():
        axis = axis_of(workload.lines, book.places)
        index = workload_json(workload, axis, subjects, baselines.get(workload.name))
        write_json(folder / f"{workload.slug}.json", index)
        for line in workload.lines:
            write_json(folder / workload.slug / f"{line.id}.json", series_json(line, axis, book))


def _write_runs(
    book: Book, folder: Path, cases: Sequence[CaseRun], baselines: Mapping[str, str]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    own: dict[str, list[CaseRun]] = {}
    for one in cases:
        own.setdefault(one.run, []).append(one)
    for run, found in own.items():
        write_json(folder / f"{book.files[run]}.json", run_json(run, found, baselines))


def _share(file: Path, copy: Path) -> None:
    """Give a file that is never written to again a second name, or copy it to another disk."""
    copy.unlink(missing_ok=True)
    try:
        copy.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, copy)


def _site(book: Book, project: str, asv: bool) -> dict[str, object]:
    return {
        "project": text(project),
        "as_of": moment(book.as_of),
        "schema": SCHEMA,
        "workloads": [
            {
                "name": text(workload.name),
                "slug": workload.slug,
                "version": text(workload.version),
                "item": text(workload.item),
                "series": len(workload.lines),
            }
            for workload in book.workloads.values()
        ],
        "devices": [device_json(device) for device in book.devices.values()],
        "asv": asv,
    }
