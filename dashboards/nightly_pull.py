"""Brings a checkout up to date before the night: fetches and moves it forward, or says why not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.checkout import read_checkout, run_git
from harness.errors import AssayError

_TIMEOUT_S = 600.0
_HASH_DIGITS = 7


def pull(folder: Path) -> str | None:
    """Fetch, and move the checkout forward to the branch that it follows.

    Returns:
        The commits before and after, such as "1f2e3d4..9abc012"; None where nothing is new.

    Raises:
        AssayError: the checkout has changes of its own, follows no branch, has commits that the
            branch lacks, or cannot be fetched.
    """
    before = read_checkout(folder)
    if before.commit is None:
        raise AssayError(f"cannot pull: {before.reason}")
    if before.changed:
        more = f" and {len(before.changed) - 1} more" if len(before.changed) > 1 else ""
        raise AssayError(
            f"cannot pull: {folder.resolve()} has uncommitted changes ({before.changed[0]}{more}); "
            "commit or stash them, or leave out --pull"
        )
    upstream = _git(
        folder, "the branch it follows", "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{u}"
    )
    _git(folder, "its remote", "fetch", "--quiet")
    _git(folder, f"moving forward to {upstream}", "merge", "--quiet", "--ff-only", "@{u}")
    after = read_checkout(folder)
    if after.commit == before.commit:
        return None
    return f"{before.commit[:_HASH_DIGITS]}..{(after.commit or '')[:_HASH_DIGITS]}"


def _git(folder: Path, what: str, *arguments: str) -> str:
    try:
        done = run_git(folder, *arguments, timeout_s=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        said = f"no answer in {_TIMEOUT_S:.0f} s"
    else:
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace").strip()
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[0].removeprefix("fatal: ") if lines else f"exit status {done.returncode}"
    raise AssayError(
        f"cannot pull: {what}: {said}; see `git -C {folder.resolve()} status`, or leave out --pull"
    )
