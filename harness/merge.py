"""Copies the runs of several machines' results folders into one.

Runs never clash: their ids are random and their files never change. A merge that was stopped half
way leaves whole files only, and the next one copies the rest; the order of merges does not matter.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import AssayError
from harness.records import Measurement
from harness.store import RunHeader, write_whole
from harness.stored import exists, result_files, run_folders
from harness.validity import read_record, read_result

_HEADER, _FINISHED = "run.json", "finished"
_RUN_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What was copied.

    Attributes:
        runs: how many runs the sources hold together.
        new_runs: of these, how many were not there before.
        files: how many files were copied.
        left_out: a line for each run or file that was not, with the reason.
        conflicts: a line for each file that is there already with other content; both stay.
    """

    runs: int
    new_runs: int
    files: int
    left_out: tuple[str, ...]
    conflicts: tuple[str, ...]


def merge(sources: Sequence[Path], into: Path) -> MergeReport:
    """Copy every run of the sources that `into` lacks, and the rest of runs that it has in part.

    Only whole results and what belongs to a run is copied: no links, no other files, no run that
    is still being written.

    Args:
        sources: results folders, which stay as they are.
        into: the results folder to add to; made where it does not exist.

    Raises:
        AssayError: a source is missing or `into` itself, none holds a run, or `into` cannot be
            written.
    """
    for source in sources:
        if not source.is_dir():
            raise AssayError(f"{source} is no folder; name results folders")
        if source.resolve() == into.resolve():
            raise AssayError(f"{source} is the folder to merge into; name another source")
    copied = _Copied()
    for source in sources:
        folders = _run_folders(source, copied.left_out)
        if not folders:
            copied.left_out.append(f"{source} holds no run")
        for folder in folders:
            copied.runs.add(folder.name)
            with _unwritten(folder) as unwritten:
                if unwritten:
                    _copy_run(folder, into / folder.name, copied)
                else:
                    copied.left_out.append(f"{folder} is still being written; merge again later")
    if not copied.runs:
        raise AssayError(f"no run in {', '.join(map(str, sources))}; name results folders")
    return MergeReport(
        runs=len(copied.runs),
        new_runs=len(copied.new_runs),
        files=copied.files,
        left_out=tuple(copied.left_out),
        conflicts=tuple(copied.conflicts),
    )


@dataclass(slots=True)
class _Copied:
    """What a merge has done so far."""

    runs: set[str] = field(default_factory=set)
    new_runs: set[str] = field(default_factory=set)
    files: int = 0
    left_out: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def _run_folders(source: Path, left_out: list[str]) -> list[Path]:
    """Return the folders that hold anything of a run; what is left out gets a line."""
    found = []
    for folder in run_folders(source):
        try:
            if not _files(folder):
                continue
        except OSError as error:
            left_out.append(f"{folder} cannot be read ({error.strerror}); check its permissions")
            continue
        # Another name, such as that of the file about the last night, would be in the way.
        if _RUN_NAME.fullmatch(folder.name):
            found.append(folder)
        else:
            left_out.append(f"{folder} has not the name of a run; restore it")
    return found


def _files(folder: Path) -> list[Path]:
    """Return what belongs to a run, what says that it is complete last.

    A merge that was stopped must not look like a whole run.
    """
    kept = (folder / _HEADER, folder / _FINISHED)
    return [*result_files(folder), *(path for path in kept if exists(path))]


@contextmanager
def _unwritten(folder: Path) -> Iterator[bool]:
    """Keep the run from being resumed while it is copied; yield False where one writes it now."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        # A copy from another machine has no lock.
        yield True
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _copy_run(source: Path, target: Path, copied: _Copied) -> None:
    for place in _files(source):
        there = target / place.name
        try:
            body = _whole(place)
        except AssayError as error:
            copied.left_out.append(str(error))
            continue
        try:
            if exists(there):
                if not there.is_symlink() and there.read_bytes() == body:
                    continue
                if not _is_thinned(there, place):
                    if not _is_thinned(place, there):
                        copied.conflicts.append(f"{place} differs from {there}")
                    continue
            if not target.exists():
                target.mkdir(parents=True)
                copied.new_runs.add(target.name)
            write_whole(there, body)
        except OSError as error:
            raise AssayError(
                f"cannot write {there}: {error.strerror}; make room or choose another folder"
            ) from error
        copied.files += 1


def _whole(path: Path) -> bytes:
    """Return the content of a file that is what its name says.

    Raises:
        AssayError: it is damaged, a link, of another run or of a newer Assay.
    """
    if path.name == _HEADER:
        header = read_record(path, RunHeader, "run")
        if header.id != path.parent.name:
            raise AssayError(
                f"{path} is the header of run {header.id!r}; restore the folder's name"
            )
    elif path.name == _FINISHED:
        read_record(path, float, "finished_at")
    else:
        result = read_result(path)
        if path.name != f"{result.case.key}-{result.process}.json":
            raise AssayError(f"{path} is the result of another case; restore its name")
    return path.read_bytes()


def _is_thinned(path: Path, whole: Path) -> bool:
    """Return whether a result is the other one with fewer samples, as `assay store prune` does.

    Of the two the whole one is kept, so that neither is lost and the order does not matter.
    """
    try:
        few, many = read_result(path), read_result(whole)
    except AssayError:
        return False
    return (
        few != many
        and len(few.measurements) == len(many.measurements)
        and replace(few, measurements=()) == replace(many, measurements=())
        and all(map(_has_fewer_samples, few.measurements, many.measurements))
    )


def _has_fewer_samples(few: Measurement, many: Measurement) -> bool:
    return few == many or (
        "thinned" in few.flags
        and _without_samples(few) == _without_samples(many)
        and len(few.values) < len(many.values)
        and set(few.values) <= set(many.values)
    )


def _without_samples(measurement: Measurement) -> Measurement:
    return replace(measurement, values=(), noise=(), flags=())
