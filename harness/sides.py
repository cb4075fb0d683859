"""Prepares the two sides of `assay ab`: a worktree, an environment and the packages of a commit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.machinery import all_suffixes
from pathlib import Path

from harness import side_cache, side_probe
from harness.checkout import read_checkout
from harness.errors import AssayError
from harness.printable import printable
from harness.records import Facts
from harness.side_cache import cache_folder
from harness.side_environments import (
    digest,
    existing_environment,
    hold_environment,
    install_apart,
    run,
)
from harness.side_projects import extras_named, find_project, read_project
from harness.side_worktrees import (
    add_worktree,
    hold_worktree,
    remove_worktree,
    resolve_commit,
    top_folder,
)

__all__ = ["Side", "cache_folder", "prepare_side", "prune", "release", "resolve_commit"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two commits, ready to be measured.

    Attributes:
        label: "base" or "candidate".
        commit: 40 hexadecimal digits.
        worktree: a detached checkout of the commit.
        python: the interpreter of its environment.
        packages: the folder for PYTHONPATH: the commit's own packages with their metadata.
        environment: what `host_environment` says in this interpreter of this worktree.
        held: keeps the folders from `prune` until it is closed or the process ends.
    """

    label: str
    commit: str
    worktree: Path
    python: Path
    packages: Path
    environment: Facts
    held: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)


def prepare_side(
    repository: Path,
    revision: str,
    *,
    label: str,
    slot: int,
    cache: Path,
    requirement: str | None,
    extras: Sequence[str],
    packages: Collection[str] = (),
    say: Callable[[str], None],
) -> Side:
    """Check a commit out, make its environment, and install its packages apart from both.

    The same commit in two slots is prepared twice, in folders whose paths are equally long: the
    size of the environment and the length of paths shift memory layout and with it time
    (Mytkowicz et al., "Producing wrong data without doing anything obviously wrong!", ASPLOS 2009).

    Args:
        repository: the current folder; its project is the nearest pyproject.toml at or above it.
        revision: what `git rev-parse` takes.
        label: "base" or "candidate".
        slot: one digit, another for each side.
        cache: the cache folder.
        requirement: what `--environment` says: the path of an environment that is used as it is,
            or pip requirements beside the project's own; None for the project's own.
        extras: names of the project's optional dependencies.
        packages: what the variants need; an extra of that name is installed where the commit has
            one.
        say: is told in one line what takes time or is left out.

    Raises:
        AssayError: a part of it cannot be had; names the part and the fix.
    """
    try:
        return _prepared(
            repository.resolve(),
            revision,
            label=label,
            slot=slot,
            cache=cache.resolve(),
            requirement=requirement,
            extras=extras,
            packages=packages,
            say=lambda line: say(f"{label}: {line}"),
        )
    except OSError as error:
        raise AssayError(
            f"cannot prepare {label} in {cache}: {error}; free space, or set ASSAY_CACHE to "
            "another folder"
        ) from error


def release(*sides: Side) -> None:
    """Let `prune` have the folders of these sides."""
    for side in sides:
        side.held.close()


def prune(cache: Path, *, environments: int = 4, commits: int = 12) -> list[Path]:
    """Remove what was used longest ago, but nothing that a process holds.

    Args:
        cache: the cache folder.
        environments: how many environments are kept, each as large as its dependencies.
        commits: how many worktrees and how many installed commits are kept.

    Returns:
        The removed folders.
    """
    drop = side_cache.drop_oldest
    return [
        *drop(cache / side_cache.ENVIRONMENTS, environments, side_cache.remove),
        *drop(cache / side_cache.WORKTREES, commits, remove_worktree),
        *drop(cache / side_cache.PACKAGES, commits, _remove_packages),
    ]


def _prepared(
    repository: Path,
    revision: str,
    *,
    label: str,
    slot: int,
    cache: Path,
    requirement: str | None,
    extras: Sequence[str],
    packages: Collection[str],
    say: Callable[[str], None],
) -> Side:
    commit = resolve_commit(repository, revision)
    top = top_folder(repository)
    place = find_project(repository, top)
    _say_what_is_left_out(top, commit, say)
    environment = existing_environment(requirement) if requirement is not None else None
    if environment is not None and extras:
        say(f"uses {environment.python} as it is, without installing {', '.join(extras)}")
    with ExitStack() as held:
        worktree, lock = hold_worktree(top, commit, slot, cache, say)
        held.callback(os.close, lock)
        if (worktree / ".gitmodules").exists():
            say("leaves git submodules out; what needs their files will not find them")
        wanted = [] if environment else [*extras, *extras_named(worktree / place, packages)]
        project = read_project(worktree, place, _name(commit), wanted)
        if environment is None:
            environment, lock = hold_environment(project, requirement, cache, say)
            held.callback(os.close, lock)
        key = digest([commit, str(place), environment.key])
        folder = cache / side_cache.PACKAGES / f"{key}-{slot}"

        def make() -> None:
            say(f"builds {_name(commit)}")
            _remove_packages(folder)
            # Builds write beside their sources, and some ask git for the version.
            add_worktree(top, commit, folder / _BUILD)
            try:
                install_apart(environment, project, folder / _BUILD / place, folder / _SITE)
            finally:
                remove_worktree(folder / _BUILD, top)
            side_cache.mark_complete(folder, commit)

        lock = side_cache.hold(
            folder, complete=lambda: side_cache.is_complete(folder), make=make, say=say
        )
        held.callback(os.close, lock)
        return Side(
            label=label,
            commit=commit,
            worktree=worktree,
            python=environment.python,
            packages=folder / _SITE,
            environment=_facts(environment.python, folder / _SITE, worktree, _name(commit)),
            held=held.pop_all(),
        )


_BUILD, _SITE = "build", "site"


def _name(commit: str) -> str:
    return f"commit {commit[:7]}"


def _say_what_is_left_out(top: Path, commit: str, say: Callable[[str], None]) -> None:
    checkout = read_checkout(top)
    if checkout.commit == commit and checkout.changed:
        first, *others = checkout.changed
        more = f" and {len(others)} more" if others else ""
        say(
            f"measures {_name(commit)} without the uncommitted changes of {printable(first)}{more};"
            " commit them to measure them"
        )


def _remove_packages(folder: Path) -> None:
    remove_worktree(folder / _BUILD)  # a kill may have left it
    side_cache.remove(folder)


def _facts(python: Path, packages: Path, worktree: Path, name: str) -> Facts:
    """Return what the commit's own Assay says of its environment, checked to be the commit's."""
    said = run(
        [python, "-P", side_probe.__file__, packages, *_top_level(packages)],
        lambda line: (
            f"the Assay of {name} does not describe its environment: {line}; "
            "compare commits whose environments have a working one"
        ),
        cwd=worktree,
        env={"PYTHONPATH": str(packages)},
    )
    answer = json.loads(said.splitlines()[-1])
    if "module" in answer:
        raise AssayError(
            f"{python} imports {answer['module']} from {answer['place']}, not from {name}; "
            "uninstall the project there, or use another environment"
        )
    if "environment" not in answer:
        raise AssayError(
            f"{name} has no Assay that can measure it: its environment has no module "
            "harness.worker; add assay to its dependencies or to --environment"
        )
    facts: Facts = answer["environment"]
    return facts


def _top_level(packages: Path) -> list[str]:
    """Return the names that can be imported from a folder of installed packages."""
    suffixes = tuple(all_suffixes())
    parts = [
        path.relative_to(packages).parts[0]
        for path in packages.rglob("*")
        if path.name.endswith(suffixes)
    ]
    return sorted({name for part in parts if (name := part.partition(".")[0]).isidentifier()})
