"""Writes stored results as the files that asv publishes, compares and shows.

    <directory>/benchmarks.json                      what is measured: parameters, unit, version
    <directory>/<machine>/machine.json               the machine
    <directory>/<machine>/<commit8>-<env>.json       its results at one commit

The files have asv's version-2 form (machine.json: version 1). `docs/dashboard.md` explains them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dashboards.asv_benchmark import Benchmark, Findings, benchmarks_of, description
from dashboards.asv_cell import ABSENT, Cell, cell_of
from dashboards.asv_others import (
    Axes,
    axes_of_asv,
    keep,
    only_by_asv,
    results_of_asv,
    united,
)
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
from harness.records import Case, Result

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


def export(
    cases: Iterable[CaseRun],
    directory: Path,
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> ExportSummary:
    """Write asv's files for `cases`, replacing those of the previous export as a whole.

    Results that asv itself has put there, by `asv run`, stay and are united with these.

    Equal cases give equal files, byte for byte, in whatever order they come.

    Args:
        cases: stored cases of runs; those without a clean commit are left out and counted.
        directory: where the files go; new, empty, or written by an earlier export or by asv.
        versions: the current version by workload, such as the registry knows; results of another
            version are left out.

    Raises:
        AssayError: no result can be exported, the folder holds files of others or cannot be
            written, or a workload has more combinations of parameters than asv can draw.
    """
    kept = results_of_asv(directory, _written(directory))
    selection = select(cases, versions)
    if not selection.shown:
        why = "; ".join(_reasons(selection.left_out)) or "there are no results"
        raise AssayError(f"nothing to publish: {why}; commit your changes and run `assay run`")
    others = axes_of_asv(kept)
    benchmarks = [_widened(one, others) for one in _benchmarks(selection)]
    by_asv = only_by_asv(kept, others, [one.name for one in benchmarks])
    with replacing(directory) as fresh:
        names = []
        for name, document in _documents(selection, benchmarks, by_asv):
            path = fresh / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
            names.append(name)
        keep(kept, fresh)
        listing = "".join(f"{name}\n" for name in sorted(names))
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


def _written(directory: Path) -> set[str]:
    """Return the names of the files that the former export wrote."""
    marker = directory / MARKER
    listed = marker.read_text(encoding="utf-8").splitlines() if marker.is_file() else []
    return {MARKER, *listed}


def _benchmarks(selection: Selection) -> list[Benchmark]:
    one_each: dict[str, Case] = {}
    asked: dict[str, set[str]] = {}
    for place in sorted(selection.shown):
        for key, one in selection.shown[place].items():
            one_each[key] = one.case
            names = asked.setdefault(one.case.workload, set())
            names.update(measurement.quantity for measurement in one.result.measurements)
    return benchmarks_of(one_each, selection.versions, asked)


def _widened(benchmark: Benchmark, others: Axes) -> Benchmark:
    """Return the benchmark with the values that asv measured too, which are n/a for us."""
    former = benchmark.grid
    values = united(former.values, others.get((benchmark.name, benchmark.version), ()))
    grid = replace(former, values=values)
    index = {key: grid.place(former.literals(at)) for key, at in benchmark.index.items()}
    return replace(benchmark, grid=grid, index=index)


def _documents(
    selection: Selection,
    benchmarks: Sequence[Benchmark],
    by_asv: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file's name and content; what all the others tell of a benchmark comes last."""
    latest: dict[str, Result] = {}
    findings = {benchmark.name: Findings() for benchmark in benchmarks}
    stems = _stems(selection.shown)
    for place, cases in sorted(selection.shown.items()):
        last = max((one.result for one in cases.values()), key=lambda result: result.started_at)
        if place.machine not in latest or latest[place.machine].started_at < last.started_at:
            latest[place.machine] = last
        results = {}
        for benchmark in benchmarks:
            own = {key: one for key, one in cases.items() if key in benchmark.index}
            if own:
                results[benchmark.name] = _row(benchmark, own, findings[benchmark.name])
        yield f"{place.machine}/{stems[place]}.json", _file(place, results, last)
    for machine, last in sorted(latest.items()):
        facts = {**processor(last), "os": kernel(last), "ram": memory(last)}
        yield f"{machine}/machine.json", {"machine": machine, **facts, "version": _MACHINE_VERSION}
    described = {one.name: description(one, findings[one.name]) for one in benchmarks}
    yield "benchmarks.json", {**described, **by_asv, "version": _RESULT_VERSION}


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


def _file(place: Place, results: Mapping[str, list[Any]], last: Result) -> dict[str, Any]:
    return {
        "version": _RESULT_VERSION,
        "commit_hash": place.commit,
        "date": int(last.environment["commit_time"] * 1000),
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


def _row(benchmark: Benchmark, cases: Mapping[str, CaseRun], findings: Findings) -> list[Any]:
    """Return one benchmark's row, its values in the order of `_COLUMNS`."""
    cells = [ABSENT] * benchmark.grid.size
    for key, one in cases.items():
        cell = cell_of(one, benchmark.quantity)
        findings.add(one, cell)
        cells[benchmark.index[key]] = cell
    results = [result for one in cases.values() for result in one.results]
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


def _duration(benchmark: Benchmark, results: Sequence[Result]) -> float | None:
    """Return the workers' time in s, under "time" only: a worker measures every quantity."""
    if benchmark.quantity.name != "time":
        return None
    return sum(result.duration_s for result in results)


def _column(cells: Sequence[Cell], name: str) -> list[Any]:
    return [None if cell.stats is None else getattr(cell.stats, name) for cell in cells]
