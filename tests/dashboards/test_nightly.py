"""The night loses nothing, tells everything once, and says by its status whether to look."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dashboards import nightly, nightly_news, nightly_pull
from dashboards.ledger import write_ledger
from dashboards.nightly_news import Memory, News, failed, news, since
from harness import store
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.records import Case, Measurement, Outcome, Result, Work
from harness.store import StoredResult
from tests.dashboards.conftest import run_git as git
from workloads.heat import WORKLOAD as HEAT

Assay = Callable[..., "subprocess.CompletedProcess[str]"]

FIRST_S = 1_790_000_000
NIGHT_S = 86_400
MEASURE = ("--", "-w", "fake", "-b", "fake", "--size", "small", "--processes", "1", "--variant")
FAKE = (*MEASURE, "exact")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit, in the folder that `assay` runs in."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path


def values(nights: int, steps: Iterable[int] = (), seed: int = 1) -> list[float]:
    """Times of as many nights with 0.5 % scatter, a quarter longer from each step on."""
    scatter = random.Random(seed)
    steps = list(steps)
    return [
        1.25 ** sum(night >= step for step in steps) * scatter.gauss(1.0, 0.005)
        for night in range(nights)
    ]


def night_of(
    night: int,
    seconds: float,
    *,
    machine: str = "bench-1",
    torch: str = "2.12.0",
    outcome: Outcome = Outcome.OK,
    reason: str = "",
) -> CaseRun:
    environment = {
        "machine": machine,
        "id": f"{machine}-{torch}",
        "commit": f"{night + 1:08x}" * 5,
        "commit_time": FIRST_S + night * NIGHT_S - 3600,
        "dirty": False,
        "packages": {"torch": torch},
    }
    times = Measurement("time", "s", "process", "clock", values=(seconds,) * 7)
    result = Result(
        Case("heat", HEAT.version, "torch", "cpu", {"size": 10}),
        outcome,
        reason=reason,
        started_at=FIRST_S + night * NIGHT_S,
        environment=environment,
        work=Work(),
        measurements=(times,) if outcome is Outcome.OK else (),
    )
    return CaseRun(f"run-{night:03}-{machine}", (result, replace(result, process=1)))


def nights(times: Sequence[float], machine: str = "bench-1") -> list[CaseRun]:
    return [night_of(night, seconds, machine=machine) for night, seconds in enumerate(times)]


def store_cases(root: Path, cases: Iterable[CaseRun]) -> None:
    for one in cases:
        with store.open_run(
            root,
            [one.case],
            fingerprint=one.run,
            settings={},
            environment=one.result.environment,
            force=True,
        ) as run:
            for result in one.results:
                run.append(result)
            run.finish()


@pytest.fixture
def news_of(tmp_path: Path) -> Callable[[Sequence[CaseRun], Memory], News]:
    def tell(cases: Sequence[CaseRun], memory: Memory) -> News:
        return news(cases, write_ledger(cases, tmp_path / "ledger"), memory)

    return tell


Tell = Callable[[Sequence[CaseRun], Memory], News]


def test_a_regression_is_new_on_one_night_only(news_of: Tell) -> None:
    times = values(60, [40])
    memory = Memory()
    nights_that_told = []
    for count in range(36, 61, 2):
        tonight = news_of(nights(times[:count]), memory)
        if tonight.new:
            nights_that_told.append(count)
        memory = tonight.memory
    assert len(nights_that_told) == 1
    assert 41 <= nights_that_told[0] <= 46
    assert [one.verdict for one in tonight.older] == ["regression"]


def test_a_second_regression_of_the_same_series_is_told_too(news_of: Tell) -> None:
    times = values(80, [40, 60])
    first = news_of(nights(times[:55]), Memory())
    second = news_of(nights(times), first.memory)
    assert [one.index for one in first.new] == [40]
    assert [one.index for one in second.new] == [60]
    assert [one.index for one in second.older] == [40]


def test_another_machine_s_regression_is_told_though_it_is_merged_late(news_of: Tell) -> None:
    one, other = nights(values(60, [40])), nights(values(60, [40], seed=2), machine="bench-2")
    first = news_of(one, Memory())
    second = news_of([*one, *other], first.memory)
    assert [finding.series.machine for finding in second.new] == ["bench-2"]
    assert [finding.series.machine for finding in second.older] == ["bench-1"]


def test_new_torch_is_the_environment_and_no_regression(news_of: Tell) -> None:
    times = values(60, [40])
    cases = [
        night_of(night, seconds, torch="2.12.0" if night < 40 else "2.13.0")
        for night, seconds in enumerate(times)
    ]
    memory = news_of(cases[:40], Memory()).memory
    tonight = news_of(cases, memory)
    assert tonight.new == ()
    assert tonight.entries[0].subject.endswith("code, torch 2.13.0")
    [change] = tonight.environment
    assert change.ratio is not None
    assert change.ratio.estimate == pytest.approx(1.25, rel=0.02)


def test_what_was_seen_is_known_for_each_run(news_of: Tell) -> None:
    cases = nights(values(3))
    memory = news_of(cases[:2], Memory()).memory
    assert since(cases[:2], memory) == []
    late = night_of(0, 1.0, machine="bench-2")
    assert since([*cases, late], memory) == [cases[2], late]
    resumed = replace(late, results=(*late.results, replace(cases[2].result, process=2)))
    memory = news_of([*cases, late], Memory()).memory
    assert since([*cases, resumed], memory) == [resumed]


def test_a_failure_is_new_though_its_machine_was_seen_at_a_later_time(news_of: Tell) -> None:
    cases = nights(values(3))
    clock_was_wrong = night_of(9999, 1.0)
    memory = news_of([cases[0], cases[2], clock_was_wrong], Memory()).memory
    late = night_of(1, 1.0, outcome=Outcome.CRASHED)
    assert failed(since([*cases[:1], late, cases[2], clock_was_wrong], memory)) == [late]


def test_the_whole_night_measures_locks_detects_publishes_and_sums_up(
    checkout: Path, assay: Assay
) -> None:
    step_summary = checkout / "step.md"
    step_summary.write_text("before\n")
    answer = assay("nightly", "--summary", "night.md", *FAKE, GITHUB_STEP_SUMMARY=str(step_summary))
    assert answer.returncode == 0, answer.stderr
    text = (checkout / "night.md").read_text()
    assert step_summary.read_text() == f"before\n{text}"
    assert "0 new regressions" in text
    assert "first lock" in text
    assert "published" in text
    for step in ("run", "ledger", "detect", "publish"):
        assert f"| {step} | done |" in text
    assert (checkout / ".asv" / "html" / "index.html").is_file()
    assert git(checkout / ".asv" / "ledger", "rev-list", "--count", "main") == "1"
    again = assay("nightly", "--only", "ledger", "--only", "detect", "--summary", "again.md")
    assert again.returncode == 0
    assert "0 cases on 0 machines since the last night" in (checkout / "again.md").read_text()


def test_a_failed_case_is_told_with_its_reason_and_the_rest_is_published(
    checkout: Path, assay: Assay
) -> None:
    variants = ("raises", "--variant", "exact", "--variant", "needs-unicorn")
    answer = assay("nightly", "--summary", "night.md", *MEASURE, *variants)
    assert answer.returncode == 1, answer.stderr
    text = (checkout / "night.md").read_text()
    assert "the fake workload was asked to raise" in text
    assert "## Skipped" in text
    assert "unicorn" in text
    assert "| publish | done |" in text
    assert (checkout / ".asv" / "html" / "index.html").is_file()


def test_a_step_that_cannot_be_taken_costs_no_other(checkout: Path, assay: Assay) -> None:
    (checkout / "html").mkdir()
    (checkout / "html" / "thesis.tex").write_text("mine")
    answer = assay("nightly", "--html", "html", "--summary", "night.md", *FAKE)
    assert answer.returncode == 2
    text = (checkout / "night.md").read_text()
    assert "| publish | failed |" in text
    assert "not a former dashboard" in text
    assert "| detect | done |" in text
    assert (checkout / "results" / "nightly.json").is_file()
    assert (checkout / "html" / "thesis.tex").read_text() == "mine"


def test_a_bug_of_one_step_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store_cases(tmp_path / "results", [night_of(0, 1.0)])
    monkeypatch.setattr(nightly_news, "findings", None)
    told: list[str] = []
    options = nightly.Options(["detect", "ledger"], tmp_path / "results", tmp_path / "ledger")
    assert nightly.spend_night(options, told.append) == 2
    assert "Traceback" in capsys.readouterr().err
    assert "| detect | failed |" in told[0]
    assert "| ledger | done |" in told[0]
    assert not (tmp_path / "results" / "nightly.json").exists(), "nothing was told"


def test_a_damaged_memory_stops_no_measuring(checkout: Path, assay: Assay) -> None:
    (checkout / "results").mkdir()
    (checkout / "results" / "nightly.json").write_text("{")
    answer = assay("nightly", "--summary", "night.md", *FAKE)
    assert answer.returncode == 2
    text = (checkout / "night.md").read_text()
    assert "| run | done |" in text
    assert "nightly.json is damaged" in text
    assert (checkout / "results" / "nightly.json").read_text() == "{"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--suite", "nope"), "unknown suite 'nope'"),
        (("--budget", "soon"), "soon"),
        (("--only", "sleep"), "sleep"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(
    checkout: Path, assay: Assay, arguments: Sequence[str], told: str
) -> None:
    answer = assay("nightly", *arguments, *FAKE)
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert told in line
    assert not (checkout / "results").exists()


def test_the_suite_called_nightly_is_what_a_night_measures(checkout: Path, assay: Assay) -> None:
    (checkout / "assay.toml").write_text(
        '[suites.nightly]\nworkloads = ["fake"]\nbackends = ["fake"]\nvariants = ["half"]\n'
        'size = "small"\nprocesses = 1\n'
    )
    answer = assay("nightly", "--only", "run")
    assert answer.returncode == 0, answer.stderr
    [stored] = store.read(checkout / "results").results
    assert stored.result.case.variant == "half"


def test_a_stored_regression_raises_the_alarm_on_one_night(checkout: Path, assay: Assay) -> None:
    store_cases(checkout / "results", nights(values(60, [40])))
    first = assay("nightly", "--only", "detect", "--summary", "first.md")
    second = assay("nightly", "--only", "detect", "--summary", "second.md")
    assert (first.returncode, second.returncode) == (1, 0), first.stderr + second.stderr
    text = (checkout / "first.md").read_text()
    assert "1 new regression" in text
    measured = [f"{number:08x}" for number in (40, 41)]
    assert f"{measured[0]}..{measured[1]}" in text, "not the ledger's commits"
    assert "## Regressions told before" in (checkout / "second.md").read_text()


def test_asv_s_pages_of_a_night_show_the_commits_of_the_ledger(
    checkout: Path, assay: Assay
) -> None:
    torch = ("2.12.0", "2.13.0")
    store_cases(checkout / "results", [night_of(n, 1.0, torch=torch[n]) for n in range(2)])
    answer = assay("nightly", "--only", "publish", "--ledger", "book")
    assert answer.returncode == 0, answer.stderr
    index = json.loads((checkout / ".asv" / "html" / "index.json").read_text())
    commits = git(checkout / "book", "rev-list", "main").split()
    assert len(commits) == 2
    assert sorted(index["revision_to_hash"].values()) == sorted(commits)


def test_text_of_others_is_no_markup_in_the_summary(checkout: Path, assay: Assay) -> None:
    hostile = "|<script>alert(1)</script> @everyone [x](http://example.org) ![p](q)\n# title"
    long = "x" * 100_000
    case = night_of(
        0, 1.0, outcome=Outcome.CRASHED, reason=hostile + long, machine="<b>|`m`" + long
    )
    store_cases(checkout / "results", [case])
    answer = assay("nightly", "--only", "detect", "--summary", "night.md")
    assert answer.returncode == 1
    text = (checkout / "night.md").read_text()
    assert len(text) < 5_000
    assert "<script>" not in text
    assert "<b>" not in text
    assert "\n# title" not in text
    assert "\\@everyone" in text
    assert "\\[x\\]" in text


@pytest.fixture
def followed(checkout: Path) -> Callable[[str], str]:
    """Make the checkout follow a branch elsewhere; return what adds a commit to that branch."""
    origin = checkout / "origin.git"
    git(checkout, "clone", "-q", "--bare", str(checkout), str(origin))
    git(checkout, "remote", "add", "origin", str(origin))
    git(checkout, "fetch", "-q")
    git(checkout, "branch", "-q", "--set-upstream-to=origin/trunk")
    git(checkout, "clone", "-q", str(origin), str(checkout / "colleague"))

    def commit(message: str) -> str:
        colleague = checkout / "colleague"
        git(colleague, "commit", "-q", "--allow-empty", "-m", message)
        git(colleague, "push", "-q")
        return git(colleague, "rev-parse", "HEAD")

    return commit


def newest(root: Path) -> StoredResult:
    return store.read(root).results[-1]


def test_a_pull_brings_the_commit_that_is_then_measured(
    checkout: Path, assay: Assay, followed: Callable[[str], str]
) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    second = followed("second")
    answer = assay("nightly", "--pull", "--only", "run", "--only", "pull", *FAKE)
    assert answer.returncode == 0, answer.stderr
    assert newest(checkout / "results").result.environment["commit"] == second
    assert f"{first[:7]}..{second[:7]}" in answer.stdout
    again = assay("nightly", "--only", "pull")
    assert again.returncode == 0
    assert "nothing new" in again.stdout


def test_a_checkout_with_changes_is_not_pulled_and_nothing_is_measured(
    checkout: Path, assay: Assay, followed: Callable[[str], str]
) -> None:
    followed("second")
    (checkout / "own.py").write_text("")
    answer = assay("nightly", "--pull", "--summary", "night.md", *FAKE)
    assert answer.returncode == 2
    assert "uncommitted changes (own.py); commit or stash them" in answer.stderr
    assert "| pull | failed |" in (checkout / "night.md").read_text()
    assert not (checkout / "results").exists()


def test_a_checkout_with_commits_of_its_own_is_left_as_it_is(
    checkout: Path, assay: Assay, followed: Callable[[str], str]
) -> None:
    followed("second")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "mine")
    mine = git(checkout, "rev-parse", "HEAD")
    answer = assay("nightly", "--only", "pull")
    assert answer.returncode == 2
    assert "cannot pull: moving forward to origin/trunk" in answer.stderr
    assert git(checkout, "rev-parse", "HEAD") == mine


def test_a_checkout_that_follows_no_branch_is_told(checkout: Path, assay: Assay) -> None:
    answer = assay("nightly", "--only", "pull")
    assert answer.returncode == 2
    assert "cannot pull: the branch it follows" in answer.stderr


def test_a_remote_that_does_not_answer_in_time_is_told(
    checkout: Path, followed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly_pull, "_TIMEOUT_S", 0.0)
    with pytest.raises(AssayError, match=r"cannot pull: .*: no answer in 0 s; see `git"):
        nightly_pull.pull(checkout)


def test_the_ledger_command_prints_what_it_locked(checkout: Path, assay: Assay) -> None:
    store_cases(checkout / "results", [night_of(0, 1.0), night_of(1, 1.0, torch="2.13.0")])
    answer = assay("ledger", "--ledger", "book")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert [line.partition(" ")[2] for line in lines[:2]] == [
        "0000000 first lock",
        "0000000 code, torch 2.13.0",
    ]
    assert git(checkout / "book", "rev-list", "--count", "main") == "2"
