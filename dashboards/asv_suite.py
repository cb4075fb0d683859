"""Makes one function for each registered workload and quantity, as asv looks for benchmarks.

asv calls it in a process of its own for each set of parameters, in a folder that is shared by all
processes of a commit and round: there the one run of a case is kept for all its quantities.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dashboards.asv_benchmark import Benchmark, benchmarks_of
from dashboards.asv_cell import QUANTITIES
from dashboards.asv_names import inert
from dashboards.asv_suite_kind import REPEAT, ROUNDS, register
from harness.errors import AssayError
from harness.plan import Plan, PlannedCase, Selection, plan
from harness.registry import Registry

NO_CASE = "no such case at ci size"


class _Literal(str):
    """A parameter's value as the export writes it; asv shows and matches what repr() gives."""

    def __repr__(self) -> str:
        return str(self)


def make_benchmarks(registry: Registry) -> dict[str, Callable[..., Any]]:
    """Return asv's benchmarks of everything registered, at ci size, by a name for each.

    They are named as `assay publish` names them, with the parameters it would give these cases.
    A plug-in that does not load is told on stderr and left out. A workload with "-" in its name is
    too: asv's runner cannot call it.

    Raises:
        AssayError: nothing is registered, or a workload has more combinations than asv can draw.
    """
    register()
    planned = _plan(registry)
    for line in planned.broken:
        print(f"left out: {line}", file=sys.stderr)
    cases = {one.case.key: one for one in planned.cases}
    found: dict[str, Callable[..., Any]] = {}
    for benchmark in benchmarks_of(
        {key: one.case for key, one in cases.items()},
        {one.case.workload: one.case.version for one in planned.cases},
        {workload: [quantity.name for quantity in QUANTITIES] for workload in planned.workloads},
    ):
        if "-" in benchmark.name:
            print(f"left out: asv cannot call a benchmark with - in its name: {benchmark.name}; "
                  "use `assay run` for it", file=sys.stderr)  # fmt: skip
            continue
        own = {place: cases[key] for key, place in benchmark.index.items()}
        found[f"benchmark_{len(found)}"] = _function(benchmark, planned, own)
    return found


def _plan(registry: Registry) -> Plan:
    try:
        return plan(registry, Selection())
    except AssayError:
        # Without any device of ours here, each case says what it lacks.
        return plan(registry, Selection(backends=tuple(registry.backends)))


def _function(
    benchmark: Benchmark, planned: Plan, cases: Mapping[int, PlannedCase]
) -> Callable[..., Any]:
    quantity, grid = benchmark.quantity, benchmark.grid

    def setup(backend: str, *values: str) -> None:
        one = cases.get(grid.place([backend, *values]))
        if one is None or one.skip is not None:
            raise NotImplementedError(NO_CASE if one is None else one.skip)

    def setup_cache() -> None:
        """Have asv share one folder among all its processes of a commit and round."""

    def measured(backend: str, *values: str, repeat: object = REPEAT) -> Any:
        from dashboards.asv_suite_run import CaseFailedError, measure

        one = cases[grid.place([backend, *values])]
        try:
            found = measure(planned, one, quantity, repeat, Path.cwd())
        except CaseFailedError as error:
            sys.exit(str(error))
        if isinstance(found, str):
            print(f"asv: skipped: {found}")
            return math.nan
        return {"samples": list(found.samples), "number": found.number}

    name = f"{inert(benchmark.workload)} {quantity.name.replace('_', ' ')}"
    attributes = {
        "benchmark_name": benchmark.name,
        "pretty_name": name,
        "pretty_source": f"{name}, in {quantity.asv_unit}; version {inert(benchmark.version)}",
        "version": benchmark.version,
        "type": quantity.asv_type,
        "unit": quantity.asv_unit,
        "param_names": benchmark.param_names,
        "params": [[_Literal(value) for value in axis] for axis in grid.values],
        "setup": setup,
        "setup_cache": setup_cache,
        "repeat": REPEAT,
        "rounds": ROUNDS,
        # The harness ends each process in time; this is for asv, which knows of one only.
        "timeout": max(one.timeout_s for one in cases.values()) * 2 * REPEAT,
    }
    vars(measured).update(attributes)
    for function in (setup, setup_cache):
        vars(function)["pretty_source"] = ""
    return measured
