"""Two commits of a small project, built, alternated in real workers, and judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.ab import NO_ROUND, Rule, compared
from harness.plan import PlannedCase, Selection, plan
from harness.records import Measurement, Outcome, Result, Work
from harness.registry import Registry

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "waiting"
version = "1.0"
[project.entry-points."assay.workloads"]
waiting = "waiting:WORKLOAD"
[tool.setuptools]
py-modules = ["waiting"]
"""

WORKLOAD = """
import time
from harness import Variant, verified

class Waiting:
    name, version = "waiting", "{version}"
    parameters = {{}}
    variants = (Variant("sleep", run="waiting:Waiting", baseline=True),)

    def cases(self, size):
        yield {{}}

    def prepare(self, device, variant, params, seed):
        {prepare}

    def step(self, state):
        time.sleep({seconds})

    def verify(self, state):
        return verified(0.0, 1.0, "nothing to compare")

WORKLOAD = Waiting()
"""

Ab = Callable[..., "subprocess.CompletedProcess[str]"]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(checkout: Path, seconds: float, version: str = "1", prepare: str = "return None") -> str:
    source = WORKLOAD.format(seconds=seconds, version=version, prepare=prepare)
    (checkout / "waiting.py").write_text(source)
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", f"sleep {seconds} s")
    return git(checkout, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags: `quick` and `slow` (twice as slow), `other` (another version), `broken`."""
    folder = tmp_path_factory.mktemp("waiting") / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", ".")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / ".gitignore").write_text("results\n__pycache__\n")
    for name, change in {
        "other": {"seconds": 0.004, "version": "2"},
        "broken": {"seconds": 0.004, "prepare": "raise ValueError('no such thing')"},
        "slow": {"seconds": 0.008},
        "quick": {"seconds": 0.004},
    }.items():
        commit(folder, **change)  # type: ignore[arg-type]
        git(folder, "tag", name)
    return folder


@pytest.fixture
def ab(checkout: Path, assay_program: str, tmp_path: Path) -> Ab:
    """Run `assay ab` in the checkout with the running environment's own dependencies."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(assay_program, "ab", *arguments, "-w", "waiting", "--environment", sys.prefix),
                *("--results", str(tmp_path / "results")),
            ],
            capture_output=True,
            text=True,
            cwd=checkout,
            env={
                **os.environ,
                "PYTHONPATH": str(registered(checkout)),
                "ASSAY_CACHE": str(checkout.parent / "cache"),
            },
            timeout=240,
        )

    return run


def registered(checkout: Path) -> Path:
    """The checkout's project as the calling environment has it installed."""
    folder = checkout.parent / "installed"
    info = folder / "waiting-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assay.workloads]\nwaiting = waiting:WORKLOAD\n")
    (folder / "waiting.py").write_text((checkout / "waiting.py").read_text())
    return folder


def test_a_commit_that_doubles_the_time_is_a_regression_and_exits_with_1(ab: Ab) -> None:
    done = ab("quick", "slow", "--json")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    [case] = said["cases"]
    assert case["verdict"] == "regression"
    assert case["ratio"]["ci_low"] > 1.5
    assert said["base"]["commit"] != said["candidate"]["commit"]
    assert said["base"]["environment"]["commit"] == said["base"]["commit"]
    assert said["candidate"]["environment"]["dirty"] is False


def test_equal_commits_are_measured_and_not_called_different(ab: Ab, tmp_path: Path) -> None:
    done = ab("HEAD", "HEAD", "--markdown")
    assert done.returncode == 0, done.stderr
    assert "### waiting" in done.stdout
    assert "regression" not in done.stdout
    stored = list((tmp_path / "results" / "ab").glob("*/*-*.json"))
    # Nine rounds are the fewest that can decide, of a process a side each.
    assert len(stored) >= 18


def test_numbers_of_different_versions_of_a_workload_are_not_compared(ab: Ab) -> None:
    done = ab("other", "quick")
    assert done.returncode == 1
    assert "waiting is at version 2 in commit" in done.stdout


def test_a_side_that_fails_says_so_and_exits_with_1(ab: Ab) -> None:
    done = ab("quick", "broken")
    assert done.returncode == 1
    assert "candidate: ValueError: no such thing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere"),
        (("quick", "slow", "--rounds", "3"), "3 rounds can never show a difference"),
        (("quick", "--environment", "a", "--environment", "b"), "given once for both sides"),
        (("quick", "--threshold", "much"), "'much'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    ab: Ab, arguments: tuple[str, ...], message: str
) -> None:
    done = ab(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("assay: ")


@pytest.fixture
def planned(fakes: Registry) -> PlannedCase:
    return plan(fakes, Selection(variants=("exact",), size="small")).cases[0]


def rounds(planned: PlannedCase, *seconds: float, **changes: Any) -> list[Result]:
    return [
        replace(
            Result(
                planned.case,
                Outcome.OK,
                process=number,
                work=Work(items=2.0, item="item"),
                measurements=(Measurement("time", "s", "process", "clock", values=(value,)),),
            ),
            **changes,
        )
        for number, value in enumerate(seconds)
    ]


def test_no_verdict_falls_before_the_first_look(planned: PlannedCase) -> None:
    said = compared(planned, rounds(planned, *[1.0] * 8), rounds(planned, *[2.0] * 8), Rule())
    assert said.judgement is None
    assert not said.final


def test_a_clear_difference_is_final_at_the_first_look(planned: PlannedCase) -> None:
    base = rounds(planned, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99)
    candidate = rounds(planned, 1.2, 1.21, 1.19, 1.2, 1.22, 1.18, 1.2, 1.21, 1.19)
    said = compared(planned, base, candidate, Rule())
    assert said.judgement is not None
    assert str(said.judgement.verdict) == "regression"
    assert said.final
    assert said.base[0] == (0.5,)


def test_a_round_without_its_second_half_does_not_count(planned: PlannedCase) -> None:
    said = compared(planned, rounds(planned, *[1.0] * 9), rounds(planned, *[2.0] * 8), Rule())
    assert len(said.base) == len(said.candidate) == 8


def test_a_budget_without_a_round_says_so(planned: PlannedCase) -> None:
    said = compared(planned, [], [], Rule(), ended=True)
    assert (said.outcome, said.reason) == (Outcome.SKIPPED, NO_ROUND)


def test_too_few_rounds_at_the_end_are_undecided_and_say_how_many_more(
    planned: PlannedCase,
) -> None:
    base, candidate = rounds(planned, *[1.0, 1.1] * 3), rounds(planned, *[1.1, 1.0] * 3)
    said = compared(planned, base, candidate, Rule(), ended=True)
    assert said.judgement is not None
    assert str(said.judgement.verdict) == "undecided"
    assert said.judgement.more_rounds_needed is not None
    assert said.judgement.more_rounds_needed > 0


def test_different_inputs_or_an_impossible_result_are_not_judged(planned: PlannedCase) -> None:
    base = rounds(planned, *[1.0] * 9)
    other = compared(planned, base, rounds(planned, *[2.0] * 9, inputs={"rows": 1}), Rule())
    assert other.judgement is None
    assert other.reason.startswith("the sides measured different inputs")
    beyond = compared(planned, base, rounds(planned, *[2.0] * 9, flags=("impossible",)), Rule())
    assert beyond.judgement is None
    assert beyond.final
