"""Says what a measurement locks: the commit and all software that numbers depend on.

Machines' names and hardware are no part of it: two alike machines share a lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.environment import DEVICE_VERSIONS, MEASURING_PACKAGES

Facts = Mapping[str, str]
"""Values by name; what is not known is left out."""

COMMIT = "commit"

_HASH_DIGITS = 7
_SUBJECT_LENGTH = 72  # git's own tools cut or wrap longer ones

_PACKAGES = (*MEASURING_PACKAGES, "assay")
_HOST = (COMMIT, "python", "kernel")
_FIRMWARE = ("bios", "microcode")


def lock_of(environments: Iterable[Mapping[str, Any]]) -> Facts:
    """Return the lock of results that one run took on one backend.

    A case that failed tells nothing of the device, so the facts of all results count; where they
    differ, as when a driver was replaced before the run was resumed, each value is named.
    """
    found: dict[str, set[str]] = {}
    for environment in environments:
        for name, value in _facts(environment):
            if value is not None and value != "":
                found.setdefault(name, set()).add(str(value))
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}


def document(facts: Facts) -> str:
    """Return the lock as JSON text, the same for the same facts."""
    return json.dumps(dict(facts), indent=2, sort_keys=True) + "\n"


def digest(facts: Facts) -> str:
    """Return 64 hexadecimal digits, equal for equal locks."""
    return hashlib.sha256(document(facts).encode()).hexdigest()


def subject(facts: Facts, earlier: Sequence[Facts]) -> str:
    """Return a line such as "1f2e3d4 torch 2.13.0": the commit, and what else is new.

    Args:
        facts: the lock.
        earlier: locks before it, the latest last. It is held against the one that differs least,
            the latest of such: machines take turns, and each has a kernel of its own.
    """
    commit = facts.get(COMMIT, "")[:_HASH_DIGITS]
    if not earlier:
        return f"{commit} first lock"
    before = min(reversed(earlier), key=lambda other: len(_changed(other, facts)))
    words = [
        f"{name} {facts[name]}" if name in facts else f"no {name}"
        for name in _changed(before, facts)
        if name != COMMIT
    ]
    if before.get(COMMIT) != facts.get(COMMIT):
        words.insert(0, "code")
    line = "".join(c if c.isprintable() else "?" for c in f"{commit} {', '.join(words)}")
    return line if len(line) <= _SUBJECT_LENGTH else f"{line[: _SUBJECT_LENGTH - 1]}\u2026"


def _changed(before: Facts, after: Facts) -> list[str]:
    names = sorted({*before, *after})
    return [name for name in names if before.get(name) != after.get(name)]


def _facts(environment: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = (
        (environment, _HOST),
        (environment.get("packages"), _PACKAGES),
        (environment.get("firmware"), _FIRMWARE),
        (environment.get("device"), DEVICE_VERSIONS),
    )
    return [
        (name, part[name])
        for part, names in parts
        if isinstance(part, Mapping)
        for name in names
        if name in part
    ]
