"""Reads a results folder for publishing: each finished run once in its life.

    cache/runs/<digest>.json     what the page of a run shows
    cache/runs/<digest>.run      what all other pages need of it, as columns
    cache/runs/<digest>.cases    its cases with one value for each process, for asv's files
    cache/readings               how far the detector has read each series (`readings.py`)

The digest is of the run's name and the time at which its folder changed last.

A long history is hundreds of thousands of files, of which a night adds a few hundred. What a run's
files tell is therefore kept, for as long as the run's folder stays as it is. The cache may be
deleted at any time.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from dashboards.pages.collector import collector_paused
from dashboards.pages.condensed import condensed
from dashboards.pages.entries import (
    Entries,
    Surroundings,
    entries_of,
    joined_entries,
    surroundings_of,
)
from dashboards.pages.jsonfile import replace_file
from dashboards.pages.names import digest
from dashboards.pages.packing import Unpacker, packed
from dashboards.pages.run_page import run_json
from harness.case_run import CaseRun, case_runs
from harness.errors import AssayError
from harness.printable import printable
from harness.records import Facts, Result
from harness.stored import read_folder, run_folders

_FORM = 2
"""Raised when what is kept of a run, or what its page shows, changes."""

_WORTH_A_POOL = 16
"""Runs to read. A worker takes half a second to start, about what so few runs take."""

_TOO_LARGE = "{} holds a whole number of more than 64 bits; move it away"
_NO_TEXT = "{} has a name that is not UTF-8; rename it"
_NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stored:
    """What a results folder holds, as far as pages need it.

    Attributes:
        entries: every case of every run.
        surroundings: the environments that they ran in.
        problems: one line for every file or run that cannot be read.
        pages: the file with what the page of a run shows, by the run's id.
        readings: where the detector's readings are kept; None for nowhere.
    """

    entries: Entries
    surroundings: tuple[Surroundings, ...]
    problems: tuple[str, ...] = ()
    pages: Mapping[str, Path] = field(default_factory=dict)
    readings: Path | None = None

    def cases(self) -> list[CaseRun]:
        """Return every case of every run that lies in the cache, condensed.

        Raises:
            AssayError: the cache is damaged.
        """
        with collector_paused():
            return [
                one
                for run, page in self.pages.items()
                for one in _whole(run, page.with_suffix(".cases"))
            ]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is kept of a run for all pages but its own."""

    problems: tuple[str, ...]
    entries: Entries
    surroundings: tuple[Surroundings, ...]


@dataclass(frozen=True, slots=True)
class _Cases:
    """A run's cases, each a tuple of results, whose environments lie apart at their `places`."""

    environments: tuple[Facts, ...]
    cases: tuple[tuple[Result, ...], ...]
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Task:
    """A run, and the file in which it is kept."""

    folder: Path
    kept: Path
    baselines: Mapping[str, str]

    @property
    def page(self) -> Path:
        """Where the page's data are kept."""
        return self.kept.with_suffix(".json")

    @property
    def cases(self) -> Path:
        """Where the cases are kept."""
        return self.kept.with_suffix(".cases")

    def is_kept(self) -> bool:
        """Return whether nothing of the run is missing."""
        return all(path.exists() for path in (self.kept, self.page, self.cases))


def collect(root: Path, cache: Path, *, baselines: Mapping[str, str] = _NOBODY) -> Stored:
    """Return what is stored below `root`, reading only what the cache does not hold.

    Args:
        root: the results folder.
        cache: the folder that is kept from publishing to publishing; made where it is missing.
        baselines: the name of the baseline variant by workload.

    Raises:
        AssayError: the results folder cannot be read, or the cache cannot be written.
    """
    folder = cache / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs = run_folders(root)
        tasks = [_task(run, folder, baselines) for run in runs if _is_text(run.name)]
        _read([task for task in tasks if not task.is_kept()])
        _forget(folder, tasks)
        with collector_paused():
            stored = _stored(
                tasks,
                [_NO_TEXT.format(printable(str(run))) for run in runs if not _is_text(run.name)],
            )
            return replace(stored, readings=cache / "readings")
    except OSError as error:
        raise AssayError(
            f"cannot write {cache}: {error.strerror or error}; make room or delete it"
        ) from error


def stored_of(cases: Sequence[CaseRun]) -> Stored:
    """Return cases that are in memory as `collect` returns those of a folder; none has a page."""
    return Stored(entries_of(cases), tuple(surroundings_of(cases)))


def _task(run: Path, folder: Path, baselines: Mapping[str, str]) -> _Task:
    # Files of a run come and go by renaming, which its folder's time tells.
    changed = run.stat().st_mtime_ns
    known = dict(baselines)
    return _Task(run, folder / f"{digest(_FORM, run.name, changed, known)}.run", known)


def _is_text(name: str) -> bool:
    """Return whether a name is one in UTF-8: the bytes of any other come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _read(tasks: Sequence[_Task]) -> None:
    workers = min(len(os.sched_getaffinity(0)), len(tasks))
    if len(tasks) < _WORTH_A_POOL or workers < 2:
        for task in tasks:
            _keep(task)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=gc.disable) as pool:
        for _ in pool.map(_keep, tasks, chunksize=4):
            pass


def _keep(task: _Task) -> None:
    """Read one run and keep what it tells; last what says that it is kept."""
    contents = read_folder(task.folder)
    cases = case_runs((stored.run, stored.result) for stored in contents.results)
    try:
        _keep_cases(task, cases, contents.problems)
    except OverflowError:
        _keep_cases(task, [], (*contents.problems, _TOO_LARGE.format(printable(str(task.folder)))))


def _keep_cases(task: _Task, cases: Sequence[CaseRun], problems: Sequence[str]) -> None:
    page = run_json(task.folder.name, cases, task.baselines) if cases else None
    replace_file(task.page, msgspec.json.encode(page, order="deterministic"))
    replace_file(task.cases, msgspec.msgpack.encode(_apart(cases)))
    told = _Told(tuple(problems), entries_of(cases), tuple(surroundings_of(cases)))
    replace_file(task.kept, packed(told))


def _apart(cases: Iterable[CaseRun]) -> _Cases:
    environments: list[Facts] = []
    kept, places = [], []
    for one in map(condensed, cases):
        places.append(tuple(_place(result.environment, environments) for result in one.results))
        kept.append(tuple(replace(result, environment={}) for result in one.results))
    return _Cases(tuple(environments), tuple(kept), tuple(places))


def _whole(run: str, file: Path) -> Iterator[CaseRun]:
    try:
        found = msgspec.msgpack.decode(file.read_bytes(), type=_Cases)
    except msgspec.MsgspecError as error:
        raise AssayError(f"{file} is damaged; delete {file.parent}") from error
    for results, places in zip(found.cases, found.places, strict=True):
        yield CaseRun(
            run,
            tuple(
                replace(result, environment=found.environments[place])
                for result, place in zip(results, places, strict=True)
            ),
        )


def _place(environment: Facts, environments: list[Facts]) -> int:
    for place, found in enumerate(environments):
        if found == environment:
            return place
    environments.append(environment)
    return len(environments) - 1


def _forget(folder: Path, tasks: Iterable[_Task]) -> None:
    known = {task.kept.stem for task in tasks}
    for path in folder.iterdir():
        if path.stem not in known:
            path.unlink()


def _stored(tasks: Iterable[_Task], problems: list[str]) -> Stored:
    entries: list[Entries] = []
    surroundings: list[Surroundings] = []
    pages: dict[str, Path] = {}
    unpack = Unpacker(_Told)
    for task in tasks:
        try:
            told = unpack(task.kept.read_bytes())
        except msgspec.MsgspecError:
            _keep(task)
            told = unpack(task.kept.read_bytes())
        entries.append(told.entries)
        surroundings += told.surroundings
        problems += told.problems
        if len(told.entries):
            pages[task.folder.name] = task.page
    return Stored(joined_entries(entries), tuple(surroundings), tuple(problems), pages)
