"""Two commits of a small project, built, alternated in real workers, and judged."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.ab import NO_ROUND, Compared, Rule, compared, run_ab
from harness.plan import PlannedCase, Selection, plan
from harness.records import Measurement, Outcome, Result, Status, Work
from harness.registry import Registry
from harness.session import Settings
from harness.sides import Side
from harness.verdict_rows import headline

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "waiting"
version = "1.0"
[project.entry-points."assay.workloads"]
waiting = "waiting:WORKLOAD"
[project.entry-points."assay.backends"]
virtual = "waiting:BACKEND"
[tool.setuptools]
py-modules = ["waiting"]
"""

WORKLOAD = """
import os
from harness import Variant, verified
from harness.testing import FakeBackend

BACKEND = FakeBackend(name="virtual")

class Waiting:
    name, version = "waiting", "{version}"
    parameters = {{}}
    variants = (Variant("wait", run="waiting:Waiting", baseline=True),)

    def cases(self, size):
        yield {{}}

    def prepare(self, device, variant, params, seed):
        {prepare}
        return device.clock

    def step(self, state):
        state.advance({seconds})

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


def commit(checkout: Path, seconds: float, version: str = "1", prepare: str = "") -> str:
    source = WORKLOAD.format(seconds=seconds, version=version, prepare=prepare)
    (checkout / "waiting.py").write_text(source)
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", f"{seconds} s a step")
    return git(checkout, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags: `quick`, `slow` (twice as slow), `other` (another version), `broken` but for once."""
    folder = tmp_path_factory.mktemp("waiting") / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", ".")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / ".gitignore").write_text("results\n__pycache__\n")
    for name, change in {
        "other": {"seconds": 0.004, "version": "2"},
        "broken": {"seconds": 0.004, "prepare": "open(os.environ['ASSAY_CACHE'] + '/x', 'x')"},
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
                *(assay_program, "ab", *arguments, "-w", "waiting", "-b", "virtual"),
                *("--environment", sys.prefix),
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
    (info / "entry_points.txt").write_text(
        "[assay.workloads]\nwaiting = waiting:WORKLOAD\n"
        "[assay.backends]\nvirtual = waiting:BACKEND\n"
    )
    (folder / "waiting.py").write_text((checkout / "waiting.py").read_text())
    return folder


def test_a_commit_that_doubles_the_time_is_a_regression_and_exits_with_1(ab: Ab) -> None:
    done = ab("quick", "slow", "--rounds", "8", "--json")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    [case] = said["cases"]
    assert case["verdict"] == "regression"
    assert case["ratio"]["ci_low"] > 1.5
    assert said["base"]["commit"] != said["candidate"]["commit"]
    assert said["base"]["environment"]["commit"] == said["base"]["commit"]
    assert said["candidate"]["environment"]["dirty"] is False


def test_equal_commits_are_measured_and_not_called_different(ab: Ab, tmp_path: Path) -> None:
    done = ab("HEAD", "HEAD", "--rounds", "8", "--markdown")
    assert done.returncode == 0, done.stderr
    assert "### waiting" in done.stdout
    assert "regression" not in done.stdout
    stored = list((tmp_path / "results" / "ab").glob("*/*-*.json"))
    # Eight rounds are the fewest that can decide, of a process a side each.
    assert len(stored) == 16


def test_two_environments_of_one_commit_are_compared(ab: Ab) -> None:
    done = ab(
        "slow", "--environment", str(Path(sys.prefix) / "bin/python"), "--rounds", "8", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["base"]["commit"] == said["candidate"]["commit"]
    assert said["cases"][0]["rounds"] == 8


def test_numbers_of_different_versions_of_a_workload_are_not_compared(ab: Ab) -> None:
    done = ab("other", "quick")
    assert done.returncode == 1
    assert "waiting is at version 2 in commit" in done.stdout


def test_a_side_that_fails_after_some_rounds_says_so_and_exits_with_1(ab: Ab) -> None:
    done = ab("quick", "broken", "--json")
    assert done.returncode == 1
    [case] = json.loads(done.stdout)["cases"]
    assert case["verdict"] == "failed"
    assert case["note"].startswith("candidate: FileExistsError")
    assert case["candidate_s"]["estimate"] == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere"),
        (("quick", "slow", "--rounds", "3"), "3 rounds can never show a difference"),
        (("quick", "--environment", "a", "--environment", "b"), "given once for both sides"),
        (("quick", "--threshold", "much"), "'much'"),
        (("quick", "--threshold", "1"), "--threshold 1 is 100 % or more"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    ab: Ab, arguments: tuple[str, ...], message: str
) -> None:
    done = ab(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("assay: ")


class Watching:
    """Notes which processes start, and ends the comparison where it is told to."""

    def __init__(self, *, at_process: int = 0, at_round: int = 0) -> None:
        self.starts: list[tuple[str, int]] = []
        self.found_rounds = 0
        self._at_process, self._rounds_left = at_process, at_round

    def warn(self, message: str) -> None:
        raise AssertionError(message)

    def started(self, found: Sequence[Compared]) -> None:
        self.found_rounds = sum(len(one.base) for one in found)

    def process_started(self, planned: PlannedCase, side: str, number: int) -> None:
        self.starts.append((side, number))
        if len(self.starts) == self._at_process:
            raise KeyboardInterrupt

    def phase(self, name: str) -> None:
        """Nothing to note."""

    def round_done(self, planned: PlannedCase, compared: Compared) -> None:
        self._rounds_left -= 1
        if self._rounds_left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(fakes: Registry, plugin_folder: Path, tmp_path: Path) -> Callable[..., Watching]:
    """Run a comparison of the fakes in real workers until it is ended."""
    chosen = plan(fakes, Selection(variants=("exact",), size="small"))
    pair = tuple(
        Side(
            label=label,
            commit="0" * 40,
            worktree=tmp_path,
            python=Path(sys.executable),
            packages=plugin_folder,
            environment={
                "machine": "here",
                "id": "same",
                "source_digest": "",
                "commit": "0" * 40,
                "dirty": False,
            },
        )
        for label in ("base", "candidate")
    )

    def run(**end: int) -> Watching:
        watching = Watching(**end)
        with pytest.raises(KeyboardInterrupt):
            run_ab(
                chosen, (pair[0], pair[1]), Settings(), Rule(), tmp_path / "ab", observer=watching
            )
        return watching

    return run


def test_an_interrupted_comparison_goes_on_with_a_whole_round(
    interrupted: Callable[..., Watching], tmp_path: Path
) -> None:
    assert len(interrupted(at_process=4).starts) == 4
    again = interrupted(at_round=1)
    assert again.found_rounds == 1
    # Also the half that was stored: its other half would meet the machine at another time.
    assert sorted(again.starts) == [("base", 1), ("candidate", 1)]
    assert len([*(tmp_path / "ab").iterdir()]) == 2


def test_halves_of_two_comparisons_are_never_paired(
    interrupted: Callable[..., Watching], tmp_path: Path
) -> None:
    interrupted(at_round=1)
    [base] = [
        folder
        for folder in (tmp_path / "ab").iterdir()
        if json.loads((folder / "run.json").read_text())["run"]["settings"]["side"] == "base"
    ]
    with (base / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another `assay ab` that goes on with it
        assert sorted(interrupted(at_round=1).starts) == [("base", 0), ("candidate", 0)]
    assert len([*(tmp_path / "ab").iterdir()]) == 4


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


def test_rounds_pair_by_their_number_and_not_by_their_place(planned: PlannedCase) -> None:
    base = rounds(planned, *range(1, 12))
    candidate = [one for one in rounds(planned, *range(1, 12)) if one.process != 3]
    said = compared(planned, base, candidate, Rule())
    assert said.base == said.candidate
    assert len(said.base) == 10


def test_looks_that_were_judged_before_are_not_judged_again(planned: PlannedCase) -> None:
    base, candidate = rounds(planned, *[1.0, 1.1] * 8), rounds(planned, *[1.1, 1.0] * 8)
    before = compared(planned, base[:9], candidate[:9], Rule())
    assert before.judgement is not None
    between = compared(planned, base[:12], candidate[:12], Rule(), before=before)
    assert between.judgement is before.judgement
    assert between == compared(planned, base[:12], candidate[:12], Rule())
    second = compared(planned, base, candidate, Rule(), before=between)
    assert second == compared(planned, base, candidate, Rule())
    assert second.judgement is not None
    assert second.judgement.rounds == 14
    # A budget that ends with a look leaves nothing to judge at the next one.
    ended = compared(planned, base[:9], candidate[:9], Rule(), before=before, ended=True)
    assert ended.judgement is before.judgement


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
    assert said.judgement.more_rounds_needed >= 3  # the first look is at nine


def test_different_inputs_or_an_impossible_result_are_not_judged(planned: PlannedCase) -> None:
    base = rounds(planned, *[1.0] * 9)
    other = compared(planned, base, rounds(planned, *[2.0] * 9, inputs={"rows": 1}), Rule())
    assert other.judgement is None
    assert (other.verdict, other.outcome) == ("unlike", Outcome.OK)
    assert other.reason == "the sides measured different inputs: rows=None and rows=1"
    beyond = compared(planned, base, rounds(planned, *[2.0] * 9, flags=("impossible",)), Rule())
    assert beyond.judgement is None
    assert beyond.verdict == "impossible"
    assert beyond.final


def test_work_too_short_to_time_is_unresolvable_and_no_time_at_all_is_no_number(
    planned: PlannedCase,
) -> None:
    short = Measurement("time", "s", "process", "clock", status=Status.UNRESOLVABLE, reason="short")
    candidate = rounds(planned, *[1.0] * 9, measurements=(short,))
    said = compared(planned, rounds(planned, *[1.0] * 9), candidate, Rule())
    assert (said.verdict, said.reason) == ("unresolvable", "candidate: short")
    zero = compared(planned, rounds(planned, *[0.0] * 9), rounds(planned, *[1.0] * 9), Rule())
    assert (zero.verdict, zero.judgement) == ("undecided", None)
    assert headline(zero.base) is None


def test_a_case_that_one_side_does_not_have_is_skipped(planned: PlannedCase) -> None:
    base = rounds(planned, 1.0, outcome=Outcome.FAILED, flags=("not_registered",), reason="unknown")
    said = compared(planned, base, rounds(planned, 1.0), Rule())
    assert said.outcome is Outcome.SKIPPED
    assert said.reason == "base does not have this case: unknown"
    assert said.final
