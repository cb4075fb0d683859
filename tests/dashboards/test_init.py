"""`assay init` writes a project that is tested, measured and published as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from dashboards import starter_project
from dashboards.starter_project import FILES, describe, distribution_name, module_name
from harness.errors import AssayError

Assay = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "dashboards" / "starter"


def run(folder: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True
    )


@pytest.fixture
def home(tmp_path: Path) -> str:
    """A home folder whose git has an identity."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n")
    return str(home)


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python of its own that sees what is installed here, Assay among it, and adds to nothing."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return str(folder / "bin" / "python")


def test_the_starter_project_is_tested_measured_and_published_at_once(
    tmp_path: Path, assay: Assay, home: str, python: str
) -> None:
    made = assay("init", "my project", HOME=home)
    assert made.returncode == 0, made.stderr
    assert "project my-project, workload my_project" in made.stdout
    assert "made it a git repository with a first commit" in made.stdout
    project = tmp_path / "my project"
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", ".")
    installed = run(project, python, *pip)
    assert installed.returncode == 0, installed.stderr
    tested = run(project, python, "-m", "pytest", "-q")
    assert tested.returncode == 0, tested.stdout
    assert "7 passed" in tested.stdout
    command = (python, "-c", "from harness.cli import main; main()")
    measured = run(project, *command, "run", "-w", "my_project", "--processes", "1")
    assert measured.returncode == 0, measured.stderr
    assert "partition" in measured.stdout
    published = run(project, *command, "publish")
    assert published.returncode == 0, published.stderr
    assert "published 4 results of 1 commit on 1 machine" in published.stdout
    pages = project / ".asv" / "html"
    assert (pages / "index.html").is_file()
    assert (pages / "graphs").is_dir()
    assert "my_project.time" in (pages / "index.json").read_text()
    # Nothing of this made the checkout dirty.
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_every_placeholder_is_replaced(tmp_path: Path) -> None:
    starter_project.write(describe(tmp_path / "fast-maths", "assay>=0.1"))
    made = {path.relative_to(tmp_path / "fast-maths") for path in tmp_path.rglob("*")}
    assert Path("fast_maths/workload.py") in made
    assert Path(".github/workflows/nightly.yml") in made
    for path in (tmp_path / "fast-maths").rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "starter" not in text, path
            assert "assay-requirement" not in text, path
    project = tomllib.loads((tmp_path / "fast-maths" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "fast-maths"
    assert project["project"]["dependencies"][0] == "assay[dashboards]>=0.1"
    assert project["project"]["entry-points"]["assay.workloads"] == {
        "fast_maths": "fast_maths.workload:WORKLOAD"
    }


def test_the_workflow_and_the_suite_name_what_is_there(tmp_path: Path, assay: Assay) -> None:
    project = describe(tmp_path / "p1", "assay>=0.1")
    starter_project.write(project)
    sessions = run(tmp_path / "p1", sys.executable, "-m", "nox", "--list")
    assert sessions.returncode == 0, sessions.stderr
    for session in ("tests", "bench", "nightly", "publish"):
        assert f"{session} -> " in sessions.stdout
    workflow = (tmp_path / "p1" / ".github" / "workflows" / "nightly.yml").read_text()
    [arguments] = re.findall(r"nox -s nightly -- (.*)", workflow)
    known = assay("nightly", "--help").stdout
    options = re.findall(r"--[a-z-]+", arguments)
    assert options
    for option in options:
        assert f"{option} " in known
    suite = tomllib.loads((tmp_path / "p1" / "assay.toml").read_text())["suites"]["nightly"]
    assert suite["workloads"] == [project.module]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, assay: Assay) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    done = assay("init", "there")
    assert done.returncode == 2
    assert done.stderr == ("assay: there is not empty: it holds notes.txt; choose a new folder\n")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["notes.txt"]
    (tmp_path / "file").touch()
    refused = assay("init", "file")
    assert refused.returncode == 2
    assert refused.stderr == "assay: file: Not a directory; choose a new folder\n"


def test_inside_a_repository_nothing_is_committed(tmp_path: Path, assay: Assay, home: str) -> None:
    assert run(tmp_path, "git", "init", "-q", "cloned").returncode == 0
    done = assay("init", "cloned", HOME=home)
    assert done.returncode == 0, done.stderr
    assert "inside a git repository already" in done.stdout
    assert (tmp_path / "cloned" / "pyproject.toml").is_file()
    assert run(tmp_path / "cloned", "git", "log").returncode != 0


def test_without_a_git_identity_it_says_what_is_left_to_do(tmp_path: Path, assay: Assay) -> None:
    (tmp_path / "nobody").mkdir()
    (tmp_path / "nobody" / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    done = assay("init", "project", HOME=str(tmp_path / "nobody"), XDG_CONFIG_HOME="")
    assert done.returncode == 0
    assert "git commit failed" in done.stdout
    assert "git add -A && git commit -m 'Start'" in done.stdout


@pytest.mark.parametrize(
    ("folder", "name", "module"),
    [
        ("My Project!", "my-project", "my_project"),
        ("größe", "groe", "groe"),
        ("测试", "bench", "bench"),
        ("3d", "3d", "bench_3d"),
        ("class", "class-bench", "class_bench"),
        ("match", "match-bench", "match_bench"),
        ("json", "json-bench", "json_bench"),
        ("assay", "assay-bench", "assay_bench"),
        ("numpy", "numpy-bench", "numpy_bench"),
        ("pandas", "pandas-bench", "pandas_bench"),
        ("dashboards", "dashboards-bench", "dashboards_bench"),
        ("heat", "heat-bench", "heat_bench"),
        ("-a.b_c-", "a-b-c", "a_b_c"),
    ],
)
def test_any_folders_name_becomes_a_valid_one(folder: str, name: str, module: str) -> None:
    assert (distribution_name(folder), module_name(name)) == (name, module)


@given(st.text(max_size=200))
def test_every_name_is_one_that_pip_and_python_take(text: str) -> None:
    name = distribution_name(text)
    assert str(Requirement(name)) == name
    module = module_name(name)
    assert module.isidentifier()
    assert module not in sys.stdlib_module_names
    assert len(module) < 100


def test_it_depends_on_the_assay_that_wrote_it(tmp_path: Path) -> None:
    # Its bare name would be whatever an index has under it.
    project = describe(tmp_path / "p")
    requirement = Requirement(project.requirement)
    assert requirement.name == "assay"
    assert requirement.extras == {"dashboards"}
    assert project.local == (requirement.url or "").startswith("file:")


@pytest.mark.parametrize(
    ("spec", "requirement"),
    [
        ("assay==0.2", "assay[dashboards]==0.2"),
        ("assay[torch]", "assay[dashboards,torch]"),
        (
            "git+https://example.org/assay@main",
            "assay[dashboards] @ git+https://example.org/assay@main",
        ),
        ('assay; python_version > "3"', "assay[dashboards]; python_version > '3'"),
    ],
)
def test_another_assay_can_be_named(tmp_path: Path, spec: str, requirement: str) -> None:
    assert describe(tmp_path / "p", spec).requirement == requirement


def test_a_clone_can_be_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a clone").mkdir()
    project = describe(tmp_path / "p", str(tmp_path / "a clone"))
    assert project.local
    assert project.requirement == f"assay[dashboards] @ {(tmp_path / 'a clone').as_uri()}"


@pytest.mark.parametrize("spec", ["numpy>=2", "assay >> 3", "", "no/such/folder", "a\nb"])
def test_what_names_no_assay_is_refused(tmp_path: Path, spec: str) -> None:
    with pytest.raises(AssayError, match=r"another project than assay|names no Assay") as refusal:
        describe(tmp_path / "p", spec)
    assert "\n" not in str(refusal.value)


def test_the_starter_is_listed_whole() -> None:
    made = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
    there = {
        path.relative_to(STARTER).as_posix()
        for path in STARTER.rglob("*")
        if path.is_file() and not made & set(path.parts)
    }
    assert there == set(FILES)


def test_a_built_package_holds_the_starter(tmp_path: Path) -> None:
    source = tmp_path / "source"
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    packages = ("harness", "backends", "workloads", "dashboards")
    for name in names:
        path = ROOT / name
        if (name.split("/")[0] in packages or "/" not in name) and path.is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(path.read_bytes())
    target = tmp_path / "target"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation")
    built = run(source, *pip, "--target", str(target), ".")
    assert built.returncode == 0, built.stderr
    for name in FILES:
        assert (target / "dashboards" / "starter" / name).is_file(), name
    code = "from dashboards.init_command import init; init(['made', '--assay', 'assay'])"
    done = run(tmp_path, sys.executable, "-c", code, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / ".gitignore").is_file()
