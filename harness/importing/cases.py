"""What the readers of other tools' files yield; its names are bounded and fit to be stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.importing.document import Document
from harness.records import Params, Result, Scalar

DEFAULT_VARIANT = "default"
"""Of a benchmark that has no alternatives."""

VERSION = "1"
"""Other tools know no version of a benchmark: `--workload` names another suite."""

MAX_TEXT = 1000
"""Characters of a name or value: no table or page shows more."""

MAX_DEPTH = 8
"""What a test tells of its input is some numbers and names."""


@dataclass(frozen=True, slots=True)
class Found:
    """One process's result in a file.

    Attributes:
        identity: equal for the same measurement, whatever file tells of it, and in whatever form.
    """

    identity: str
    result: Result


def identity_of(*parts: Any) -> str:
    """Return 16 hexadecimal digits, equal for equal JSON values."""
    canonical = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def case_params(document: Document, params: Mapping[str, Scalar]) -> Params:
    """Return the parameters of a case as they are.

    Raises:
        AssayError: a name or value is longer than can be shown.
    """
    for name, value in params.items():
        if max(len(name), len(str(value))) > MAX_TEXT:
            raise document.refused(f"{name[:40]!r} is longer than {MAX_TEXT} characters")
    return dict(params)


def plain_facts(document: Document, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts as they are.

    Raises:
        AssayError: they nest too deeply.
    """
    if _nests(facts, MAX_DEPTH):
        raise document.refused(f"the facts of a benchmark nest over {MAX_DEPTH} levels")
    return dict(facts)


def _nests(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping | list) and (
        levels == 0 or any(_nests(one, levels - 1) for one in inner)
    )
