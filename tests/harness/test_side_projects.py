from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import AssayError
from harness.side_projects import (
    Project,
    find_project,
    parse_requirements,
    read_project,
    without,
)


def read(folder: Path, text: str, *extras: str) -> Project:
    (folder / "pyproject.toml").write_text(text)
    return read_project(folder, Path(), "commit abc1234", extras)


def test_dependencies_and_those_of_the_chosen_extras_are_required(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        """
        build-system = {requires = ["hatchling>=1"]}
        [project]
        name = "demo"
        dependencies = ["numpy>=2"]
        [project.optional-dependencies]
        fast = ["numba"]
        docs = ["sphinx"]
        """,
        "fast",
    )
    assert project.build_requires == ("hatchling>=1",)
    assert project.requires == ("numpy>=2", "numba")


def test_an_extra_made_of_extras_is_taken_apart(tmp_path: Path) -> None:
    project = read(
        tmp_path,
        """
        [project]
        name = "My.Demo"
        [project.optional-dependencies]
        all = ["my-demo[fast_er,all]"]
        fast-er = ["numba"]
        """,
        "ALL",
    )
    assert project.requires == ("numba",)


def test_an_unknown_extra_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    text = '[project]\nname = "demo"\noptional-dependencies = {torch = [], docs = []}\n'
    with pytest.raises(AssayError, match="commit abc1234 has no extra 'cuda'; it has: docs, torch"):
        read(tmp_path, text, "cuda")


@pytest.mark.parametrize(
    "text", ["", '[project]\nname = "demo"\ndynamic = ["dependencies"]\n'], ids=["none", "dynamic"]
)
def test_dependencies_that_only_the_build_knows_are_not_taken_for_none(
    tmp_path: Path, text: str
) -> None:
    project = read(tmp_path, text)
    assert project.requires is None
    assert project.build_requires == ("setuptools",)


@pytest.mark.parametrize(
    "text",
    [
        "[project",
        '[project]\ndependencies = "numpy"\n',
        '[project]\ndependencies = ["--index-url=evil"]\n',
        "[build-system]\nrequires = [1]\n",
    ],
)
def test_what_is_not_by_the_standard_is_one_line_that_names_the_commit(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(AssayError, match="commit abc1234") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_commit_without_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"commit abc1234 has no sub/pyproject\.toml"):
        read_project(tmp_path, Path("sub"), "commit abc1234", ())


def test_the_project_is_the_nearest_above_inside_the_checkout(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "sub/package").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(AssayError, match=r"no pyproject\.toml in .*top"):
        find_project(top / "sub", top)
    (top / "pyproject.toml").touch()
    assert find_project(top / "sub/package", top) == Path()
    (top / "sub/pyproject.toml").touch()
    assert find_project(top / "sub/package", top) == Path("sub")


def test_requirements_are_told_apart_by_spaces() -> None:
    text = "torch==2.11.0 'numpy < 2.3' demo@file:///demo.whl"
    assert parse_requirements(text) == ("torch==2.11.0", "numpy < 2.3", "demo@file:///demo.whl")


@pytest.mark.parametrize("text", ["", " ", "./venv", "--pre torch", "torch == 2", "'torch", "a/b"])
def test_what_is_neither_path_nor_requirement_is_refused(text: str) -> None:
    with pytest.raises(AssayError, match="neither the path of an environment nor requirements"):
        parse_requirements(text)


NAMES = st.sampled_from(["torch", "numpy", "ruamel.yaml", "asv"])
LINES = st.one_of(
    NAMES.map(lambda name: f"{name}==1.0  # why"),
    NAMES.map(lambda name: f"{name}==1.0"),
    st.sampled_from(["", "# torch==1", "-c other.txt", "--pre"]),
)


@given(lines=st.lists(LINES), names=st.lists(NAMES))
def test_only_the_lines_of_the_named_packages_leave_the_constraints(
    lines: list[str], names: list[str]
) -> None:
    text = "".join(f"{line}\n" for line in lines)
    left = without(text, [f"{name.upper().replace('.', '_')}>=2" for name in names])
    wanted = [line for line in lines if line.partition("==")[0] not in names or line[:1] == "#"]
    assert left.splitlines() == wanted
