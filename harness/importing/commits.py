"""Finds the commit that the user names, in the checkout around the current folder."""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import TimeoutExpired

from harness.checkout import run_git
from harness.errors import AssayError
from harness.importing.facts import Commit
from harness.validity import COMMIT

_TIMEOUT_S = 20.0  # as harness.checkout waits for git


def resolve(directory: Path, revision: str) -> Commit:
    """Return the commit of a revision ("HEAD", "v1.2", its first digits) with its date.

    Raises:
        AssayError: git knows no such commit there.
    """
    wrong = AssayError(
        f"git knows no commit {revision!r} in {directory}; run in a checkout of the repository "
        "that was measured"
    )
    if revision.startswith("-") or ".." in revision:  # an option, a range
        raise wrong
    show = ("log", "-1", "--no-show-signature", "--format=%H %ct", revision, "--")
    try:
        done = run_git(directory, *show, timeout_s=_TIMEOUT_S)
    except (OSError, ValueError, TimeoutExpired) as error:  # ValueError: a NUL in the name
        raise AssayError(f"git does not answer: {error}; leave out --commit") from None
    said = done.stdout.decode("ascii", "replace").strip()
    found = re.fullmatch(rf"({COMMIT.pattern}) ([0-9]{{1,12}})", said)
    if done.returncode != 0 or found is None:
        raise wrong
    return Commit(found[1], float(found[2]), dirty=False)
