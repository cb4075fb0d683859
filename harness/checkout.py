"""Reads which commit a folder is at, and whether its tracked files or Python sources differ."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkout:
    """The state of a git checkout.

    Attributes:
        commit: 40 hexadecimal digits; None where `reason` says why there is none.
        reason: why the commit is not known, and the fix; empty where it is.
        time_s: the commit's date, Unix time in s.
        changed: paths, relative to the checkout, of tracked files that differ from the commit and
            of Python files that git neither tracks nor ignores.
    """

    commit: str | None
    reason: str = ""
    time_s: int | None = None
    changed: tuple[str, ...] = ()


def read_checkout(directory: Path) -> Checkout:
    """Return the state of the checkout that `directory` lies in."""
    try:
        top = Path(_git(directory, "rev-parse", "--show-toplevel").rstrip("\n"))
        # Succeeds, with nothing printed, before the first commit.
        if not _git(top, "rev-list", "--all", "--max-count=1"):
            return Checkout(None, f"{top} has no commit yet; commit first")
        log = _git(top, "log", "-1", "--no-show-signature", "--format=%H %ct", "HEAD", "--")
        changed = _git(top, "status", "--porcelain=v1", "-z", "--no-renames", "-uno")
        new = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", "*.py")
    except _GitError as error:
        return Checkout(None, str(error))
    match = re.fullmatch(r"([0-9a-f]{40}) ([0-9]{1,12})", log.strip())
    if match is None:
        return Checkout(None, f"git names no 40-digit commit in {top}; use a SHA-1 repository")
    # A status line is two letters, a space and the path.
    paths = [line[3:] for line in changed.split("\0")] + new.split("\0")
    printable = {path.encode("utf-8", "replace").decode() for path in paths if path}
    return Checkout(match[1], "", int(match[2]), tuple(sorted(printable)))


# A status of a large checkout on a cold disk takes some seconds; longer is a hanging file system.
_TIMEOUT_S = 20.0


class _GitError(Exception):
    """One line: why git did not answer, and the fix."""


def run_git(
    directory: Path,
    *arguments: str,
    timeout_s: float,
    close_fds: bool = True,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder, without hooks, prompts or the caller's GIT_*, whatever it says.

    Raises:
        OSError: git is missing or does not start.
        subprocess.TimeoutExpired: it did not end in `timeout_s`.
    """
    # Variables of a calling git (in a hook) would name another checkout; optional locks would
    # disturb the user's own git; a file-system monitor and hooks would run the checkout's programs.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    settings = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    return subprocess.run(
        ["git", "-C", str(directory), *settings, *arguments],
        env=environ,
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        close_fds=close_fds,
    )


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = run_git(directory, *arguments, timeout_s=_TIMEOUT_S)
    except FileNotFoundError:
        raise _GitError("git is not installed; install it to record commits") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _GitError(f"git {arguments[0]} did not answer: {error}; run it by hand") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogateescape")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    line = said[0].removeprefix("fatal: ") if said else f"exit status {done.returncode}"
    if "not a git repository" in line:
        raise _GitError(f"{directory} is not in a git checkout; run where the sources are cloned")
    if "dubious ownership" in line:
        line = f"{line}; allow it with `git config --global --add safe.directory {directory}`"
        raise _GitError(line)
    raise _GitError(f"git {arguments[0]} failed: {line}; run it by hand")
