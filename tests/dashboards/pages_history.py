"""Histories for the tests of pages: a rich one, a hostile one, and a long one."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.case_run import CaseRun, case_runs
from harness.records import Ceiling, Measurement, Outcome, Quality, Result, Verification, Work
from tests.dashboards.conftest import make_environment, make_result

DAY_S = 86_400
COMMITS = 40
STEPPED = 35
START_S = 1_790_000_000
HOSTILE = "<img src=x onerror=\"window.ran='yes'\">'\"&`${1}</script>"


def commit_of(at: int) -> str:
    return f"{at + 1:02x}" * 20


def make_run(at: int, name: str = "") -> str:
    return f"20260901T{at:06d}Z{name}"


def processes_of(
    at: int, *, seconds: float, processes: int = 3, facts: dict[str, Any] | None = None, **what: Any
) -> list[Result]:
    """One case at a commit: its processes differ by half a per cent, as real ones do."""
    time_s = START_S + at * DAY_S
    torch = "2.12.0" if at < 8 else "2.13.0"
    environment = make_environment(commit_of(at), time_s) | {
        "packages": {"numpy": "2.4.0", "numba": "0.68.1", "torch": torch},
        "id": f"torch-{torch}",
    }
    results = []
    for process in range(processes):
        level = seconds * (1 + random.Random(f"{at} {process} {what}").gauss(0, 0.005))
        result = make_result(
            environment | (facts or {}), seconds=level, started_at=time_s + 60, **what
        )
        results.append(replace(result, process=process, log_tail=f"process {process} is ready\n"))
    return results


def rich(result: Result) -> Result:
    """The result with everything that a worker can tell."""
    steps = {m.quantity: m for m in result.measurements}
    noise = tuple({"involuntary_switches": float(i == 2)} for i in range(len(steps["time"].values)))
    energy = Measurement("energy", "J", "device", "nvml", values=(40.0, 40.4, 39.9))
    return replace(
        result,
        verification=Verification(1e-7, 1e-5, "float64 NumPy, all rows", True),
        quality=Quality({"recall@20": 0.18}),
        spans={"prepare": 0.3},
        work=Work(items=4.0, item="interaction", flops={"float32": 8e9}, bytes={"memory": 4e9},
                  working_set_bytes=9e8),
        ceilings=(
            Ceiling("memory_rate", "DRAM", "B/s", (9e10, 9.1e10, 8.9e10), 2e9, "numba read"),
            Ceiling("flop_rate", "float32", "FLOP/s", (1e12, 1.01e12), None, "torch matmul"),
        ),
        measurements=(
            replace(steps["time"], noise=noise, flags=("steal",)),
            steps["peak_memory"],
            energy,
        ),
    )  # fmt: skip


def history() -> list[CaseRun]:
    """Forty days: a slower numba, a newer torch, a failing numpy, a GPU that skips numba."""
    stored: list[tuple[str, Result]] = []
    gpu = {"machine": "gpu-1", "device": {"model": "Example GPU"}}

    def keep(run: str, results: list[Result]) -> None:
        stored.extend((run, result) for result in results)

    for at in range(COMMITS):
        run = make_run(at)
        slower = 1.4 if at >= STEPPED else 1.0
        keep(run, processes_of(at, seconds=2.0, variant="torch", processes=1 if at == 5 else 3))
        keep(run, processes_of(at, seconds=1.5 * slower, variant="numba"))
        failing = at in (9, COMMITS - 1)
        numpy = processes_of(
            at, seconds=4.0, variant="numpy", outcome=Outcome.FAILED if failing else Outcome.OK
        )
        if failing:
            told = {"reason": "output is 3e-2 off", "traceback": "Traceback: ValueError: off\n"}
            numpy = [replace(numpy[0], **told)]  # type: ignore[arg-type]
        keep(run, numpy)
        on_gpu = make_run(at, "-gpu")
        fast = processes_of(at, seconds=0.2, variant="torch", backend="cuda", facts=gpu)
        keep(on_gpu, [rich(result) for result in fast])
        skipped = processes_of(
            at, seconds=1, processes=1, variant="numba", backend="cuda", facts=gpu,
            outcome=Outcome.SKIPPED,
        )  # fmt: skip
        keep(on_gpu, [replace(skipped[0], reason="numba needs a host; this is a device")])
    keep("dirty", processes_of(39, seconds=2.0, variant="torch", facts={"dirty": True}))
    return case_runs(stored)


def hostile_history() -> list[CaseRun]:
    facts = {
        "machine": HOSTILE, "kernel": HOSTILE, "device": {"model": HOSTILE},
        "packages": {HOSTILE: HOSTILE, "numpy": "2", "numba": None, "torch": None},
    }  # fmt: skip
    stored = []
    for at in range(12):
        params = {HOSTILE: HOSTILE, "size": at % 2}
        for variant, outcome in ((HOSTILE, Outcome.OK), ("../../x", Outcome.CRASHED)):
            [result] = processes_of(
                at, seconds=2.0, processes=1, workload=HOSTILE, variant=variant, params=params,
                facts=facts | {"id": f"e{at // 6}", "kernel": f"{HOSTILE}{at // 6}"},
                outcome=outcome,
            )  # fmt: skip
            told = {
                "log_tail": HOSTILE,
                "traceback": HOSTILE,
                "flags": (HOSTILE,),
                "phase": HOSTILE,
            }
            if outcome is Outcome.OK:
                result = replace(rich(result), work=Work(4.0, HOSTILE), spans={HOSTILE: 1.0})
            else:
                result = replace(result, reason=HOSTILE)
            stored.append((f"run {at} ../{HOSTILE}", replace(result, **told)))  # type: ignore[arg-type]
    return case_runs(stored)


def write_large_pages(html: Path, *, commits: int, series: int) -> None:
    """Write data as `write_pages` does for a long history, without measuring or detecting it.

    Only the series that are drawn at first have a file of their own: a page fetches no other.
    """
    data = html / "data"
    hashes = [
        hashlib.sha1(str(i).encode(), usedforsecurity=False).hexdigest() for i in range(commits)
    ]
    start, step = 1_700_000_000, 43_200
    newest = start + commits * step
    ids = [f"s{i:04d}" for i in range(series)]
    x = list(range(commits))

    def points(level: float, unit: str) -> dict[str, Any]:
        y = [round(level * (1 + 0.01 * ((i * 37) % 17 - 8) / 8), 9) for i in x]
        return {
            "unit": unit, "item": "step", "x": x, "y": y,
            "low": [value * 0.99 for value in y], "high": [value * 1.01 for value in y],
            "run": x, "env": [0] * commits, "processes": [5] * commits,
        }  # fmt: skip

    def row(i: int) -> dict[str, Any]:
        last = [0.002, 0.00199, 0.00201]
        measured = {"last": last, "status": "measured", "reason": "", "n": commits}
        return {
            "id": ids[i], "device": "0", "variant": f"v{i % 5}", "params": {"size": i // 5},
            "label": f"v{i % 5} size={i // 5}", "settings": "", "group": f"g{i // 5}",
            "baseline": i % 5 == 0, "changes": i % 3,
            "spark": [0.002 + 1e-6 * j for j in range(60)],
            "quantities": {q: {**measured, "unit": u} for q, u in _UNITS.items()},
            "last": {"outcome": "ok", "reason": "", "at": newest, "run": "r0", "case": "c"},
        }  # fmt: skip

    def change(i: int) -> dict[str, Any]:
        return {
            "kind": "step", "verdict": "regression", "workload": "big", "series": ids[i % series],
            "label": f"v{i % 5} size={i // 5}", "device": "0", "quantity": "time", "unit": "s",
            "item": "step", "ratio": [1.2, 1.1, 1.3], "now": [0.002, 0.0019, 0.0021],
            "before": hashes[0], "commit": hashes[i % commits], "subject": "a commit",
            "known_at": newest, "period": ("day", "week", "older")[i % 3], "note": "", "run": "r0",
            "case": "c", "count": 1,
        }  # fmt: skip

    device = {"id": "0", "machine": "m", "backend": "cpu", "index": 0, "model": "M", "last": newest}
    big = {"name": "big", "slug": "big", "version": "1", "item": "step"}
    groups = [{"id": f"g{i}", "label": f"size={i}", "device": "0"} for i in range(series // 5)]
    cell: dict[str, Any] = {
        "time": [0.002, 0.0019, 0.0021], "energy": None, "energy_status": "unavailable",
        "energy_reason": "no meter", "outcome": "ok", "reason": "", "run": "r0", "case": "c",
        "commit": hashes[0], "speedup": {}, "roof": None, "dirty": False, "time_status": "measured",
    }  # fmt: skip
    rows = [
        {"variant": variant, "best": not variant, "cells": {"0": {**cell, "variant": variant}}}
        for variant in ("", "v0", "v1", "v2", "v3", "v4")
    ]
    files = {
        "site": {"project": "large", "as_of": newest, "schema": 1, "asv": False,
                 "workloads": [{**big, "series": series}], "devices": [device]},
        "overview": {"as_of": newest, "day": newest - 86_400, "week": newest - 604_800,
                     "changes": [change(i) for i in range(500)], "missing": [], "unavailable": [],
                     "devices": [], "left_out": [], "problems": [], "more": {},
                     "counts": {"results": commits * series, "commits": commits}},
        "devices": {"devices": [{**device, "ceilings": [], "energy": "no meter"}],
                    "groups": [{"id": one["id"], "workload": "big", "label": one["label"],
                                "item": "step", "rows": rows} for one in groups]},
        "runs": {"runs": [{"id": f"r{i}", "file": f"r{i}", "at": newest, "machine": "m",
                           "commit": hashes[i], "dirty": False, "cases": series, "ok": series,
                           "failed": 0, "skipped": 0} for i in range(commits)]},
        "workload/big": {**big, "params": ["size"], "groups": groups, "default": "g0",
                         "commits": [[hashes[i], start + i * step, "a commit"] for i in x],
                         "series": [row(i) for i in range(series)]},
    }  # fmt: skip
    for i in range(5):
        files[f"workload/big/{ids[i]}"] = {
            "id": ids[i], "case": "c", "runs": [[f"r{i}", start] for i in x],
            "envs": [["e", ""]], "events": [], "findings": [],
            "quantities": {q: points(0.002 * (i + 1), u) for q, u in _UNITS.items()},
        }  # fmt: skip
    for name, value in files.items():
        path = data / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")


_UNITS = {"time": "s", "peak_memory": "B", "energy": "J"}
