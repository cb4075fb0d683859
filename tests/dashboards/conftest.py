"""A small git history, and results that were measured in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.records import Case, Measurement, Outcome, Result, Scalar, Status, Work

_DAY_S = 86_400
_FIRST_COMMIT_S = 1_700_000_000


@dataclass(frozen=True, slots=True)
class History:
    folder: Path
    commits: tuple[str, ...]
    times: tuple[int, ...]

    def git(self, *arguments: str) -> str:
        return run_git(self.folder, *arguments)


def run_git(folder: Path, *arguments: str, time_s: int = _FIRST_COMMIT_S) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_AUTHOR_DATE": f"{time_s} +0000", "GIT_COMMITTER_DATE": f"{time_s} +0000",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=os.environ | identity,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def make_history(folder: Path, commits: int, branch: str = "trunk") -> History:
    folder.mkdir(parents=True)
    run_git(folder, "init", "--quiet", "--initial-branch", branch)
    hashes, times = [], []
    for number in range(commits):
        time_s = _FIRST_COMMIT_S + number * _DAY_S
        (folder / "number.txt").write_text(f"{number}\n")
        run_git(folder, "add", "number.txt")
        run_git(folder, "commit", "--quiet", "-m", f"commit {number}", time_s=time_s)
        hashes.append(run_git(folder, "rev-parse", "HEAD"))
        times.append(time_s)
    return History(folder, tuple(hashes), tuple(times))


def make_environment(commit: str, commit_time: int) -> dict[str, Any]:
    return {
        "machine": "bench-1",
        "cpu": {"model": "Example CPU @ 2.0GHz", "architecture": "x86_64", "logical_cpus": 2},
        "memory_bytes": 8_300_000_000,
        "kernel": "Linux 6.1.0",
        "python": "3.11.9",
        "packages": {"numpy": "2.4.0", "numba": "0.68.1", "torch": None},
        "commit": commit,
        "commit_time": commit_time,
        "dirty": False,
        "id": "0123456789ab",
    }


def make_result(
    environment: dict[str, Any],
    *,
    workload: str = "heat",
    variant: str = "torch",
    backend: str = "cpu",
    params: dict[str, Scalar] | None = None,
    version: str = "1",
    seconds: float = 2.0,
    items: float = 4.0,
    started_at: float = 1_700_000_100.0,
    outcome: Outcome = Outcome.OK,
    samples: int = 10,
) -> Result:
    """Return a result whose samples lie within 0.45 % of `seconds`."""
    case = Case(workload, version, variant, backend, {"size": 10} if params is None else params)
    result = Result(case, outcome, started_at=started_at, duration_s=3.0, environment=environment)
    if outcome is not Outcome.OK:
        return replace(result, reason="it did not end well")
    times = tuple(seconds * (1 + 0.001 * (i - (samples - 1) / 2)) for i in range(samples))
    return replace(
        result,
        work=Work(items=items, item="interaction"),
        measurements=(
            Measurement("time", "s", "process", "perf_counter", values=times, steps_per_sample=3),
            Measurement("peak_memory", "B", "process", "vmhwm", values=(1e6, 1.1e6, 1.2e6)),
            Measurement(
                "energy", "J", "package", "rapl", status=Status.UNAVAILABLE,
                reason="no powercap here; run on bare metal",
            ),
        ),
    )  # fmt: skip


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Three commits on a branch called `trunk`, for reading only."""
    return make_history(tmp_path_factory.mktemp("history") / "repo", 3)


@pytest.fixture
def history_of(tmp_path: Path) -> Callable[[int], History]:
    """Return what makes a history of so many commits."""
    return lambda commits: make_history(tmp_path / f"repo-{commits}", commits)


@pytest.fixture
def measured() -> Callable[..., Result]:
    """Return what makes a result at commit number `at` of a history."""

    def make(
        history: History, at: int = 0, facts: dict[str, Any] | None = None, **what: Any
    ) -> Result:
        environment = make_environment(history.commits[at], history.times[at]) | (facts or {})
        what.setdefault("started_at", history.times[at] + 100.0)
        return make_result(environment, **what)

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[Sequence[Result | Sequence[Result]]], Path]:
    """Return what writes finished runs of a result, or of a case's processes; gives the folder."""

    def write(results: Sequence[Result | Sequence[Result]]) -> Path:
        root = tmp_path / "results"
        for number, given in enumerate(results):
            processes = [given] if isinstance(given, Result) else given
            with store.open_run(
                root,
                [processes[0].case],
                fingerprint=f"{number}",
                settings={},
                environment=processes[0].environment,
            ) as run:
                for result in processes:
                    run.append(result)
                run.finish()
        return root

    return write
