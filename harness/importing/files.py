"""Imports files of other tools: reads each, groups what belongs together, and stores runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import AssayError
from harness.importing import pyperf, pytest_benchmark
from harness.importing.cases import Found
from harness.importing.document import Document, read
from harness.importing.facts import Commit
from harness.importing.runs import imported_before, write_run
from harness.records import Result
from harness.registry import installed
from harness.validity import flaw

MAX_RESULTS = 10_000
"""Of one file: each becomes a file of the store."""

MAX_SAMPLES = 1_000_000
"""Of one benchmark in one process: pytest-benchmark takes at most 200,000 rounds by default."""

MAX_FACTS_BYTES = 64 << 10
"""Of a result without its samples: those of the machine, which are in each, take some 4 KiB."""

_READERS = (pytest_benchmark, pyperf)


@dataclass(frozen=True, slots=True)
class Imported:
    """One run that was stored: its id, the files it comes from, and what it holds."""

    run: str
    files: tuple[str, ...]
    cases: int
    results: int


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an import.

    Attributes:
        runs: what was stored.
        known: the run's id by the name of each file of which all is in the store already.
        warnings: one line for everything that will be missing on time axes.
    """

    runs: tuple[Imported, ...]
    known: dict[str, str]
    warnings: tuple[str, ...]


def import_files(
    paths: Sequence[Path],
    root: Path,
    *,
    workload: str | None = None,
    machine: str | None = None,
    commit: Commit | None = None,
) -> Report:
    """Store what files of pytest-benchmark or pyperf hold; nothing where one cannot be taken.

    A measurement that is in the store already, or in two of the files, is taken once. Results of
    one machine, environment and commit become one run: a benchmark that several files hold was
    measured by several processes.

    Args:
        paths: the files, packed by gzip or not.
        root: the results folder.
        workload: the suite's name, instead of the one that a file tells.
        machine: the machine's name, instead of the one that a file tells.
        commit: what was measured, where a file does not tell it.

    Raises:
        AssayError: a file cannot be taken, or the results folder cannot be written.
    """
    before, workloads = imported_before(root), installed().workloads
    fresh: dict[str, _Taken] = {}
    known: dict[str, str] = {}
    for path in paths:
        document = read(path)
        news = False
        for place, found in enumerate(_found(document, workload, machine, commit)):
            if found.result.case.workload in workloads:
                raise AssayError(
                    f"{path} would be mixed with workload {found.result.case.workload!r}, which is "
                    "installed here; give the suite another name with --workload"
                )
            if found.identity in before:
                known[document.name] = before[found.identity]
                continue
            news = True
            taken = _Taken(found, path.name, (found.result.started_at, document.digest, place))
            twin = fresh.get(found.identity)
            if twin is None or _samples(twin.found.result) < _samples(found.result):
                fresh[found.identity] = taken
        if news:
            known.pop(document.name, None)
    groups: dict[tuple[str, ...], list[_Taken]] = {}
    # In an order that is the files' own, whatever the order in which they are named.
    for taken in sorted(fresh.values(), key=lambda taken: taken.order):
        groups.setdefault(_key(taken.found.result), []).append(taken)
    runs = tuple(_stored(root, group) for group in groups.values())
    warnings = dict.fromkeys(line for group in groups.values() for line in _warnings(group))
    return Report(runs, known, tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Taken:
    """A result that is new, and the file that it was found in."""

    found: Found
    file: str
    order: tuple[float, str, int]


def _found(
    document: Document, workload: str | None, machine: str | None, commit: Commit | None
) -> Iterator[Found]:
    reader = next((one for one in _READERS if one.recognises(document.value)), None)
    if reader is None:
        raise document.refused("it is of neither pytest-benchmark nor pyperf")
    count = 0
    for found in reader.results(document, workload):
        count += 1
        if count > MAX_RESULTS:
            raise document.refused(f"it holds over {MAX_RESULTS} results")
        environment = dict(found.result.environment)
        if machine is not None:
            environment["machine"] = machine
        if commit is not None:
            environment |= _given(document, environment, commit)
        result = replace(found.result, environment=environment)
        _check(document, result)
        yield replace(found, result=result)
    if count == 0:
        raise document.refused("it holds no benchmark")


def _given(document: Document, environment: dict[str, Any], commit: Commit) -> dict[str, Any]:
    """Return the facts of the commit that the user names."""
    own = environment["commit"]
    if own is None:
        return {
            "commit": commit.id,
            "commit_reason": "",
            "commit_time": commit.time_s,
            "dirty": commit.dirty,
        }
    if own != commit.id:
        raise AssayError(
            f"{document.name} was measured at commit {own[:8]}, as it says; leave out --commit"
        )
    return {}


def _check(document: Document, result: Result) -> None:
    name = ascii(result.case.params["benchmark"])[:100]
    for measurement in result.measurements:
        if len(measurement.values) > MAX_SAMPLES:
            raise document.refused(f"{name} has over {MAX_SAMPLES} samples")
        if min(measurement.values) < 0:
            raise document.refused(f"{name} has a negative {measurement.quantity}")
    bare = [replace(measurement, values=()) for measurement in result.measurements]
    try:
        size = len(msgspec.msgpack.encode(replace(result, measurements=tuple(bare))))
    except (ValueError, OverflowError) as error:  # halves of characters, over 64 bits
        raise document.refused(f"{name} cannot be stored ({error})") from None
    if size > MAX_FACTS_BYTES:
        raise document.refused(f"{name} tells over {MAX_FACTS_BYTES >> 10} KiB beside its samples")
    if (why := flaw(result)) is not None:
        raise document.refused(f"{name}: {why}")


def _samples(result: Result) -> int:
    return sum(len(measurement.values) for measurement in result.measurements)


def _key(result: Result) -> tuple[str, ...]:
    facts = (result.environment[name] for name in ("machine", "id", "commit", "dirty"))
    return tuple(map(str, facts))


def _stored(root: Path, group: Sequence[_Taken]) -> Imported:
    run = write_run(root, [taken.found for taken in group])
    cases = {taken.found.result.case.key for taken in group}
    return Imported(run, _files(group), len(cases), len(group))


def _files(group: Sequence[_Taken]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(taken.file for taken in group))


def _warnings(group: Sequence[_Taken]) -> Iterator[str]:
    files, environment = ", ".join(_files(group)), group[0].found.result.environment
    if environment["commit"] is None:
        yield f"{files}: no commit is known, so no time axis has it; name it with --commit"
    elif environment["commit_time"] is None:
        yield f"{files}: the commit's date is unknown, so no time axis has it"
    elif environment["dirty"] is not False:
        yield f"{files}: measured with uncommitted changes, so no time axis has it"
    if not environment["machine"]:
        yield f"{files}: no machine is named, so no page shows it; name it with --machine"
