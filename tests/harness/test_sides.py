"""Two commits of a small project of a third party, built and installed as `assay ab` does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from harness.errors import AssayError
from harness.sides import Side, prepare_side, prune, release

# A build backend inside the project: no test needs a package index.
BACKEND = """
import tomllib, zipfile
from pathlib import Path

def _write(folder, files):
    Path("built").write_text("builds write beside their sources")
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = f"{name}-{version}.dist-info"
    points = "".join(
        f"[{group}]\\n" + "".join(f"{key} = {value}\\n" for key, value in entries.items())
        for group, entries in project.get("entry-points", {}).items()
    )
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/entry_points.txt", points)
        tag = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    return wheel

def build_wheel(folder, settings=None, metadata=None):
    return _write(folder, {str(path): path.read_text() for path in Path().glob("demo/*.py")})

def build_editable(folder, settings=None, metadata=None):
    return _write(folder, {"demo.pth": str(Path.cwd())})
"""

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "demo"
version = "1.0"
dependencies = ["assay"]
[project.entry-points."assay.workloads"]
demo = "demo:WORKLOAD"
"""

LOOK = """
import json, demo
from importlib.metadata import entry_points
points = [p for p in entry_points(group="assay.workloads") if p.name == "demo"]
print(json.dumps([demo.VALUE, demo.__file__, [str(p.dist._path) for p in points]]))
"""


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(checkout: Path, value: int) -> None:
    (checkout / "demo/__init__.py").write_text(f"VALUE = {value}\nWORKLOAD = None\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", f"value {value}")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose commits HEAD~1 and HEAD differ in `demo.VALUE`: 1 and 2."""
    return two_commits(tmp_path / "checkout")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for tests that leave it as it is and may find its sides prepared."""
    return two_commits(tmp_path_factory.mktemp("shared") / "checkout")


def two_commits(folder: Path) -> Path:
    (folder / "demo").mkdir(parents=True)
    git(folder, "init", "-q", ".")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PROJECT)
    commit(folder, 1)
    commit(folder, 2)
    return folder


def prepared(
    checkout: Path, revision: str, slot: int = 0, environment: str = sys.prefix, **options: Any
) -> Side:
    return prepare_side(
        checkout,
        revision,
        label=("base", "candidate")[slot],
        slot=slot,
        cache=options.get("cache", checkout.parent / "cache"),
        requirement=environment,
        extras=(),
        packages=options.get("packages", ()),
        say=options.get("say", lambda line: None),
    )


def look(side: Side) -> tuple[int, Path, list[Path]]:
    """What a worker of that side would import: the value, the module, and who registers it."""
    done = subprocess.run(
        [side.python, "-P", "-c", LOOK],
        env={**os.environ, "PYTHONPATH": str(side.packages)},
        cwd=side.worktree,
        check=True,
        capture_output=True,
    )
    value, module, owners = json.loads(done.stdout)
    return value, Path(module), [Path(owner) for owner in owners]


def test_each_side_has_the_code_and_the_facts_of_its_own_commit(shared: Path) -> None:
    base, candidate = prepared(shared, "HEAD~1", 0), prepared(shared, "HEAD", 1)
    assert [look(side)[0] for side in (base, candidate)] == [1, 2]
    for side, revision in ((base, "HEAD~1"), (candidate, "HEAD")):
        assert side.commit == git(shared, "rev-parse", revision)
        assert git(side.worktree, "rev-parse", "HEAD") == side.commit
        assert git(side.worktree, "status", "--porcelain") == ""
        assert side.environment["commit"] == side.commit
        assert side.environment["dirty"] is False
        assert side.environment["packages"]["assay"] == version("assay")
    assert base.environment["id"] == candidate.environment["id"]
    assert base.environment["source_digest"] != candidate.environment["source_digest"]


def test_equal_commits_are_two_installs_with_paths_of_equal_length_and_both_are_reused(
    shared: Path,
) -> None:
    sides = [prepared(shared, "HEAD", slot) for slot in (0, 1)]
    for paths in zip(*((side.worktree, side.packages) for side in sides), strict=True):
        assert paths[0] != paths[1]
        assert len(str(paths[0])) == len(str(paths[1]))
    said: list[str] = []
    again = [prepared(shared, "HEAD", slot, say=said.append) for slot in (0, 1)]
    assert again == sides
    assert said == []
    # A worker of one side never writes where the other reads.
    assert not sides[0].packages.samefile(sides[1].packages)


def test_uncommitted_changes_are_neither_measured_nor_touched(shared: Path) -> None:
    changed = shared / "demo/__init__.py"
    changed.write_text("VALUE = 3\n")
    before = git(shared, "status", "--porcelain")
    said: list[str] = []
    side = prepared(shared, "HEAD", say=said.append)
    assert look(side)[0] == 2
    assert any("without the uncommitted changes of demo/__init__.py" in line for line in said)
    assert changed.read_text() == "VALUE = 3\n"
    assert git(shared, "status", "--porcelain") == before
    git(shared, "checkout", "-q", ".")


def test_a_project_in_a_sub_folder_is_found_from_where_the_user_stands(
    checkout: Path, tmp_path: Path
) -> None:
    outer = tmp_path / "outer"
    (outer / "projects").mkdir(parents=True)
    (checkout / ".git").rename(tmp_path / "git")
    checkout.rename(outer / "projects/inner")
    git(outer, "init", "-q", ".")
    git(outer, "add", ".")
    git(outer, "commit", "-q", "-m", "all")
    side = prepared(outer / "projects/inner/demo", "HEAD")
    assert look(side)[0] == 2
    with pytest.raises(AssayError, match=r"no pyproject\.toml in .*projects"):
        prepared(outer / "projects", "HEAD")


def test_an_unknown_revision_is_told_before_anything_is_made(checkout: Path) -> None:
    with pytest.raises(AssayError, match="no commit 'nosuch' in"):
        prepared(checkout, "nosuch")
    assert not (checkout.parent / "cache").exists()


def leading_here() -> str:
    """What a .pth file holds to give an environment what the running one has."""
    ours = [path for path in sys.path if path.endswith("-packages")]
    return "".join(f"import site; site.addsitedir({path!r})\n" for path in ours)


def environment_like_ours(folder: Path) -> Path:
    """Make an environment without pip that has what the running one has, Assay among it."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(leading_here())
    return folder


def test_the_commit_wins_over_an_editable_install_and_is_refused_where_it_does_not(
    checkout: Path, tmp_path: Path
) -> None:
    folder = environment_like_ours(tmp_path / "env")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q"]
    editable = ["--no-deps", "--no-build-isolation", "--no-index", "--editable", str(checkout)]
    subprocess.run([*pip, *editable], check=True)
    found = subprocess.run(
        [folder / "bin/python", "-P", "-c", LOOK], check=True, capture_output=True
    )
    assert json.loads(found.stdout)[:2] == [2, str(checkout / "demo/__init__.py")]

    side = prepared(checkout, "HEAD~1", environment=str(folder))
    value, module, owners = look(side)
    assert value == 1
    assert module == side.packages / "demo/__init__.py"
    assert owners == [side.packages / "demo-1.0.dist-info"]

    # Some editable installs put themselves before PYTHONPATH.
    (pth,) = folder.glob("lib/python*/site-packages/demo.pth")
    pth.write_text(f"import sys; sys.path.insert(0, {str(checkout)!r})\n")
    with pytest.raises(AssayError, match=r"imports demo from .*checkout/demo, not from commit"):
        prepared(checkout, "HEAD~1", environment=str(folder))


def test_dependencies_are_installed_once_for_both_sides_and_kept_while_they_are_held(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of Assay's own wheels, which would need an index: ones that lead to the running one.
    (tmp_path / "wheels").mkdir()
    for number in (98, 99):
        info = f"assay-{number}.dist-info"
        file = tmp_path / f"wheels/assay-{number}-py3-none-any.whl"
        metadata = f"Metadata-Version: 2.1\nName: assay\nVersion: {number}\n"
        with zipfile.ZipFile(file, "w") as wheel:
            wheel.writestr("ours.pth", leading_here())
            wheel.writestr(f"{info}/METADATA", metadata)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    (checkout / "constraints.txt").write_text("assay==98\n")
    commit(checkout, 3)
    # An extra that a variant's package names is for the commits that have it.
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("\n[project.optional-dependencies]\nfast = []\n")
    commit(checkout, 4)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    base, candidate = (
        prepared(checkout, revision, slot, environment="assay>98", packages=("fast",))
        for slot, revision in enumerate(["HEAD~1", "HEAD"])
    )
    assert base.python == candidate.python != Path(sys.executable)
    assert [look(side)[0] for side in (base, candidate)] == [3, 4]
    assert base.environment["packages"]["assay"] == "99"  # asked for, against the constraints
    release(base)
    folder = base.python.parent.parent
    assert folder not in prune(tmp_path / "cache", environments=0, commits=0)
    release(candidate)
    assert folder in prune(tmp_path / "cache", environments=0, commits=0)
    assert not folder.exists()


def test_a_commit_without_assay_in_its_environment_is_told(checkout: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    with pytest.raises(AssayError, match=r"commit .* has no Assay that can measure it"):
        prepared(checkout, "HEAD", environment=str(tmp_path / "env"))


def test_a_failing_build_is_one_line_and_leaves_nothing_that_is_used(checkout: Path) -> None:
    (checkout / "backend.py").write_text("raise ValueError('no build today')\n")
    git(checkout, "commit", "-q", "-a", "-m", "broken")
    for _ in range(2):
        with pytest.raises(
            AssayError, match=r"pip failed: ValueError: no build today; try `.*wheel"
        ):
            prepared(checkout, "HEAD")
    assert len(git(checkout, "worktree", "list").splitlines()) == 2


PREPARES = """
import sys
from pathlib import Path
from harness.sides import prepare_side
prepare_side(Path(sys.argv[1]), "HEAD", label="base", slot=0, cache=Path(sys.argv[2]),
             requirement=sys.prefix, extras=(), say=print)
"""


def test_a_kill_while_it_builds_leaves_nothing_half(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARES, str(checkout), str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while not list(tmp_path.glob("cache/packages/*/build/built")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    side = prepared(checkout, "HEAD")
    assert look(side)[0] == 2
    assert len(git(checkout, "worktree", "list").splitlines()) == 2
    assert [path.name for path in side.packages.parent.iterdir() if path.name != "site"] == [
        ".assay-complete"
    ]


def test_pruning_keeps_what_is_held_and_then_takes_it(checkout: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    side = prepared(checkout, "HEAD")
    assert prune(cache, environments=0, commits=0) == []
    assert look(side)[0] == 2
    release(side)
    assert prune(cache, environments=0, commits=0) == [side.worktree, side.packages.parent]
    assert not side.worktree.exists()
    assert len(git(checkout, "worktree", "list").splitlines()) == 1
