"""Reads what a commit's pyproject.toml asks of the environment that it is measured in."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.errors import AssayError

_BUILD_REQUIRES = ("setuptools",)
"""What builds a project that names nothing (PEP 518)."""


@dataclass(frozen=True, slots=True)
class Project:
    """What a commit's project says of itself.

    Attributes:
        folder: the folder of its pyproject.toml.
        build_requires: requirements of its build.
        requires: requirements of its run, those of the chosen extras included; None where only
            the build can tell them.
        constraints: the content of the constraints.txt beside it; empty where there is none.
    """

    folder: Path
    build_requires: tuple[str, ...]
    requires: tuple[str, ...] | None
    constraints: str


def find_project(directory: Path, top: Path) -> Path:
    """Return, relative to `top`, the nearest folder at or above `directory` with a pyproject.toml.

    Raises:
        AssayError: there is none in the checkout.
    """
    for folder in (directory, *directory.parents):
        if (folder / "pyproject.toml").is_file():
            return folder.relative_to(top)
        if folder == top:
            break
    raise AssayError(f"no pyproject.toml in {directory} or above it in {top}; run in a project")


def read_project(top: Path, place: Path, name: str, extras: Sequence[str]) -> Project:
    """Read a project's requirements.

    Args:
        top: the top folder of a checkout.
        place: the project's folder in it, relative.
        name: what messages call the commit.
        extras: names from its [project.optional-dependencies].

    Raises:
        AssayError: there is no pyproject.toml, it says something else than the standard allows,
            or an extra is not in it.
    """
    folder, file = top / place, place / "pyproject.toml"
    try:
        content = tomllib.loads((top / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssayError(f"{name} has no {file}; compare commits that have it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AssayError(f"{file} of {name} does not parse: {error}; repair it") from error
    project, build = (_table(content, key) for key in ("project", "build-system"))
    constraints = folder / "constraints.txt"
    # Where the table is missing or says so, the build alone knows (PEP 621).
    known = "project" in content and "dependencies" not in project.get("dynamic", ())
    return Project(
        folder=folder,
        build_requires=_checked(
            build.get("requires", list(_BUILD_REQUIRES)), f"[build-system] requires of {name}"
        ),
        requires=tuple(_requires(project, extras, name)) if known else None,
        constraints=constraints.read_text("utf-8", "surrogateescape")
        if constraints.is_file()
        else "",
    )


def parse_requirements(text: str) -> tuple[str, ...]:
    """Return the pip requirements in a text such as "torch==2.11.0 numpy<2.3".

    Raises:
        AssayError: it is something else.
    """
    try:
        words = shlex.split(text)
        for word in words:
            Requirement(word)
    except (ValueError, InvalidRequirement):
        words = []
    if not words:
        raise AssayError(
            f"{text!r} is neither the path of an environment nor requirements as pip takes them; "
            'write them like "torch==2.11.0 numpy<2.3" (an index: PIP_EXTRA_INDEX_URL)'
        )
    return tuple(words)


def without(constraints: str, requirements: Iterable[str]) -> str:
    """Return the constraints less the lines for packages that the requirements name."""
    named = {canonicalize_name(Requirement(one).name) for one in requirements}
    return "".join(
        line for line in constraints.splitlines(keepends=True) if _constrained(line) not in named
    )


def extras_named(directory: Path, names: Iterable[str]) -> list[str]:
    """Return which of the names are extras of the nearest project at or above `directory`."""
    for folder in (directory, *directory.parents):
        try:
            content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            break  # told in full when the side is prepared
        offered = _table(_table(content, "project"), "optional-dependencies")
        return sorted({*names} & {*offered})
    return []


def _constrained(line: str) -> str | None:
    try:
        return canonicalize_name(Requirement(line.partition(" #")[0].strip()).name)
    except InvalidRequirement:
        return None  # a comment, an option, an address


def _requires(project: dict[str, Any], extras: Iterable[str], name: str) -> Iterator[str]:
    yield from _checked(project.get("dependencies", []), f"dependencies of {name}")
    offered = {
        canonicalize_name(extra): _checked(requires, f"extra {extra!r} of {name}")
        for extra, requires in _table(project, "optional-dependencies").items()
    }
    own = canonicalize_name(str(project.get("name", "")))
    pending, done = [canonicalize_name(extra) for extra in extras], set[str]()
    while pending:
        extra = pending.pop(0)
        if extra in done:
            continue
        done.add(extra)
        if extra not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise AssayError(f"{name} has no extra {extra!r}; it has: {known}")
        for requirement in offered[extra]:
            parsed = Requirement(requirement)
            # An extra may be made of others: `all = ["project[this,that]"]`.
            if canonicalize_name(parsed.name) == own:
                pending += [canonicalize_name(one) for one in sorted(parsed.extras)]
            else:
                yield requirement


def _table(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key, {})
    return found if isinstance(found, dict) else {}


def _checked(requirements: Any, what: str) -> tuple[str, ...]:
    try:
        if not isinstance(requirements, list):
            raise InvalidRequirement("not a list")
        return tuple(str(Requirement(requirement)) for requirement in requirements)
    except (InvalidRequirement, TypeError) as error:
        line = " ".join(str(error).split())
        raise AssayError(
            f"the {what} are no requirements: {line}; repair pyproject.toml"
        ) from error
