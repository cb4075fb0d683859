"""Reads a results folder for publishing: a run only when something of it has changed.

    cache/runs/<digest>.json     what the page of a run shows
    cache/runs/<digest>.run      what all other pages need of it, as columns
    cache/runs/<digest>.cases    its cases with one value for each process, for asv's files
    cache/readings               how far the detector has read each series (`readings.py`)

The digest is of the run's name and the time at which its folder changed last.

A long history is hundreds of thousands of files, of which a night adds a few hundred. What a run's
files tell is therefore kept, for as long as the run's folder stays as it is. A run that could not
be read whole is read anew each time: permissions, and what is mended in place, leave the folder's
time as it was. The cache may be deleted at any time.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import msgspec
from loky import ProcessPoolExecutor

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

_FORM = 3
"""Raised when what is kept of a run, or what its page shows, changes."""

_WORTH_A_POOL = 16
"""Runs to read. A worker takes half a second to start, about what so few runs take."""

_TOO_LARGE = "{} holds a whole number of more than 64 bits; move it away"
_TOO_DEEP = "{} holds values that are nested too deeply; move it away"
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
            unpack = Unpacker(_Cases)
            return [
                one
                for run, page in self.pages.items()
                for one in _whole(run, page.with_suffix(".cases"), unpack)
            ]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is kept of a run for all pages but its own.

    Attributes:
        page_bytes: the size of its page's file, by which one that was cut short is known. A
            checksum would take the reading of every page.
    """

    page_bytes: int
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

    def told(self, unpack: Unpacker[_Told]) -> _Told | None:
        """Return what is kept of the run; None where the run must be read."""
        try:
            told = unpack(self.kept.read_bytes())
            whole = self.page.stat().st_size == told.page_bytes and self.cases.exists()
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return told if whole and not told.problems else None


def collect(root: Path, cache: Path, *, baselines: Mapping[str, str] = _NOBODY) -> Stored:
    """Return what is stored below `root`, reading only what the cache does not hold.

    Args:
        root: the results folder.
        cache: the folder that is kept from publishing to publishing; made where it is missing.
        baselines: the name of the baseline variant by workload.

    Raises:
        AssayError: the results folder cannot be read, the cache cannot be written, or a worker
            process was killed.
    """
    folder = cache / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs = run_folders(root)
        named = [run for run in runs if _is_text(run.name)]
        tasks = [task for run in named if (task := _task(run, folder, baselines)) is not None]
        with collector_paused():
            unpack = Unpacker(_Told)
            kept = [task.told(unpack) for task in tasks]
            _read([task for task, one in zip(tasks, kept, strict=True) if one is None])
            _forget(folder, tasks)
            stored = _stored(
                tasks,
                [
                    one or unpack(task.kept.read_bytes())
                    for task, one in zip(tasks, kept, strict=True)
                ],
                [_NO_TEXT.format(printable(str(run))) for run in runs if not _is_text(run.name)],
            )
            return replace(stored, readings=cache / "readings")
    except BrokenProcessPool as error:
        raise AssayError(
            f"a worker that reads {root} was killed, for want of memory perhaps; "
            "free some and publish again"
        ) from error
    except OSError as error:
        raise AssayError(
            f"cannot write {cache}: {error.strerror or error}; make room or delete it"
        ) from error


def stored_of(cases: Sequence[CaseRun]) -> Stored:
    """Return cases that are in memory as `collect` returns those of a folder; none has a page."""
    return Stored(entries_of(cases), tuple(surroundings_of(cases)))


def _task(run: Path, folder: Path, baselines: Mapping[str, str]) -> _Task | None:
    """Return what is to be done of a run; None where it was deleted meanwhile."""
    try:
        # Files of a run come and go by renaming, which its folder's time tells.
        changed = run.stat().st_mtime_ns
    except FileNotFoundError:
        return None
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
    # The standard library's pool hangs where a worker is killed while another starts.
    with ProcessPoolExecutor(workers, initializer=gc.disable) as pool:
        for _ in pool.map(_keep, tasks, chunksize=4):
            pass


def _keep(task: _Task) -> None:
    """Read one run and keep what it tells; last what says that it is kept."""
    contents = read_folder(task.folder)
    cases = case_runs((stored.run, stored.result) for stored in contents.results)
    try:
        _keep_cases(task, cases, contents.problems)
    except (OverflowError, RecursionError) as error:
        problem = _TOO_LARGE if isinstance(error, OverflowError) else _TOO_DEEP
        _keep_cases(task, [], (*contents.problems, problem.format(printable(str(task.folder)))))


def _keep_cases(task: _Task, cases: Sequence[CaseRun], problems: Sequence[str]) -> None:
    shown = run_json(task.folder.name, cases, task.baselines) if cases else None
    page = msgspec.json.encode(shown, order="deterministic")
    replace_file(task.page, page)
    replace_file(task.cases, packed(_apart(cases)))
    told = _Told(len(page), tuple(problems), entries_of(cases), tuple(surroundings_of(cases)))
    replace_file(task.kept, packed(told))


def _apart(cases: Iterable[CaseRun]) -> _Cases:
    environments: list[Facts] = []
    kept, places = [], []
    for one in map(condensed, cases):
        places.append(tuple(_place(result.environment, environments) for result in one.results))
        kept.append(tuple(replace(result, environment={}) for result in one.results))
    return _Cases(tuple(environments), tuple(kept), tuple(places))


def _whole(run: str, file: Path, unpack: Unpacker[_Cases]) -> Iterator[CaseRun]:
    try:
        found = unpack(file.read_bytes())
        for results, places in zip(found.cases, found.places, strict=True):
            yield CaseRun(
                run,
                tuple(
                    replace(result, environment=found.environments[place])
                    for result, place in zip(results, places, strict=True)
                ),
            )
    except (OSError, msgspec.MsgspecError, ValueError, IndexError) as error:
        raise AssayError(f"{file} is damaged; delete {file.parent}") from error


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


def _stored(tasks: Sequence[_Task], every: Sequence[_Told], problems: list[str]) -> Stored:
    entries: list[Entries] = []
    surroundings: list[Surroundings] = []
    pages: dict[str, Path] = {}
    for task, told in zip(tasks, every, strict=True):
        entries.append(told.entries)
        surroundings += told.surroundings
        problems += told.problems
        if len(told.entries):
            pages[task.folder.name] = task.page
    return Stored(joined_entries(entries), tuple(surroundings), tuple(problems), pages)
