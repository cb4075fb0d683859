"""The commits of one workload as an axis that all its series share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dashboards.pages.book import Line
from dashboards.pages.jsonfile import text
from harness.checkout import run_git
from harness.sighting import Places

_TIMEOUT_S = 60.0  # a log of all branches of a large repository takes some seconds
_DIGITS = 4  # of x: environments of one commit lie at least this far apart


@dataclass(frozen=True, slots=True)
class Axis:
    """Commits from old to new; x is a commit's index.

    Where a machine measured a commit in K environments, the k-th of them, from 0, lies at k / K
    beyond the commit.

    Attributes:
        commits: the commits' times and hashes.
    """

    commits: tuple[tuple[float, str], ...]
    _x: Mapping[tuple[str, str], Mapping[tuple[str, str], float]]

    def of(self, line: Line) -> Mapping[tuple[str, str], float]:
        """Return x by commit and environment, for what a line's machine and settings measured."""
        machine, settings, _ = line.newest.seen.identity
        return self._x[machine, settings]


def axis_of(lines: Iterable[Line], places: Places) -> Axis:
    """Return the axis of all commits at which any of the lines has an entry."""
    found = {commit for line in lines for _, commit, _ in line.positions}
    commits = tuple(sorted((places.times[commit], commit) for commit in found))
    index = {commit: number for number, (_, commit) in enumerate(commits)}
    x: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for (machine, settings, commit), environments in places.environments.items():
        if commit in index:
            there = x.setdefault((machine, settings), {})
            for rank, environment in enumerate(environments):
                share = round(rank / len(environments), _DIGITS)
                there[commit, environment] = index[commit] + share if share else index[commit]
    return Axis(commits, x)


def subjects_of(repo: Path | None) -> dict[str, str]:
    """Return the first line of each commit's message; nothing where git does not tell."""
    if repo is None:
        return {}
    try:
        done = run_git(repo, "log", "--all", "--format=%H %s", timeout_s=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return {commit: text(rest) for commit, _, rest in (line.partition(" ") for line in lines)}
