"""Makes up a long history to publish: a git repository and a results folder of realistic files.

    python benchmarks/dashboard_history.py --out DIR [--commits 1000] [--series 500]

DIR/project is a git repository with a commit a day, DIR/results what nightly runs of one machine
would have stored: each case of three workloads, measured by three processes, with time, peak memory
and energy of 20 samples each, what disturbed every sample, and an environment of 3 KB. A series is
a case and a quantity. Levels step where the code changed, torch is updated three times, and now
and then a case fails. Nothing is measured; the same arguments give the same files.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

# Python puts the script's own folder on the path, not the repository that it belongs to.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.records import Case, Scalar
from harness.store import SCHEMA

QUANTITIES = (("time", "s", "perf_counter"), ("peak_memory", "B", "vmhwm"), ("energy", "J", "rapl"))
PROCESSES = 3
SAMPLES = 20
_FIRST_DAY_S = 1_700_000_000
_DAY_S = 86_400
_NIGHT_S = 3 * 3_600  # how long after its commit a night's run begins
_CASE_S = 12.0  # that one process takes
_FAILURES = 0.001  # of all cases of runs
_TORCH = ("2.9.0+cpu", "2.10.0+cpu", "2.11.0+cpu", "2.12.0+cpu")
_NOISES = 64  # unlike lists of disturbances, of which each measurement has one
_ITEMS = 1024.0


@dataclass(frozen=True, slots=True)
class History:
    """Where the parts of a history are, and how large it is."""

    project: Path
    results: Path
    commits: int
    cases: int


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--commits", default=1000, show_default=True)
@click.option("--series", default=500, show_default=True, help="Cases times three quantities.")
@click.option("--seed", default=1, show_default=True)
def main(out: Path, commits: int, series: int, seed: int) -> None:
    """Make up a history of so many commits and series."""
    made = make_history(out, commits=commits, series=series, seed=seed)
    size = sum(path.stat().st_size for path in made.results.rglob("*.json"))
    click.echo(f"{made.commits} commits x {3 * made.cases} series, {size / 1e9:.2f} GB in {out}")


def make_history(out: Path, *, commits: int, series: int, seed: int = 1) -> History:
    """Write a history below `out` and return where it is.

    Args:
        out: a folder that does not exist.
        commits: how many, one a day, each with a run.
        series: a case has three, so rounded up to a multiple of three.
        seed: of the numbers.
    """
    out.mkdir(parents=True)
    project, results = out / "project", out / "results"
    hashes = _make_repository(project, commits)
    cases = list(_cases(-(-series // len(QUANTITIES))))
    generator = np.random.default_rng(seed)
    levels = _levels(generator, commits, len(cases))
    noises = [msgspec.Raw(_noise(generator)) for _ in range(_NOISES)]
    encoded = [(case.key, msgspec.Raw(msgspec.json.encode(case))) for case in cases]
    results.mkdir()
    for number, commit in enumerate(hashes):
        time_s = _FIRST_DAY_S + number * _DAY_S
        torch = _TORCH[number * len(_TORCH) // commits]
        environment = _environment(commit, time_s, torch)
        folder = results / _run_id(number)
        folder.mkdir()
        _write(
            folder / "run.json",
            "run",
            {
                "id": folder.name,
                "started_at": float(time_s + _NIGHT_S),
                "fingerprint": commit,
                "cases": [case for _, case in encoded],
                "environment": environment,
            },
        )
        raw = msgspec.Raw(msgspec.json.encode(environment))
        scatter = generator.lognormal(0.0, 0.01, (len(cases), PROCESSES, len(QUANTITIES), SAMPLES))
        # Processes differ more than the samples of one do.
        scatter *= generator.lognormal(0.0, 0.006, (len(cases), PROCESSES, len(QUANTITIES), 1))
        values = levels[number][:, None, :, None] * scatter
        failed = generator.random(len(cases)) < _FAILURES
        for place, (key, case) in enumerate(encoded):
            started_s = time_s + _NIGHT_S + _CASE_S * place
            for process in range(1 if failed[place] else PROCESSES):
                result = {
                    "case": case,
                    "environment": raw,
                    "process": process,
                    "started_at": started_s + 2.0 * process,
                    "duration_s": 2.0,
                    **(_FAILED if failed[place] else _ended_well(values[place, process], noises)),
                }
                _write(folder / f"{key}-{process}.json", "result", result)
        _write(folder / "finished", "finished_at", float(time_s + 2 * _NIGHT_S))
    return History(project, results, commits, len(cases))


def _make_repository(folder: Path, commits: int) -> list[str]:
    folder.mkdir()
    _git(folder, "init", "--quiet", "--initial-branch", "main")
    stream = []
    for number in range(commits):
        subject, content = f"change {number}", f"{number}\n"
        stream.append(
            f"commit refs/heads/main\n"
            f"committer A <a@example.org> {_FIRST_DAY_S + number * _DAY_S} +0000\n"
            f"data {len(subject)}\n{subject}\n"
            f"M 644 inline number.txt\ndata {len(content)}\n{content}\n"
        )
    _git(folder, "fast-import", "--quiet", given="".join(stream))
    _git(folder, "reset", "--quiet", "--hard", "main")
    return _git(folder, "rev-list", "--reverse", "main").split()


def _git(folder: Path, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _cases(count: int) -> Iterator[Case]:
    """Yield the cases of three workloads, each in two variants at one size after the other."""
    for number in range(count):
        workload, rest = ("heat", "msrep", "transformer")[number % 3], number // 3
        variant, size = ("torch", "numba")[rest % 2], rest // 2
        params: dict[str, Scalar] = {"size": 1024 * (1 + size), "dim": 64, "dtype": "float32"}
        yield Case(workload, "1", variant, "cpu", params)


def _levels(generator: np.random.Generator, commits: int, cases: int) -> NDArray[np.float64]:
    """Return the level of each quantity of each case at each commit; [commits, cases, 3]."""
    levels = np.empty((commits, cases, len(QUANTITIES)))
    levels[:] = generator.lognormal((-6.0, 17.0, -3.0), 1.0, (cases, len(QUANTITIES)))
    for case in range(cases):
        for _ in range(generator.poisson(commits / 400)):
            at = int(generator.integers(commits))
            factor = generator.lognormal(0.0, 0.08)
            levels[at:, case, [0, 2]] *= factor  # what takes longer takes more energy
        if generator.random() < 0.1:
            levels[int(generator.integers(commits)) :, case, 1] *= 1.25
    for update in range(1, len(_TORCH)):
        moved = generator.random(cases) < 0.3
        levels[update * commits // len(_TORCH) :, moved, 0] *= generator.lognormal(0.0, 0.03)
    # Nights differ too, and neighbouring ones less than others.
    night = np.cumsum(generator.normal(0.0, 0.001, commits))
    return np.asarray(levels * np.exp(night - night.mean())[:, None, None], np.float64)


_FAILED: dict[str, Any] = {
    "outcome": "crashed",
    "reason": "the worker died of SIGSEGV in time; run it alone with a debugger",
    "phase": "time",
    "log_tail": "preparing\n" * 20,
}


def _ended_well(values: NDArray[np.float64], noises: list[msgspec.Raw]) -> dict[str, Any]:
    picked = int(values[0, 0] * 1e9) % _NOISES
    return {
        "outcome": "ok",
        "phase": "done",
        "verification": {
            "error": 1e-7,
            "tolerance": 1e-5,
            "reference": "float64 NumPy, all rows",
            "passed": True,
        },
        "work": {
            "items": _ITEMS,
            "item": "product",
            "flops": {"float32": 6e6},
            "bytes": {"memory": 6268736.0},
            "working_set_bytes": 6268736.0,
        },
        "spans": dict.fromkeys(("import", "canary", "prepare", "verify", "time", "energy"), 0.1),
        "inputs": {"rows": 32768, "columns": 32768, "nnz": 467781, "generator": "rmat"},
        "ceilings": _CEILINGS,
        "measurements": [
            {
                "quantity": quantity,
                "unit": unit,
                "scope": "process",
                "meter": meter,
                "values": values[place].tolist(),
                "steps_per_sample": 3,
                "noise": noises[(picked + place) % _NOISES],
            }
            for place, (quantity, unit, meter) in enumerate(QUANTITIES)
        ],
    }


_CEILINGS = [
    {"quantity": "memory_rate", "level": "L3", "unit": "B/s", "values": [1.9e11] * 7,
     "size_bytes": 4194304.0, "method": "numba read"},
    {"quantity": "flop_rate", "level": "float32", "unit": "FLOP/s", "values": [1.1e13] * 7,
     "method": "numba multiply-add"},
]  # fmt: skip


def _noise(generator: np.random.Generator) -> bytes:
    samples = [
        {
            "steal_s": 0.0,
            "involuntary_switches": float(generator.random() < 0.05),
            "cpu_stall_s": round(float(generator.random() < 0.1) * 0.002, 6),
            "memory_stall_s": 0.0,
            "io_stall_s": 0.0,
            "load1": round(float(generator.uniform(0.5, 2.0)), 2),
        }
        for _ in range(SAMPLES)
    ]
    return msgspec.json.encode(samples)


def _environment(commit: str, time_s: int, torch: str) -> dict[str, Any]:
    """Return facts of the size of a real machine's, with an id that changes with torch."""
    features = [f"feature_{number:03}" for number in range(110)]
    return {
        "machine": "bench-1",
        "cpu": {
            "model": "Example CPU @ 2.0GHz",
            "architecture": "x86_64",
            "features": features,
            "logical_cpus": 16,
            "physical_cores": 8,
            "governor": "performance",
            "caches": {"L1d": 32768, "L2": 1048576, "L3": 33554432},
        },
        "memory_bytes": 68_000_000_000,
        "kernel": "6.1.0",
        "python": "3.11.9",
        "packages": {"numpy": "2.4.0", "numba": "0.68.1", "scipy": "1.17.1", "torch": torch},
        "commit": commit,
        "commit_time": time_s,
        "dirty": False,
        "dirty_files": [],
        "source_digest": commit + commit[:24],
        "settings": {},
        "id": f"{_TORCH.index(torch):012x}",
        "runtime": {"threads": 16, "affinity": list(range(16)), "variables": {}},
        "device": {"model": "Example CPU @ 2.0GHz", "numba": {"features": features[:70]}},
    }


def _run_id(number: int) -> str:
    return f"20{number // 365:02}{number % 365:04}T030000Z-{number:08x}"


def _write(path: Path, kind: str, record: Any) -> None:
    with path.open("wb") as file:
        file.write(msgspec.json.encode({"schema": SCHEMA, kind: record}))


if __name__ == "__main__":
    main()
