"""Keeps the run ledger: a git repository with one commit for each set of software that measured.

A torch or driver bump so has a place of its own on the axis of commits. The ledger is made of the
stored results and nothing else: the same results give the same commits, byte for byte, in
whatever order they came together; a later night adds commits at the end.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dashboards.ledger_lock import COMMIT, Facts, digest, document, lock_of, subject
from harness.case_run import CaseRun
from harness.checkout import run_git
from harness.errors import AssayError
from harness.sighting import unplaced

LOCK_FILE = "lock.json"
BRANCH = "main"

_MARKER = "assay.ledger"
_AUTHOR = "Assay ledger <ledger@assay.invalid>"
_TIMEOUT_S = 60.0
# How many locks before it one is held against, to say what is new. A fleet has fewer kinds of
# machine, and the time to build a long ledger stays linear.
_LOOK_BACK = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the ledger.

    Attributes:
        commit: its hash, 40 hexadecimal digits.
        time_s: its date, Unix time in whole seconds; each entry is later than the one before.
        digest: of the lock, 64 hexadecimal digits.
        facts: the lock.
        subject: what changed, in a line.
    """

    commit: str
    time_s: int
    digest: str
    facts: Facts
    subject: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The repository and what it holds.

    Attributes:
        folder: its working tree.
        entries: its commits, the oldest first.
        places: which entry each run's cases of each backend belong to.
    """

    folder: Path
    entries: tuple[Entry, ...]
    places: Mapping[tuple[str, str], Entry]


def write_ledger(cases: Iterable[CaseRun], folder: Path) -> Ledger:
    """Write the ledger of all stored results, replacing what an earlier call wrote there.

    Entries are in order of their first measurement, which is their date; where two are within a
    second the later one is dated a second after. Results without a clean, known commit have none.

    Args:
        cases: the stored cases of all runs, in any order.
        folder: new, empty, or written by an earlier call.

    Raises:
        AssayError: no case has a place on the ledger, or the folder is another repository, holds
            something else, or cannot be written.
    """
    locks, first_s = _locks(cases)
    if not locks:
        raise AssayError("no result of a clean commit to lock; commit, then `assay run`")
    order = sorted(first_s, key=lambda name: (first_s[name], name))
    facts = {digest(lock): lock for lock in locks.values()}
    entries: list[Entry] = []
    for number, name in enumerate(order):
        time_s = int(first_s[name])
        if entries:
            time_s = max(time_s, entries[-1].time_s + 1)
        earlier = [facts[other] for other in order[max(0, number - _LOOK_BACK) : number]]
        entries.append(Entry("", time_s, name, facts[name], subject(facts[name], earlier)))
    _prepare(folder)
    hashes = _import(folder, entries)
    entries = [replace(one, commit=commit) for one, commit in zip(entries, hashes, strict=True)]
    by_digest = {entry.digest: entry for entry in entries}
    places = {place: by_digest[digest(lock)] for place, lock in locks.items()}
    return Ledger(folder, tuple(entries), places)


def on_ledger(cases: Iterable[CaseRun], ledger: Ledger) -> list[CaseRun]:
    """Return the cases as if they had been measured at the ledger's commits.

    Their environment gets the entry's `commit` and `commit_time`, the `lock`'s digest and the
    `source_commit` that really was measured. Its `id` then differs with any part of the lock but
    the commit, so that what a driver did is the environment's doing. A case without a place on the
    ledger is returned as it is: what leaves it out elsewhere says why.
    """
    software = {entry.digest: _software(entry.facts) for entry in ledger.entries}
    moved = []
    for one in cases:
        entry = ledger.places.get((one.run, one.case.backend))
        moved.append(one if entry is None else _moved(one, entry, software[entry.digest]))
    return moved


def _locks(
    cases: Iterable[CaseRun],
) -> tuple[dict[tuple[str, str], Facts], dict[str, float]]:
    """Return the lock of each run and backend, and when each lock was first measured."""
    together: dict[tuple[str, str], list[CaseRun]] = {}
    for one in cases:
        if unplaced(one) is None:
            together.setdefault((one.run, one.case.backend), []).append(one)
    locks: dict[tuple[str, str], Facts] = {}
    first_s: dict[str, float] = {}
    for place, group in together.items():
        results = [result for one in group for result in one.results]
        locks[place] = lock_of(result.environment for result in results)
        start_s = min(result.started_at for result in results)
        name = digest(locks[place])
        first_s[name] = min(start_s, first_s.get(name, start_s))
    return locks, first_s


def _software(facts: Facts) -> str:
    """Return a digest of all of the lock but the commit."""
    return digest({name: value for name, value in facts.items() if name != COMMIT})


def _moved(one: CaseRun, entry: Entry, software: str) -> CaseRun:
    results = []
    for result in one.results:
        environment = result.environment
        known = json.dumps([environment.get("id"), software])
        moved = {
            "commit": entry.commit,
            "commit_time": entry.time_s,
            "source_commit": environment.get("commit"),
            "lock": entry.digest,
            "id": hashlib.sha256(known.encode()).hexdigest()[:12],
        }
        results.append(replace(result, environment={**environment, **moved}))
    return replace(one, results=tuple(results))


def _prepare(folder: Path) -> None:
    """Make an empty ledger, or see that the folder is one.

    Raises:
        AssayError: it is something else.
    """
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            folder.mkdir(parents=True, exist_ok=True)
            _git(folder, "init", "--quiet", "--object-format=sha1", f"--initial-branch={BRANCH}")
            _own_git(folder, "config", _MARKER, "true")
            return
        ours = (folder / ".git").is_dir() and _is_marked(folder)
    except OSError as error:
        raise AssayError(
            f"cannot write the ledger {folder}: {error.strerror}; choose another with --ledger"
        ) from error
    if not ours:
        raise AssayError(
            f"{folder} is no ledger of Assay's, and would be overwritten; name an empty folder"
        )


def _is_marked(folder: Path) -> bool:
    done = run_git(
        folder, "--git-dir=.git", "config", "--local", "--get", _MARKER, timeout_s=_TIMEOUT_S
    )
    return done.stdout.strip() == b"true"


def _import(folder: Path, entries: Sequence[Entry]) -> list[str]:
    """Make the branch anew and check it out; return the commits' hashes, the oldest first."""
    _own_git(folder, "fast-import", "--quiet", "--force", stdin=_stream(entries))
    _own_git(folder, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    _own_git(folder, "reset", "--quiet", "--hard")
    return _own_git(folder, "rev-list", "--reverse", BRANCH).split()


def _stream(entries: Sequence[Entry]) -> bytes:
    """Return the entries in the format of git-fast-import(1)."""
    # A reset without a start forgets what the branch was.
    parts = [f"reset refs/heads/{BRANCH}\n\n".encode()]
    for mark, entry in enumerate(entries, start=1):
        message = f"{entry.subject}\n\nLock: {entry.digest}\n".encode()
        lock = document(entry.facts).encode()
        parts += [
            f"commit refs/heads/{BRANCH}\nmark :{mark}\n".encode(),
            f"author {_AUTHOR} {entry.time_s} +0000\n".encode(),
            f"committer {_AUTHOR} {entry.time_s} +0000\n".encode(),
            b"data %d\n%s" % (len(message), message),
            f"M 100644 inline {LOCK_FILE}\ndata {len(lock)}\n".encode(),
            lock,
            b"\n",
        ]
    return b"".join(parts)


def _own_git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    # Named outright, so that git never looks for a repository in the folders above.
    return _git(folder, "--git-dir=.git", "--work-tree=.", *arguments, stdin=stdin)


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    try:
        done = run_git(folder, *arguments, timeout_s=_TIMEOUT_S, stdin=stdin)
    except FileNotFoundError as error:
        raise AssayError("git does not start; install git to keep a ledger") from error
    except subprocess.TimeoutExpired as error:
        raise _unwritten(folder, f"git took over {_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise _unwritten(folder, _line(done.stderr))
    return done.stdout.decode()


def _unwritten(folder: Path, why: str) -> AssayError:
    return AssayError(
        f"git cannot write the ledger {folder}: {why}; remove the folder, it is made anew"
    )


def _line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else "it does not say why"
