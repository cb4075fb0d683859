"""The results folder: one JSON file a result, written atomically, never changed, safe to share.

    results/<run id>/run.json              what was planned, where, with which source
    results/<run id>/<case>-<process>.json one result each
    results/<run id>/finished              the run is complete; it is never resumed again
    results/<run id>/lock                  held (flock) while a process writes this run

One file a result, because then a kill at any instant leaves whole files only, two machines' folders
merge by copying, and a damaged file costs one result (docs/decisions/0001-one-file-a-result.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from harness.errors import AssayError
from harness.records import Case, Facts, Result
from harness.stored import Contents as Contents
from harness.stored import StoredResult as StoredResult
from harness.stored import exists, result_files, run_folders
from harness.stored import read as read
from harness.validity import SCHEMA as SCHEMA
from harness.validity import read_record
from harness.validity import read_result as read_result

_START_S = 60.0
"""A start that is older than this was killed: it writes two small files and renames a folder."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What one run set out to do.

    Attributes:
        id: folder name; sorts by time.
        started_at: Unix time, s.
        fingerprint: digest of plan, settings, environment and source; equal means resumable.
        cases: everything that was planned, skipped cases included.
        settings: how it was to be measured.
        environment: host facts, the commit among them.
    """

    id: str
    started_at: float
    fingerprint: str
    cases: tuple[Case, ...]
    settings: Facts = field(default_factory=dict)
    environment: Facts = field(default_factory=dict)


def planned_order(root: Path, run: str) -> dict[str, int]:
    """Return the place of each case in a run's plan, by key; nothing where that cannot be read."""
    try:
        header = read_record(root / run / "run.json", RunHeader, "run")
    except AssayError:
        return {}
    return {case.key: place for place, case in enumerate(header.cases)}


def write_record(path: Path, kind: str, record: Any) -> None:
    """Write a record as JSON under `path`; at no instant does a part of it stand there.

    Raises:
        AssayError: the folder is full or cannot be written.
    """
    write_whole(path, msgspec.json.encode({"schema": SCHEMA, kind: record}))


def write_whole(path: Path, body: bytes) -> None:
    """Write a file; at no instant does a part of it stand under `path`.

    Raises:
        AssayError: the folder is full or cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise _cannot_write(path.parent, error) from error


class Run:
    """One run being written; holds its lock until it is closed.

    Attributes:
        header: what was planned.
        resumed: whether results of an earlier, unfinished attempt were taken over.
        messages: what the user should know about that attempt's leftovers.
    """

    def __init__(self, folder: Path, header: RunHeader, lock: int, resumed: bool) -> None:
        self.header = header
        self.resumed = resumed
        self.messages: list[str] = []
        self._folder = folder
        self._lock = lock
        self._done: dict[tuple[str, int], Result] = {}
        if resumed:
            self._take_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order of the plan."""
        order = {case.key: place for place, case in enumerate(self.header.cases)}
        return [self._done[at] for at in sorted(self._done, key=lambda at: (order[at[0]], at[1]))]

    def has(self, case: Case, process: int = 0) -> bool:
        """Return whether the result of that repetition of the case is stored."""
        return (case.key, process) in self._done

    def of(self, case: Case) -> list[Result]:
        """Return the results of a case, in the order of its repetitions."""
        return [self._done[at] for at in sorted(self._done) if at[0] == case.key]

    def append(self, result: Result) -> Path:
        """Store a result; when this returns it survives a kill and a power cut.

        Raises:
            AssayError: the folder is full or cannot be written.
        """
        path = self._folder / f"{result.case.key}-{result.process}.json"
        write_record(path, "result", result)
        self._done[result.case.key, result.process] = result
        return path

    def finish(self) -> None:
        """Mark the run complete, so that running again measures again."""
        write_record(self._folder / "finished", "finished_at", time.time())

    def _take_over(self) -> None:
        known = {case.key for case in self.header.cases}
        for part in self._folder.glob(".*.part"):
            self._set_aside(part, "a half-written record")
        for path in result_files(self._folder):
            try:
                result = read_result(path)
            except AssayError as error:
                self._set_aside(path, str(error))
                continue
            if result.case.key in known:
                self._done[result.case.key, result.process] = result

    def _set_aside(self, path: Path, why: str) -> None:
        shelf = self._folder / "set-aside"
        shelf.mkdir(exist_ok=True)
        place = shelf / f"{path.name.lstrip('.')}.{secrets.token_hex(4)}"
        path.replace(place)
        self.messages.append(f"set aside {place}: {why}; its case is measured again")


def open_run(
    root: Path,
    cases: Sequence[Case],
    *,
    fingerprint: str,
    settings: Facts,
    environment: Facts,
    force: bool = False,
) -> Run:
    """Resume the unfinished run of this fingerprint, or start a new one.

    Args:
        root: the results folder; made where it does not exist.
        cases: everything that is planned.
        fingerprint: digest of plan, settings, environment and source.
        settings: how it is to be measured, kept for the reader.
        environment: host facts.
        force: start anew even where a run could be resumed.

    Raises:
        AssayError: the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep_abandoned_starts(root)
        if not force and (run := _resume(root, fingerprint)) is not None:
            return run
        return _start(root, cases, fingerprint, settings, environment)
    except OSError as error:
        raise _cannot_write(root, error) from error


def fingerprint(*parts: Any) -> str:
    """Return a digest of JSON-like values, equal for equal values."""
    canonical = msgspec.json.encode(parts, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()


def _start(
    root: Path, cases: Sequence[Case], fingerprint: str, settings: Facts, environment: Facts
) -> Run:
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    header = RunHeader(
        id=f"{stamp}-{secrets.token_hex(4)}",
        started_at=now,
        fingerprint=fingerprint,
        cases=tuple(cases),
        settings=settings,
        environment=environment,
    )
    # The folder takes its name only when its header is whole, so no run without a header is seen.
    nascent = root / f".start-{header.id}"
    nascent.mkdir()
    lock = _try_lock(nascent)
    if lock is None:
        raise AssayError(f"cannot lock {nascent}; the file system must have room and know flock")
    write_record(nascent / "run.json", "run", header)
    folder = root / header.id
    nascent.rename(folder)
    _sync_folder(root)
    return Run(folder, header, lock, resumed=False)


def _resume(root: Path, fingerprint: str) -> Run | None:
    for folder in reversed(run_folders(root)):
        if exists(folder / "finished"):
            continue
        try:
            header = read_record(folder / "run.json", RunHeader, "run")
        except AssayError:
            continue
        if header.fingerprint != fingerprint:
            continue
        lock = _try_lock(folder)
        if lock is None:
            continue
        if exists(folder / "finished"):
            os.close(lock)
            continue
        return Run(folder, header, lock, resumed=True)
    return None


def _sweep_abandoned_starts(root: Path) -> None:
    for nascent in root.glob(".start-*"):
        # Another start may sweep at the same time, and a stray file or link is not ours.
        with contextlib.suppress(OSError):
            found = nascent.lstat()
            # A younger one may not have come to locking itself yet.
            if stat.S_ISDIR(found.st_mode) and found.st_mtime < time.time() - _START_S:
                lock = _try_lock(nascent)
                if lock is not None:
                    shutil.rmtree(nascent, ignore_errors=True)
                    os.close(lock)


def _try_lock(folder: Path) -> int | None:
    try:
        lock = os.open(
            folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644
        )
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(folder: Path, error: OSError) -> AssayError:
    return AssayError(
        f"cannot write to the results folder {folder}: {error.strerror}; "
        "free space or choose another with --results; what was stored before is safe"
    )
