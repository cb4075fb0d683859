"""Gives everything that a page can link to a name of its own that is safe in a path."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

from dashboards.asv_names import safe_name

_DIGITS = 20  # of a digest; 80 bits, so that nobody finds two texts with one digest


def digest(*parts: object) -> str:
    """Return 20 hexadecimal digits, equal for equal parts."""
    canonical = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a file name, without its ending, for each name; no two names share one.

    Six digits of a digest, with which `safe_name` tells names apart, can be hit on purpose, and
    some file systems take `a` for `A`: names that would meet get all digits, and a sign that no
    other name has.
    """
    safe = {name: safe_name(name) for name in sorted(set(names))}
    times = Counter(one.lower() for one in safe.values())
    return {
        name: one if times[one.lower()] == 1 else f"~{_whole_digest(name)}"
        for name, one in safe.items()
    }


def _whole_digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
