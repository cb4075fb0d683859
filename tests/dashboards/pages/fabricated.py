"""Cases of runs that never ran, and what reads the pages that were written of them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.case_run import CaseRun
from harness.records import (
    Case,
    Ceiling,
    Measurement,
    Outcome,
    Result,
    Scalar,
    Status,
    Work,
)

DAY_S = 86_400
FIRST_S = 1_750_000_000
NO_COUNTER = "no powercap here; run on bare metal"


@dataclass(frozen=True, slots=True)
class Pages:
    folder: Path

    def __call__(self, name: str) -> Any:
        return json.loads((self.folder / "data" / f"{name}.json").read_text(encoding="utf-8"))

    def workload(self, slug: str = "heat") -> Any:
        return self(f"workload/{slug}")

    def series(self, number: int = 0, slug: str = "heat") -> Any:
        return self(f"workload/{slug}/{self.workload(slug)['series'][number]['id']}")

    def run(self, run: str) -> Any:
        [file] = [one["file"] for one in self("runs")["runs"] if one["id"] == run]
        return self(f"runs/{file}")

    def bytes(self) -> dict[str, bytes]:
        folder = self.folder / "data"
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*.json")
        }


def commit(number: int) -> str:
    return f"{number:040x}"


def make(
    number: int,
    seconds: float | None = 1.0,
    *,
    run: str | None = None,
    at: float = 0.0,
    workload: str = "heat",
    version: str = "1",
    variant: str = "torch",
    backend: str = "cpu",
    params: Mapping[str, Scalar] | None = None,
    outcome: Outcome = Outcome.OK,
    reason: str = "",
    energy: float | None = None,
    processes: int = 3,
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> CaseRun:
    """One case in one run, at one commit a day; its times lie within a percent of `seconds`."""
    environment = {
        "machine": "bench",
        "id": "e1",
        "commit": commit(number),
        "commit_time": float(FIRST_S + number * DAY_S),
        "dirty": False,
        "packages": {"torch": "2.12.0"},
        "device": {"model": "Example CPU"},
        **(facts or {}),
    }
    case = Case(workload, version, variant, backend, params or {"size": 10, "dim": 64})
    chance = random.Random(f"{number} {case.key} {environment['machine']!a} {environment['id']!a}")
    started = environment["commit_time"] + 3600.0 + at
    found = []
    for process in range(processes):
        result = Result(case, outcome, process=process, started_at=started + process)
        result = replace(result, environment=environment, reason=reason)
        if outcome is Outcome.OK and seconds is not None:
            level = seconds * chance.lognormvariate(0.0, 0.003)
            result = replace(result, **_measured(level, energy))
        found.append(replace(result, **changes))
    return CaseRun(run or f"run-{number}-{environment['machine']}-{at:g}", tuple(found))


def _measured(seconds: float, energy: float | None) -> dict[str, Any]:
    times = tuple(4.0 * seconds * (1 + 0.001 * i) for i in range(-2, 3))
    noise = tuple({"involuntary_switches": float(i == 3), "load1": 0.5} for i in range(5))
    joules = Measurement("energy", "J", "package", "rapl", status=Status.UNAVAILABLE)
    joules = replace(joules, reason=NO_COUNTER)
    if energy is not None:
        joules = Measurement("energy", "J", "package", "rapl", values=(4.0 * energy,))
    return {
        "work": Work(
            items=4.0,
            item="interaction",
            flops={"float32": 8e9},
            bytes={"memory": 4e9},
            working_set_bytes=4e9,
        ),
        "ceilings": (
            Ceiling("memory_rate", "DRAM", "B/s", (9e9, 1e10), 4e9, "numba read"),
            Ceiling("flop_rate", "float32", "FLOP/s", (1e12,), None, "torch matmul"),
        ),
        "measurements": (
            Measurement("time", "s", "process", "perf_counter", values=times, noise=noise),
            Measurement("peak_memory", "B", "process", "vmhwm", values=(4096.0, 4097.0)),
            joules,
        ),
    }
