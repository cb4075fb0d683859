"""Files that pytest-benchmark and pyperf really write, in a real git repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_TESTS = """
import pytest

class Opaque:
    pass

@pytest.mark.parametrize("rows", [10, 1000])
@pytest.mark.parametrize("kind", ["list", None])
def test_total(benchmark, kind, rows):
    benchmark.extra_info["rows"] = rows
    benchmark(sum, range(rows))

@pytest.mark.parametrize("thing", [Opaque(), [1, 2]])
def test_opaque(benchmark, thing):
    benchmark(str, thing)

@pytest.mark.benchmark(group="sorting")
class TestSorting:
    def test_sorted(self, benchmark):
        benchmark(sorted, [3, 1, 2])

    def test_pedantic(self, benchmark):
        benchmark.pedantic(sorted, args=([3, 1, 2],), rounds=5, iterations=4)
"""

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suite:
    """A measured repository: its folder, its commit, and what the tool saved of it.

    Attributes:
        whole: the file of `--benchmark-json`, with every round.
        summary: the file of `--benchmark-autosave`, without the rounds.
    """

    folder: Path
    commit: str
    whole: Path
    summary: Path

    def changed(self, place: Path, **facts: Any) -> Path:
        """Write the whole file anew with other facts at its top level."""
        value = json.loads(self.whole.read_text())
        place.write_text(json.dumps({**value, **facts}))
        return place


def git(folder: Path, *arguments: str, time_s: int = 1_700_000_000) -> str:
    dates = {"GIT_AUTHOR_DATE": f"{time_s} +0000", "GIT_COMMITTER_DATE": f"{time_s} +0000"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, **_IDENTITY, **dates},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = tmp_path_factory.mktemp("suite") / "parsers"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_speed.py").write_text(_TESTS)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    save = ("--benchmark-autosave", "--benchmark-json", "whole.json", "--benchmark-max-time=0.005")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *save, "tests"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    [summary] = (folder / ".benchmarks").rglob("*.json")
    return Suite(folder, git(folder, "rev-parse", "HEAD"), folder / "whole.json", summary)


@pytest.fixture(scope="session")
def pyperf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three processes of two values each, after a warm-up and a process that calibrates."""
    path = tmp_path_factory.mktemp("pyperf") / "sum.json"
    sizes = ("--processes=3", "--values=2", "--warmups=1", "--min-time=0.001", "--duplicate=2")
    what = ("--name=sum", "--setup=x = list(range(100))", f"--output={path}", "sum(x)")
    subprocess.run(
        [sys.executable, "-m", "pyperf", "timeit", *sizes, *what], check=True, capture_output=True
    )
    return path
