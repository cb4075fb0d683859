"""Reads the results folder: what every run stored, and what of it cannot be read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import AssayError
from harness.records import Result
from harness.validity import read_result, started_at

_RESULT_NAME = re.compile(r"[0-9a-f]{16}-[0-9]+\.json")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result and where it lies."""

    run: str
    path: Path
    result: Result


@dataclass(frozen=True, slots=True)
class Contents:
    """What a results folder holds, and one line for every file or run that cannot be read."""

    results: tuple[StoredResult, ...]
    problems: tuple[str, ...]


def read(root: Path, run: str | None = None) -> Contents:
    """Read every result below `root`, or those of one run, in order of their start.

    Args:
        root: the results folder; one that does not exist holds nothing.
        run: a run's id, or "latest": the one with the newest result, be it an older run resumed.

    Raises:
        AssayError: there is no such run.
    """
    runs, unreadable = _list_runs(root)
    if run in unreadable:
        return Contents((), (unreadable[run],))
    results: list[StoredResult] = []
    problems = list(unreadable.values()) if run in (None, "latest") else []
    if run is not None and (runs or not problems):
        folder = _one_run(runs, root, run)
        runs = {folder: runs[folder]}
    for folder, paths in runs.items():
        found = _read_results(folder.name, paths)
        results += found.results
        problems += found.problems
    results.sort(key=_by_start)
    return Contents(tuple(results), tuple(problems))


def read_folder(folder: Path) -> Contents:
    """Read the results of one run's folder, in order of their start."""
    try:
        paths = result_files(folder)
    except OSError as error:
        return Contents((), (_unreadable(folder, error),))
    found = _read_results(folder.name, paths)
    return Contents(tuple(sorted(found.results, key=_by_start)), found.problems)


def run_folders(root: Path) -> list[Path]:
    """Return the folders of the runs below `root`, in the order of their names.

    Raises:
        AssayError: `root` cannot be read.
    """
    try:
        return [
            entry
            for entry in sorted(root.iterdir())
            if not entry.name.startswith(".") and not entry.is_symlink() and entry.is_dir()
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AssayError(f"cannot read the results folder {root}: {error.strerror}") from error


def result_files(folder: Path) -> list[Path]:
    """Return the result files of a run's folder, in the order of their names."""
    return [path for path in sorted(folder.iterdir()) if _RESULT_NAME.fullmatch(path.name)]


def exists(path: Path) -> bool:
    """Return whether anything of that name is there, be it a link to nothing."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _list_runs(root: Path) -> tuple[dict[Path, list[Path]], dict[str, str]]:
    """The result files by folder; and by name, one line for each folder that cannot be read."""
    runs: dict[Path, list[Path]] = {}
    unreadable: dict[str, str] = {}
    for folder in run_folders(root):
        try:
            runs[folder] = result_files(folder)
            # Entering a folder is another permission than listing it.
            with contextlib.suppress(FileNotFoundError):
                (folder / "run.json").lstat()
        except OSError as error:
            unreadable[folder.name] = _unreadable(folder, error)
            runs.pop(folder, None)
    return runs, unreadable


def _read_results(run: str, paths: Sequence[Path]) -> Contents:
    results: list[StoredResult] = []
    problems: list[str] = []
    for path in paths:
        try:
            results.append(StoredResult(run, path, read_result(path)))
        except AssayError as error:
            problems.append(str(error))
    return Contents(tuple(results), tuple(problems))


def _by_start(stored: StoredResult) -> tuple[float, str]:
    return stored.result.started_at, stored.path.name


def _unreadable(folder: Path, error: OSError) -> str:
    return f"{folder} cannot be read ({error.strerror}); check its permissions"


def _one_run(runs: Mapping[Path, Sequence[Path]], root: Path, run: str) -> Path:
    named = {folder.name: folder for folder in runs if exists(folder / "run.json")}
    if run in named:
        return named[run]
    if not named:
        raise AssayError(f"no run {run!r} in {root}; it holds no run; `assay run` makes one")
    latest = max(
        named, key=lambda name: (max(map(started_at, runs[named[name]]), default=0.0), name)
    )
    if run == "latest":
        return named[latest]
    raise AssayError(f"no run {run!r} in {root}; the latest is {latest}")
