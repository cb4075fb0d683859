"""What the documentation shows runs as it is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from workloads.solar import generate

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"


PAGES = ("add-a-workload.md", "add-a-backend.md", "from-asv.md")


def blocks(kind: str) -> list[str]:
    """The code of that kind on the pages about bringing one's own."""
    pages = [(ROOT / "docs" / page).read_text() for page in PAGES]
    return [code for page in pages for code in re.findall(rf"```{kind}\n(.*?)```", page, re.S)]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the examples are importable, and registered as they show it."""
    info = tmp_path / "plugins" / "examples-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    groups: dict[str, dict[str, str]] = {}
    for block in blocks("toml"):
        for group, points in tomllib.loads(block)["project"]["entry-points"].items():
            groups.setdefault(group, {}).update(points)
    assert {len(points) for points in groups.values()} == {1, 2}
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {path}" for name, path in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": f"{info.parent}{os.pathsep}{EXAMPLES}"}


def assay_json(program: str, folder: Path, env: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [program, *arguments, "--json"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_example_workload_runs_on_the_example_backend(
    tmp_path: Path, env: dict[str, str], assay_program: str
) -> None:
    assert "$ assay run -b slowcpu -w sorting\n" in "".join(blocks("console"))
    rows = assay_json(assay_program, tmp_path, env, "run", "-b", "slowcpu", "-w", "sorting")
    assert {row["variant"] for row in rows} == {"quick", "stable"}
    assert all(row["outcome"] == "ok" and row["time_s"]["median"] > 0 for row in rows)
    assert all(row["per"] == "number" for row in rows)


def test_the_documented_checklists_pass_for_the_examples(
    tmp_path: Path, env: dict[str, str]
) -> None:
    host = "cpu" if os.uname().machine == "x86_64" else "arm"
    checklists = [code for code in blocks("python") if code.startswith("import pytest")]
    assert len(checklists) == 2
    for number, code in enumerate(checklists):
        name = f"test_example_{number}.py"
        (tmp_path / name).write_text(code.replace("backends.cpu", f"backends.{host}"))
    # The workload that came over from asv is held to the same.
    lookups = (
        checklists[0].replace("sorting", "lookups").replace("backends.cpu", f"backends.{host}")
    )
    (tmp_path / "test_example_lookups.py").write_text(lookups)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    assert re.search(r"[12][0-9] passed", answer.stdout)


@pytest.fixture
def measured_by_asv(tmp_path: Path, env: dict[str, str]) -> Path:
    """A repository with the example's asv suite, which asv itself has measured."""
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLES / "asv_suite", folder / "suite")
    [settings] = blocks("json")
    own = {"version": 1, "project": "old", "repo": ".", "branches": ["HEAD"],
           "benchmark_dir": "suite", "environment_type": "existing"}  # fmt: skip
    (folder / "asv.conf.json").write_text(json.dumps(own | json.loads(settings)))
    (folder / ".gitignore").write_text("results/\n.asv/\n")
    run_in(folder, env, "git", "init", "--quiet")
    run_in(folder, env, "git", "add", "--all")
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    run_in(folder, env, "git", *identity, "commit", "--quiet", "--message", "first")
    head = run_in(folder, env, "git", "rev-parse", "HEAD").strip()
    # Its machine file is kept in the home folder.
    home = {**env, "HOME": str(tmp_path)}
    asv = (sys.executable, "-m", "asv")
    run_in(folder, home, *asv, "machine", "--yes")
    quick = ("--quick", "--launch-method", "spawn", "--environment", "existing:same")
    run_in(folder, home, *asv, "run", *quick, "--set-commit-hash", head)
    return folder


def run_in(folder: Path, env: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_benchmark_of_asv_comes_over_and_its_old_series_stay(
    measured_by_asv: Path, env: dict[str, str], assay_program: str
) -> None:
    folder = measured_by_asv
    rows = assay_json(
        assay_program, folder, env, "run", "-w", "lookups", "--processes", "1", "--results", "new"
    )
    faster = {row["params"]["n"]: row["speedup"]["ratio"] for row in rows if row["speedup"]}
    assert set(faster) == {1_000, 20_000}
    assert min(faster.values()) > 10
    run_in(folder, env, assay_program, "publish", "--results", "new")
    index = json.loads((folder / ".asv" / "html" / "index.json").read_text())
    assert set(index["benchmarks"]) >= {"lookups.time", "lookups.Lookup.time_lookup"}


def test_the_test_command_of_the_readme_is_the_one_that_ci_runs() -> None:
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.M)
    [bench, tests] = commands
    assert bench.endswith("nox -s bench")
    assert tests.endswith("nox -s tests")
    assert tests in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_command_has_its_section_in_the_guide(assay_program: str) -> None:
    answer = subprocess.run([assay_program, "--help"], capture_output=True, text=True, check=True)
    commands = re.findall(r"^  (\w+)  ", answer.stdout.partition("Commands:")[2], re.M)
    assert len(commands) >= 8
    guide = (ROOT / "docs" / "guide.md").read_text()
    for command in commands:
        assert f"## `assay {command}" in guide, command


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        assert f"decisions/{page.stem}" in index, page.name


def test_the_documented_loader_trains_ten_epochs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "workloads" / "solar.md").read_text()
    [program] = re.findall(r"```python\n(from pathlib.*?)```", page, re.S)
    layout = generate.Layout(samples_a_chunk=1)
    generate.generate(tmp_path / "train.h5", "ptychonn", 300, layout=layout, seed=0)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len([line for line in lines if "(256, 64, 64)" in line]) == 10
    assert len([line for line in lines if "(44, 64, 64)" in line]) == 10
