"""Checks out commits apart from the user's checkout, as detached worktrees in the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness import side_cache
from harness.checkout import run_git
from harness.errors import AssayError


def resolve_commit(repository: Path, revision: str) -> str:
    """Return the 40 hexadecimal digits of the commit that a revision names.

    Args:
        repository: a folder in a git checkout.
        revision: what `git rev-parse` takes: a branch, a tag, HEAD~3, some digits.

    Raises:
        AssayError: the folder is in no checkout, or there is no such commit.
    """
    top = top_folder(repository)
    if not revision or revision.startswith(("-", "^")) or not revision.isprintable():
        raise AssayError(f"{revision!r} is no revision; name a commit, a branch or a tag")
    try:
        commit = git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    except AssayError as error:
        fetch = "git fetch"
        if git(top, "rev-parse", "--is-shallow-repository").strip() == "true":
            fetch = "git fetch --unshallow --tags"
        raise AssayError(
            f"no commit {revision!r} in {top}; check the spelling, or get it with `{fetch}`"
        ) from error
    if re.fullmatch("[0-9a-f]{40}", commit) is None:
        raise AssayError(f"git names no 40-digit commit in {top}; use a SHA-1 repository")
    return commit


def top_folder(repository: Path) -> Path:
    """Return the real path of the checkout that a folder lies in.

    Raises:
        AssayError: it lies in none, or git does not answer.
    """
    return Path(git(repository, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()


def hold_worktree(
    repository: Path, commit: str, slot: int, cache: Path, say: Callable[[str], None]
) -> tuple[Path, int]:
    """Return a clean worktree of the commit and the descriptor that keeps it.

    Args:
        repository: the top folder of the user's checkout, of which nothing but git's list of
            worktrees is changed.
        commit: 40 hexadecimal digits.
        slot: tells worktrees of one commit apart.
        cache: the cache folder.
        say: is told what takes time.
    """
    place = hashlib.sha256(os.fsencode(repository)).hexdigest()[:12]
    folder = cache / side_cache.WORKTREES / f"{place}-{commit}-{slot}"

    def make() -> None:
        _forget_missing(repository, cache)
        add_worktree(repository, commit, folder)
        if not _is_clean(folder, commit):
            raise AssayError(
                f"commit {commit[:7]} differs from itself when checked out, as line endings and "
                f"filters can make it; see `git -C {folder} status`, and commit what it shows"
            )

    return folder, side_cache.hold(
        folder, complete=lambda: _is_clean(folder, commit), make=make, say=say
    )


def add_worktree(repository: Path, commit: str, folder: Path) -> None:
    """Check the commit out in the folder, whatever was there before.

    Raises:
        AssayError: git cannot.
    """
    remove_worktree(folder, repository)
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(repository, "worktree", "add", "--quiet", "--detach", str(folder), commit)


def remove_worktree(folder: Path, repository: Path | None = None) -> None:
    """Remove a worktree from the disk and from its repository's list, as far as it is on them.

    Args:
        folder: the worktree.
        repository: its repository; None where the worktree itself is to say.
    """
    # Twice: a kill while it was added leaves it locked. What git does not know is only a folder.
    with suppress(AssayError):
        git(repository or folder, "worktree", "remove", "--force", "--force", str(folder))
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _is_clean(folder: Path, commit: str) -> bool:
    """Return whether the folder is the top of a checkout of that commit with nothing changed."""
    if not (folder / ".git").is_file():
        return False
    try:
        head = git(folder, "rev-parse", "--verify", "HEAD").strip()
        return head == commit and not git(
            folder, "status", "--porcelain", "--untracked-files=normal"
        )
    except AssayError:
        return False


def _forget_missing(repository: Path, cache: Path) -> None:
    """Take worktrees that were deleted with the cache off git's list, and only those.

    `git worktree prune` would also forget the user's own worktrees on disks not mounted now.
    """
    for line in git(repository, "worktree", "list", "--porcelain").splitlines():
        folder = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and cache in folder.parents and not folder.exists():
            with suppress(AssayError):
                git(repository, "worktree", "remove", "--force", str(folder))


# A checkout of a large repository with filters on a slow disk takes minutes.
_TIMEOUT_S = 1800.0


def git(folder: Path, *arguments: str) -> str:
    """Return what git prints when run in a folder, without hooks, prompts or the caller's GIT_*.

    Raises:
        AssayError: git is missing, does not end, or fails.
    """
    try:
        # Open descriptors: see `side_cache.hold`.
        done = run_git(folder, *arguments, timeout_s=_TIMEOUT_S, close_fds=False)
    except FileNotFoundError:
        raise AssayError("git is not installed; install it to compare commits") from None
    except subprocess.TimeoutExpired:
        raise AssayError(f"git {arguments[0]} does not end in {folder}; run it by hand") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogateescape")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    line = said[-1].removeprefix("fatal: ") if said else f"exit status {done.returncode}"
    if "not a git repository" in line:
        raise AssayError(f"{folder} is in no git checkout; run where the sources are cloned")
    if any("dubious ownership" in line for line in said):
        raise AssayError(
            f"git does not trust {folder}, which another user owns; allow it with "
            f"`git config --global --add safe.directory {folder}`"
        )
    raise AssayError(f"git {arguments[0]} failed in {folder}: {line}; run it by hand")
