"""Where what can be made again is kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Return `ASSAY_CACHE`, or the folder that this system has for a user's caches."""
    return Path(os.environ.get("ASSAY_CACHE") or platformdirs.user_cache_dir("assay"))
