"""The commits of one workload as an axis that all its series share."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards.pages.book import Line
from dashboards.pages.jsonfile import text
from harness.checkout import run_git
from harness.seen import Places

_TIMEOUT_S = 60.0  # a log of all branches of a large repository takes some seconds
_DIGITS = 4  # of x: environments of one commit lie at least this far apart


@dataclass(frozen=True, slots=True)
class Axis:
    """Commits from old to new; x is a commit's index.

    Where a machine measured a commit in K environments, the k-th of them, from 0, lies at k / K
    beyond the commit.

    Attributes:
        commits: the commits' times and hashes.
        x: by the code of a scene.
    """

    commits: tuple[tuple[float, str], ...]
    x: Mapping[int, float]


def axis_of(lines: Sequence[Line], places: Places) -> Axis:
    """Return the axis of all commits at which any of the lines has an entry.

    Args:
        lines: whose scenes are those of the places.
        places: of all lines.
    """
    codes = {code for line in lines for code in line.entries.seen.scenes.codes.tolist()}
    scenes = {code: lines[0].entries.seen.scenes.values[code] for code in codes}
    found = {scene.commit for scene in scenes.values()}
    commits = tuple(sorted((places.times[commit], commit) for commit in found))
    index = {commit: number for number, (_, commit) in enumerate(commits)}
    x: dict[int, float] = {}
    for code, scene in scenes.items():
        there = places.environments[scene.machine, scene.settings, scene.commit]
        share = round(there.index(scene.environment) / len(there), _DIGITS)
        x[code] = index[scene.commit] + share if share else index[scene.commit]
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
