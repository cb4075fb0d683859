"""Stores imported results as finished runs, each whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import AssayError
from harness.importing.cases import Found
from harness.records import Result
from harness.store import RunHeader, fingerprint, write_record
from harness.validity import read_record

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def imported_before(root: Path) -> dict[str, str]:
    """Return the run's id by the identity of every result that is imported below `root`."""
    found: dict[str, str] = {}
    for path in sorted(root.glob("[!.]*/run.json")):
        try:
            header = read_record(path, RunHeader, "run")
        except AssayError:
            continue  # `assay show` names it
        results = header.settings.get("imported")
        if isinstance(results, list):
            found |= {one: path.parent.name for one in results if isinstance(one, str)}
    return found


def write_run(root: Path, found: Sequence[Found]) -> str:
    """Store results as one run, whose name and files are the same wherever they are imported.

    Args:
        root: the results folder.
        found: of one machine, environment and commit, in the order of their start, which numbers
            the processes of a case; each has process 0.

    Returns:
        The run's id.

    Raises:
        AssayError: the folder cannot be written, or another process imports the same.
    """
    results = _numbered(one.result for one in found)
    header = _header(results, sorted(one.identity for one in found))
    # Swept away by the next run where this process is killed; the lock says that it lives.
    nascent = root / f".start-{header.id}-{secrets.token_hex(4)}"
    try:
        nascent.mkdir(parents=True)
        lock = os.open(nascent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_record(nascent / "run.json", "run", header)
            for result in results:
                name = f"{result.case.key}-{result.process}.json"
                write_record(nascent / name, "result", result)
            ended_at = max(result.started_at + result.duration_s for result in results)
            write_record(nascent / "finished", "finished_at", ended_at)
            nascent.rename(root / header.id)
        finally:
            os.close(lock)
    except OSError as error:
        if error.errno in _TAKEN:
            raise AssayError(f"run {header.id} is already in {root}; nothing was added") from error
        raise AssayError(
            f"cannot write to the results folder {root}: {error.strerror}; free space or choose "
            "another with --results"
        ) from error
    finally:
        shutil.rmtree(nascent, ignore_errors=True)
    return header.id


def _numbered(results: Iterable[Result]) -> list[Result]:
    counts: Counter[str] = Counter()
    numbered = []
    for result in results:
        numbered.append(replace(result, process=counts[result.case.key]))
        counts[result.case.key] += 1
    return numbered


def _header(results: Sequence[Result], identities: Sequence[str]) -> RunHeader:
    digest = fingerprint(results, identities)
    started_at = results[0].started_at
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started_at))
    return RunHeader(
        id=f"{stamp}-{digest[:8]}",
        started_at=started_at,
        fingerprint=digest,
        cases=tuple({result.case.key: result.case for result in results}.values()),
        settings={"imported": identities},
        environment=results[0].environment,
    )
