"""Digests of source, for what must not outlive an edit."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_SHARED = Path(__file__).parent


@lru_cache(maxsize=8)
def source_of(file: str) -> str:
    """Return a digest of all Python files in the folder of one, and of those beside this one."""
    digest = hashlib.sha256()
    for folder in sorted({Path(file).parent, _SHARED}):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
