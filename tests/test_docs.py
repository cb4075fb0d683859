"""The documented examples run as they are shown, and pass the checklist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the examples are importable and registered."""
    info = tmp_path / "plugins" / "examples-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    toml = (ROOT / "docs" / "extending.md").read_text()
    points = re.findall(r'\[project\.entry-points\."([a-z.]+)"\]\n(\w+) = "([\w:]+)"', toml)
    assert len(points) == 2
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n{name} = {path}\n" for group, name, path in points)
    )
    return {**os.environ, "PYTHONPATH": f"{info.parent}{os.pathsep}{EXAMPLES}"}


def test_the_example_workload_runs_on_the_example_backend(
    tmp_path: Path, env: dict[str, str], assay_program: str
) -> None:
    answer = subprocess.run(
        [assay_program, "run", "-w", "sorting", "-b", "slowcpu", "--json"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(answer.stdout)
    assert {row["variant"] for row in rows} == {"quick", "stable"}
    assert all(row["outcome"] == "ok" and row["time_s"]["median"] > 0 for row in rows)
    assert all(row["per"] == "number" for row in rows)


def test_the_documented_checklist_passes_for_the_examples(
    tmp_path: Path, env: dict[str, str]
) -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    [code] = re.findall(r"```python\n(import pytest.*?)```", page, re.S)
    host = "cpu" if os.uname().machine == "x86_64" else "arm"
    code = code.replace("backends.cpu", f"backends.{host}")
    (tmp_path / "test_examples.py").write_text(code)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_examples.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    assert re.search(r"1[0-9] passed", answer.stdout)


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
