"""Writes stored results as the files that asv publishes, compares and shows.

    <directory>/benchmarks.json                      what is measured: parameters, unit, version
    <directory>/<machine>/machine.json               the machine
    <directory>/<machine>/<commit8>-<env>.json       its results at one commit

The files have asv's version-2 form (machine.json: version 1). `docs/dashboard.md` explains them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dashboards.asv_cell import ABSENT, QUANTITIES, Cell, Quantity, cell_of, groups_of, steady
from dashboards.asv_grid import Grid, grid_of
from dashboards.asv_names import inert, safe_name
from dashboards.asv_select import (
    Place,
    Selection,
    kernel,
    memory,
    packages,
    processor,
    python,
    select,
)
from dashboards.folders import replacing
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.records import Outcome, Result

MARKER = ".assay-export"
"""Lists the files of an export, one a line; a folder without it was not written here."""

_RESULT_VERSION = 2
_MACHINE_VERSION = 1

_STATISTICS = ("ci_99_a", "ci_99_b", "q_25", "q_75", "number", "repeat")

_COLUMNS = (
    "result", "params", "version", "started_at", "duration",
    *(f"stats_{name}" for name in _STATISTICS),
    "samples", "profile",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was exported and what was not.

    Attributes:
        directory: where asv's files are.
        results: how many cases of runs they hold.
        machines: the names of the machines' folders.
        commits: the commits with results, in full.
        benchmarks: the names of asv's benchmarks.
        left_out: how many cases of runs were left out, by reason.
    """

    directory: Path
    results: int
    machines: tuple[str, ...]
    commits: tuple[str, ...]
    benchmarks: tuple[str, ...]
    left_out: Mapping[str, int]

    def left_out_lines(self) -> list[str]:
        """Return one line for each reason, the commonest first."""
        return _reasons(self.left_out)


@dataclass(frozen=True, slots=True)
class _Benchmark:
    name: str
    workload: str
    version: str
    quantity: Quantity
    grid: Grid


def export(
    cases: Iterable[CaseRun],
    directory: Path,
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> ExportSummary:
    """Write asv's files for `cases`, replacing those of the previous export as a whole.

    Equal cases give equal files, byte for byte, in whatever order they come.

    Args:
        cases: stored cases of runs; those without a clean commit are left out and counted.
        directory: where the files go; new, empty, or written by an earlier export.
        versions: the current version by workload, such as the registry knows; results of another
            version are left out.

    Raises:
        AssayError: no result can be exported, the folder holds files of others or cannot be
            written, or a workload has more combinations of parameters than asv can draw.
    """
    _refuse_files_of_others(directory)
    selection = select(cases, versions)
    if not selection.shown:
        why = "; ".join(_reasons(selection.left_out)) or "there are no results"
        raise AssayError(f"nothing to publish: {why}; commit your changes and run `assay run`")
    benchmarks = _benchmarks(selection)
    documents = dict(_documents(selection, benchmarks))
    with replacing(directory) as fresh:
        for name, document in documents.items():
            path = fresh / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
        listing = "".join(f"{name}\n" for name in sorted(documents))
        (fresh / MARKER).write_text(listing, encoding="utf-8")
    return ExportSummary(
        directory=directory,
        results=sum(len(cases) for cases in selection.shown.values()),
        machines=tuple(sorted({place.machine for place in selection.shown})),
        commits=tuple(sorted({place.commit for place in selection.shown})),
        benchmarks=tuple(benchmark.name for benchmark in benchmarks),
        left_out=selection.left_out,
    )


def _reasons(left_out: Mapping[str, int]) -> list[str]:
    return [
        f"{count} result{'s' if count > 1 else ''} left out: {reason}"
        for reason, count in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    ]


def _refuse_files_of_others(directory: Path) -> None:
    if not directory.exists():
        return
    marker = directory / MARKER
    ours = {MARKER}
    if marker.is_file():
        ours.update(marker.read_text(encoding="utf-8").splitlines())
    for path in directory.rglob("*") if directory.is_dir() else [directory]:
        name = path.relative_to(directory).as_posix()
        if name not in ours and (path.is_symlink() or not path.is_dir()):
            raise AssayError(
                f"{path} was not written by `assay publish`, which would delete it; "
                "move it away or choose another folder"
            )


def _benchmarks(selection: Selection) -> list[_Benchmark]:
    by_workload: dict[str, dict[str, CaseRun]] = {}
    for place in sorted(selection.shown):
        for key, one in selection.shown[place].items():
            by_workload.setdefault(one.case.workload, {})[key] = one
    benchmarks = []
    for workload, one_each in sorted(by_workload.items()):
        grid = grid_of([one_each[key].case for key in sorted(one_each)])
        found = _quantities(selection, workload)
        benchmarks += [
            _Benchmark(
                f"{safe_name(workload)}.{quantity.name}",
                workload,
                selection.versions[workload],
                quantity,
                grid,
            )
            for quantity in QUANTITIES
            if quantity.name in found
        ]
    return benchmarks


def _quantities(selection: Selection, workload: str) -> set[str]:
    """Return what was asked of a workload, whether or not a meter could tell it."""
    return {"time"} | {
        measurement.quantity
        for one in _of(selection, workload)
        for measurement in one.result.measurements
    }


def _of(selection: Selection, workload: str) -> list[CaseRun]:
    return [
        one
        for place in sorted(selection.shown)
        for one in selection.shown[place].values()
        if one.case.workload == workload
    ]


def _documents(
    selection: Selection, benchmarks: Sequence[_Benchmark]
) -> Iterable[tuple[str, dict[str, Any]]]:
    described = {
        benchmark.name: _description(benchmark, _of(selection, benchmark.workload))
        for benchmark in benchmarks
    }
    yield "benchmarks.json", {**described, "version": _RESULT_VERSION}
    latest: dict[str, Result] = {}
    stems = _stems(selection.shown)
    for place, cases in sorted(selection.shown.items()):
        last = max((one.result for one in cases.values()), key=lambda result: result.started_at)
        if place.machine not in latest or latest[place.machine].started_at < last.started_at:
            latest[place.machine] = last
        yield f"{place.machine}/{stems[place]}.json", _file(place, cases, benchmarks, last)
    for machine, last in sorted(latest.items()):
        facts = {**processor(last), "os": kernel(last), "ram": memory(last)}
        yield f"{machine}/machine.json", {"machine": machine, **facts, "version": _MACHINE_VERSION}


def _stems(places: Iterable[Place]) -> dict[Place, str]:
    """Return asv's file names, with the whole commit where eight digits name two."""
    commits: dict[str, set[str]] = {}
    for place in places:
        commits.setdefault(place.commit[:8], set()).add(place.commit)
    return {
        place: f"{short if len(commits[short]) == 1 else place.commit}-{place.environment}"
        for place in places
        for short in [place.commit[:8]]
    }


def _description(benchmark: _Benchmark, cases: Sequence[CaseRun]) -> dict[str, Any]:
    quantity = benchmark.quantity
    workload = inert(benchmark.workload)
    item = _item(cases) if quantity.per_item else ""
    name = f"{workload} {quantity.name.replace('_', ' ')}{f' per {item}' if item else ''}"
    lines = [f"{name}, in {quantity.asv_unit}; workload version {inert(benchmark.version)}"]
    if item:
        lines.append(f"The {quantity.name} of a step divided by the {item}s in it.")
    if reason := _unmeasured(cases, quantity):
        lines.append(f"Where it is not measured: {reason}")
    if not any(groups_of(one, quantity) for one in cases):
        name += ", not measured"
    return {
        "name": benchmark.name,
        "pretty_name": name,
        "code": "\n".join(lines),
        "type": quantity.asv_type,
        "unit": quantity.asv_unit,
        "version": benchmark.version,
        "param_names": [inert(name) for name in benchmark.grid.names],
        "params": [list(axis) for axis in benchmark.grid.values],
        "timeout": None,
    }


def _item(cases: Sequence[CaseRun]) -> str:
    items = [(one.result.started_at, one.result.work.item) for one in cases if one.result.work]
    return inert(max(items)[1]) if items else "step"


def _unmeasured(cases: Sequence[CaseRun], quantity: Quantity) -> str:
    """Return the latest reason for which a quantity has no value though its case ended well."""
    reasons = [
        (one.result.started_at, inert(measurement.reason or measurement.status.value, 300))
        for one in cases
        if one.outcome is Outcome.OK
        and steady(one.result, quantity) is not None
        and (measurement := one.measurement(quantity.name)) is not None
        and not groups_of(one, quantity)
    ]
    return max(reasons)[1] if reasons else ""


def _file(
    place: Place, cases: Mapping[str, CaseRun], benchmarks: Sequence[_Benchmark], last: Result
) -> dict[str, Any]:
    environment = last.environment
    results = {}
    for benchmark in benchmarks:
        own = [one for one in cases.values() if one.case.workload == benchmark.workload]
        if own:
            results[benchmark.name] = _row(benchmark, own)
    return {
        "version": _RESULT_VERSION,
        "commit_hash": place.commit,
        "date": int(environment["commit_time"] * 1000),
        "env_name": place.environment,
        "env_vars": {},
        "python": python(last),
        "requirements": packages(last),
        "params": {
            "machine": place.machine,
            **processor(last),
            "ram": memory(last),
            "python": python(last),
            "environment": place.environment,
        },
        "result_columns": list(_COLUMNS),
        "results": results,
        "durations": {},
    }


def _row(benchmark: _Benchmark, cases: Sequence[CaseRun]) -> list[Any]:
    """Return one benchmark's row, its values in the order of `_COLUMNS`."""
    cells = [ABSENT] * benchmark.grid.size
    for one in cases:
        cells[benchmark.grid.index(one.case)] = cell_of(one, benchmark.quantity)
    results = [result for one in cases for result in one.results]
    row = {
        "result": [cell.value for cell in cells],
        "params": [list(axis) for axis in benchmark.grid.values],
        "version": benchmark.version,
        "started_at": int(min(result.started_at for result in results) * 1000),
        "duration": _duration(benchmark, results),
        **{f"stats_{name}": _column(cells, name) for name in _STATISTICS},
        "samples": [list(cell.samples) or None for cell in cells],
        "profile": None,
    }
    return [row[name] for name in _COLUMNS]


def _duration(benchmark: _Benchmark, results: Sequence[Result]) -> float | None:
    """Return the workers' time in s, under "time" only: a worker measures every quantity."""
    if benchmark.quantity.name != "time":
        return None
    return sum(result.duration_s for result in results)


def _column(cells: Sequence[Cell], name: str) -> list[Any]:
    return [None if cell.stats is None else getattr(cell.stats, name) for cell in cells]
