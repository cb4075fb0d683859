"""Keeps the history of results on a branch of its own: fetches it into a folder, pushes it back.

    python3 .github/results_branch.py fetch FOLDER
    python3 .github/results_branch.py push FOLDER

The branch (ASSAY_RESULTS_BRANCH, or assay-results) shares no commit with the sources.
"""

from __future__ import annotations

import os
import subprocess
import sys

_ABSENT = 2  # what `git ls-remote --exit-code` answers where no branch matches
_IDENTITY = ("-c", "user.name=Assay", "-c", "user.email=assay@users.noreply.github.com")


def main(arguments: list[str]) -> int:
    """Do what was asked; return git's own status where it fails."""
    if len(arguments) != 2 or arguments[0] not in ("fetch", "push"):
        print(__doc__, file=sys.stderr)
        return 2
    action, folder = arguments
    branch = os.environ.get("ASSAY_RESULTS_BRANCH") or "assay-results"
    try:
        (_fetch if action == "fetch" else _push)(folder, branch)
    except subprocess.CalledProcessError as error:
        print(f"git {error.cmd[1]} failed; nothing was pushed", file=sys.stderr)
        return int(error.returncode)
    return 0


def _fetch(folder: str, branch: str) -> None:
    reference = f"refs/heads/{branch}"
    known = subprocess.run(["git", "ls-remote", "--exit-code", "origin", reference], check=False)
    if known.returncode == _ABSENT:
        print(f"the first night: {branch} is made")
        tree = _git("mktree", said="")
        start = _git(*_IDENTITY, "commit-tree", "-m", "Results of every night", tree)
    elif known.returncode != 0:
        raise subprocess.CalledProcessError(known.returncode, ["git", "ls-remote"])
    else:
        _git("fetch", "--quiet", "origin", reference)
        start = _git("rev-parse", "FETCH_HEAD")
    _git("worktree", "add", "--quiet", "--detach", folder, start)


def _push(folder: str, branch: str) -> None:
    # Where it could not be fetched, git would take the sources' own checkout for it.
    _git("-C", folder, "rev-parse", "--resolve-git-dir", ".git")
    _git("-C", folder, "add", "--all")
    changed = subprocess.run(["git", "-C", folder, "diff", "--cached", "--quiet"], check=False)
    if changed.returncode == 0:
        print("no new results")
        return
    _git("-C", folder, *_IDENTITY, "commit", "--quiet", "-m", "Results of a night")
    # Never forced: were another night faster, its results would be lost.
    _git("-C", folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")


def _git(*arguments: str, said: str | None = None) -> str:
    done = subprocess.run(
        ["git", *arguments], input=said, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
