"""Makes a small project with a history, and really measures its workload at each commit.

    python benchmarks/toy_history.py --out DIR [--commits 60]

DIR/project is a git repository with one commit a day, DIR/results what `assay run` stored at each
of them, in worker processes as always. What happens on the way is in the project's sources: a table
costs memory for a while, a variant is wrong for two commits, a slowdown comes in, and at last
another variant is wrong. Two things are made up: the dates (each night's results are moved to the
day of its commit), and the machines' names, of which the second measures every fifth commit. The
toy's time is its thread's processor time: what else runs on the machine shall not hide what is
shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import store
from harness.store import RunHeader
from harness.validity import read_record

_FIRST_DAY_S = 1_788_220_800  # 1 September 2026
_DAY_S = 86_400
_NIGHT_S = 3 * 3_600  # how long after its commit a night's run begins
_ASSAY = str(Path(sys.executable).with_name("assay"))

_ENTRY_POINTS = (
    "[assay.backends]\ntoy = toy:BACKEND\n[assay.workloads]\npolynomial = toy:WORKLOAD\n"
)

_PACKAGE = '''"""A workload that evaluates a polynomial, on a backend that is this machine."""

import random
import time
from dataclasses import dataclass

from harness import AssayError, Parameter, Variant, Work, verified
from harness.meters.host_memory import HostMemory


@dataclass(frozen=True)
class ProcessorTime:
    quantity: str = "time"
    unit: str = "s"
    scope: str = "thread"
    name: str = "thread_time"
    min_window_s: float = 0.001

    def unavailable(self):
        return None

    def start(self):
        return time.thread_time_ns()

    def stop(self, token):
        return (time.thread_time_ns() - token) / 1e9


@dataclass(frozen=True)
class Device:
    name: str = "toy"
    index: int = 0

    def torch_device(self):
        raise AssayError("toy runs no torch; choose another backend for this variant")

    def synchronize(self):
        pass

    def end_step(self):
        pass

    def meters(self):
        return (ProcessorTime(), HostMemory())

    def environment(self):
        return {}


class Backend:
    name = "toy"

    def unavailable(self):
        return None

    def features(self):
        return frozenset({"host", "fp64"})

    def open(self, index):
        return Device()


class Polynomial:
    name, version = "polynomial", "1"
    parameters = {"points": Parameter(2_000, "how many points it is evaluated at")}
    variants = (
        Variant("powers", run="toy.variants:powers", baseline=True),
        Variant("horner", run="toy.variants:horner"),
        Variant("sparse", run="toy.variants:sparse", requires=frozenset({"avx1024"})),
    )

    def cases(self, size):
        yield {"points": 2_000 if size == "ci" else 20_000}

    def estimate_s(self, variant, params):
        return 1.85  # far more than it takes: what the budget leaves is for the samples

    def prepare(self, device, variant, params, seed):
        from toy import variants

        draw = random.Random(seed).uniform
        return {
            "coefficients": [draw(-1, 1) for _ in range(12)],
            "points": [draw(-1, 1) for _ in range(params["points"])],
            "evaluate": getattr(variants, variant.name),
            "kept": variants.kept(variant.name, params["points"]),
        }

    def step(self, state):
        state["values"] = state["evaluate"](state["coefficients"], state["points"])

    def verify(self, state):
        self.step(state)
        exact = [
            sum(c * x**power for power, c in enumerate(state["coefficients"]))
            for x in state["points"]
        ]
        worst = max(abs(a - b) for a, b in zip(exact, state["values"], strict=True))
        return verified(worst, 1e-9, "sum of powers, all points")

    def work(self, state):
        return Work(items=len(state["points"]), item="point")


BACKEND, WORKLOAD = Backend(), Polynomial()
'''

_VARIANTS = '''"""The ways of evaluating, as they were at this commit."""

from decimal import Decimal


def powers(coefficients, points):
    return [sum(c * x**power for power, c in {terms}) for x in points]


def horner(coefficients, points):
    values = []
    for x in points:
        value = {start}
        for c in coefficients[::-1]:
            value = value * x + c
        values.append(value)
    return {answer}


def kept(variant, points):
    """Return what a variant holds between steps."""
    return {kept}
'''


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from a commit on, as a share of the history."""

    at: float
    subject: str
    texts: dict[str, str]


CHANGES = (
    Change(0.0, "Evaluate by powers and by Horner's rule", {
        "terms": "enumerate(coefficients)", "start": "0.0", "answer": "values", "kept": "[]",
    }),
    Change(0.4, "Keep a table for later", {
        "kept": "list(range(400 * points)) if variant == 'horner' else []",
    }),
    Change(0.6, "Start from the leading coefficient", {"start": "coefficients[-1]"}),
    Change(0.6334, "Start from zero again: the last term was counted twice", {"start": "0.0"}),
    Change(0.7, "Drop the table, which nobody reads", {"kept": "[]"}),
    Change(0.85, "Answer with what will be printed", {
        "answer": "[float(str(Decimal(repr(value)))) for value in values]",
    }),
    Change(0.967, "Leave out the constant term", {"terms": "enumerate(coefficients[1:], 1)"}),
)  # fmt: skip
"""Horner becomes larger, wrong for two commits, as it was, and slower; powers wrong at last."""


def make(out: Path, commits: int = 60) -> tuple[Path, Path]:
    """Make the project and measure it; returns the repository and the results folder.

    Raises:
        subprocess.CalledProcessError: git or a run failed for another reason than a failed case.
    """
    project, results = out / "project", out / "results"
    (project / "toy").mkdir(parents=True)
    results.mkdir()
    info = out / "plugins" / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    _git(project, 0, "init", "--quiet", "--initial-branch", "main")
    (project / "toy" / "__init__.py").write_text(_PACKAGE)
    texts: dict[str, str] = {}
    pending = list(CHANGES)
    for number in range(commits):
        subject = f"Change nothing that matters, {number}"
        while pending and number >= round(pending[0].at * commits):
            change = pending.pop(0)
            texts |= change.texts
            subject = change.subject
        _commit(project, number, texts, subject)
        _measure(out, number, "toy-a")
        if number % 5 == 4:
            _measure(out, number, "toy-b")
    return project, results


def _commit(project: Path, number: int, texts: dict[str, str], subject: str) -> None:
    variants = _VARIANTS
    for name, text in texts.items():
        variants = variants.replace(f"{{{name}}}", text)
    (project / "toy" / "variants.py").write_text(variants)
    (project / "number.txt").write_text(f"{number}\n")
    _git(project, number, "add", "--all")
    _git(project, number, "commit", "--quiet", "-m", subject)


def _measure(out: Path, number: int, machine: str) -> None:
    project = out / "project"
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(map(str, (out / "plugins", project)))
        environ = os.environ | {"PYTHONPATH": path, "ASSAY_MACHINE": machine}
        command = ["run", "-w", "polynomial", "-b", "toy", "--processes", "3", "--budget", "12s"]
        done = subprocess.run(
            [_ASSAY, *command, "--results", folder],
            cwd=project,
            env=environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        # 1 says that a case failed, which is part of this history.
        if done.returncode not in (0, 1):
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        _move_to_its_day(Path(folder), out / "results", number, machine)


def _move_to_its_day(source: Path, target: Path, number: int, machine: str) -> None:
    """Store a run again as if it had been measured in the night after its commit."""
    [run] = {stored.run for stored in store.read(source).results}
    header = read_record(source / run / "run.json", RunHeader, "run")
    night_s = _FIRST_DAY_S + number * _DAY_S + _NIGHT_S
    folder = target / f"night-{number:03}-{machine}"
    folder.mkdir()
    moved = replace(header, id=folder.name, started_at=night_s)
    store.write_record(folder / "run.json", "run", moved)
    for stored in store.read(source).results:
        began_s = night_s + stored.result.started_at - header.started_at
        store.write_record(
            folder / stored.path.name, "result", replace(stored.result, started_at=began_s)
        )
    store.write_record(folder / "finished", "finished_at", night_s + 60.0)


def _git(project: Path, number: int, *arguments: str) -> None:
    date = f"{_FIRST_DAY_S + number * _DAY_S} +0000"
    who = {
        f"GIT_{role}_{fact}": value
        for role in ("AUTHOR", "COMMITTER")
        for fact, value in (("NAME", "Toy"), ("EMAIL", "toy@example.org"), ("DATE", date))
    }
    config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(
        ["git", "-C", str(project), *arguments],
        env=os.environ | who | config,
        capture_output=True,
        check=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--commits", type=int, default=60)
    given = parser.parse_args(arguments)
    project, results = make(given.out, given.commits)
    print(f"assay publish --repo {project} --results {results}")


if __name__ == "__main__":
    main()
