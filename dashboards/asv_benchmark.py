"""What asv is told of a benchmark: its name, its parameters, and what was found out about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.asv_cell import QUANTITIES, Cell, Quantity
from dashboards.asv_grid import Grid, grid_of
from dashboards.asv_names import inert, safe_name
from harness.case_run import CaseRun
from harness.records import Case


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A quantity of a workload.

    Attributes:
        name: asv's name of it.
        workload: as it is registered.
        version: the workload's.
        quantity: what is measured.
        grid: its parameters.
        index: the cell in the grid by a case's key.
    """

    name: str
    workload: str
    version: str
    quantity: Quantity
    grid: Grid
    index: Mapping[str, int]

    @property
    def param_names(self) -> list[str]:
        """Return asv's `param_names`."""
        return [inert(name) for name in self.grid.names]


@dataclass(slots=True)
class Findings:
    """What all the cells of a benchmark tell about it, whatever the order in which they come.

    Attributes:
        measured: whether any cell has a value.
        item: what the workload calls an item, latest last; with the time it was said.
        reason: why the quantity was not measured; with the time it was said.
    """

    measured: bool = False
    item: tuple[float, str] = (0.0, "")
    reason: tuple[float, str] = (0.0, "")

    def add(self, one: CaseRun, cell: Cell) -> None:
        """Take one cell of a case into account."""
        result = one.result
        if result.work is not None:
            self.item = max(self.item, (result.started_at, result.work.item))
        if cell.reason:
            self.reason = max(self.reason, (result.started_at, cell.reason))
        self.measured = self.measured or cell.stats is not None


def benchmarks_of(
    cases: Mapping[str, Case], versions: Mapping[str, str], asked: Mapping[str, Iterable[str]]
) -> list[Benchmark]:
    """Return the benchmarks that hold all the cases, in the order of their workloads' names.

    Args:
        cases: each case by its key.
        versions: each workload's version.
        asked: the names of the quantities that were asked of each workload, whether or not a
            meter could tell them; time is always there.
    """
    by_workload: dict[str, dict[str, Case]] = {}
    for key in sorted(cases):
        by_workload.setdefault(cases[key].workload, {})[key] = cases[key]
    found = []
    for workload, own in sorted(by_workload.items()):
        grid = grid_of(list(own.values()))
        index = {key: grid.index(case) for key, case in own.items()}
        found += [
            Benchmark(
                f"{safe_name(workload)}.{quantity.name}",
                workload,
                versions[workload],
                quantity,
                grid,
                index,
            )
            for quantity in QUANTITIES
            if quantity.name == "time" or quantity.name in asked[workload]
        ]
    return found


def description(benchmark: Benchmark, findings: Findings) -> dict[str, Any]:
    """Return the benchmark's entry in asv's benchmarks.json."""
    quantity = benchmark.quantity
    workload = inert(benchmark.workload)
    item = (inert(findings.item[1]) or "step") if quantity.per_item else ""
    name = f"{workload} {quantity.name.replace('_', ' ')}{f' per {item}' if item else ''}"
    lines = [f"{name}, in {quantity.asv_unit}; workload version {inert(benchmark.version)}"]
    if item:
        lines.append(f"The {quantity.name} of a step divided by the {item}s in it.")
    if findings.reason[1]:
        lines.append(f"Where it is not measured: {inert(findings.reason[1], 300)}")
    if not findings.measured:
        name += ", not measured"
    return {
        "name": benchmark.name,
        "pretty_name": name,
        "code": "\n".join(lines),
        "type": quantity.asv_type,
        "unit": quantity.asv_unit,
        "version": benchmark.version,
        "param_names": benchmark.param_names,
        "params": [list(axis) for axis in benchmark.grid.values],
        "timeout": None,
    }
