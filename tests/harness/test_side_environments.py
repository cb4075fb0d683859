from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.side_environments import (
    Environment,
    existing_environment,
    hold_environment,
    install_apart,
    run,
)
from harness.side_projects import Project

# A build backend that has its wheel already.
BACKEND = """
import shutil

def build_wheel(folder, settings=None, metadata=None):
    return shutil.copy("demo-1-cp399-cp399-linux_x86_64.whl", folder).rpartition("/")[2]
"""


def write_wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1", "2"):
        write_wheel(folder, "stone", version)
    write_wheel(folder, "setuptools", "999")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def project(
    folder: Path, *requires: str, constraints: str = "", build: tuple[str, ...] = ()
) -> Project:
    return Project(folder, build_requires=build, requires=requires, constraints=constraints)


def made(project: Project, requirement: str | None, cache: Path, said: list[str]) -> Environment:
    environment, lock = hold_environment(project, requirement, cache, said.append)
    os.close(lock)
    return environment


def stone(environment: Environment) -> str:
    return run([environment.python, "-c", "import stone; print(stone.VERSION)"], str).strip()


def bare(folder: Path) -> Path:
    """Make an environment without pip."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


MAKES = """
import sys
from pathlib import Path
from harness.side_environments import hold_environment
from harness.side_projects import Project
project = Project(Path(), ("setuptools",), ("stone",), "stone==1\\n")
hold_environment(project, None, Path(sys.argv[1]), print)
"""


def test_a_killed_environment_is_made_again_and_then_shared(cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKES, str(cache)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as maker:
        while not list(cache.glob("environments/*/bin/python")):
            assert maker.poll() is None
            time.sleep(0.01)
        os.killpg(maker.pid, signal.SIGKILL)
    said: list[str] = []
    build = ("setuptools",)
    constrained = project(tmp_path / "one", "stone", constraints="stone==1\n", build=build)
    environment = made(constrained, None, cache, said)
    (half,) = cache.glob("environments/*/bin/python")
    assert environment.python == half
    assert stone(environment) == "1"
    # Not the one that came with the environment.
    assert list(environment.python.parent.parent.glob("lib/*/site-packages/setuptools-999.*"))
    same = project(tmp_path / "other", "stone", constraints="stone==1\n", build=build)
    assert made(same, None, cache, said) == environment
    assert [line.startswith("makes") for line in said].count(True) == 1


@pytest.mark.soak
def test_what_the_user_requires_makes_another_and_wins_over_the_constraints(
    cache: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    constrained = project(tmp_path, "stone", constraints="Stone==1\n")
    assert stone(made(constrained, "stone>1", cache, said)) == "2"
    assert len(said) == 1


@pytest.mark.soak
def test_what_pip_cannot_install_is_one_line_with_the_command(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(
        AssayError, match="No matching distribution found for stone==3; try `"
    ) as one:
        made(project(tmp_path, "stone==3"), None, cache, [])
    assert "-m pip install --upgrade stone==3" in str(one.value)
    assert "\n" not in str(one.value)


def test_dependencies_that_only_the_build_knows_need_an_environment_of_the_users(
    cache: Path, tmp_path: Path
) -> None:
    dynamic = Project(tmp_path, build_requires=(), requires=None, constraints="")
    with pytest.raises(AssayError, match="name its folder with --environment"):
        made(dynamic, None, cache, [])


def test_an_environment_is_named_by_its_folder_or_its_interpreter(tmp_path: Path) -> None:
    folder = bare(tmp_path / "env")
    environment = existing_environment(str(folder))
    assert environment is not None
    assert environment.python == folder / "bin/python"
    assert existing_environment(str(folder / "bin/python")) == environment
    assert existing_environment(sys.prefix) != environment


def test_requirements_are_no_environment() -> None:
    assert existing_environment("torch==2.11.0 numpy<2.3") is None


def test_a_folder_of_something_else_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"is a folder without bin/python; name a virtual"):
        existing_environment(str(tmp_path))


def test_a_program_other_than_python_is_no_environment() -> None:
    with pytest.raises(AssayError, match="false does not run as Python"):
        existing_environment("/bin/false")


def test_what_the_build_lacks_is_named(tmp_path: Path) -> None:
    environment = existing_environment(str(bare(tmp_path / "env")))
    assert environment is not None
    needy = project(tmp_path, build=("no-such-builder>=2",))
    with pytest.raises(AssayError, match=r"without pip and no-such-builder>=2; try `.*ensurepip"):
        install_apart(environment, needy, tmp_path, tmp_path / "site")


def test_modules_compiled_by_one_python_are_not_installed_for_another(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_wheel(source, "demo", "1", "cp399-cp399-linux_x86_64")
    (source / "backend.py").write_text(BACKEND)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    other = Environment(bare(tmp_path / "env") / "bin/python", key="", abi="cpython-399")
    with pytest.raises(AssayError, match="is cpython-399; install pip"):
        install_apart(other, project(source), source, tmp_path / "site")
