"""The setting of glibc's allocator that a baseline deserves, for workloads' `worker_env`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

KEEP_FREED_MEMORY: Mapping[str, str] = MappingProxyType(
    {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }
)
"""By default glibc hands every large array back to the kernel and faults it in again page by page,
each step: a cost of the default setting, not of the library that allocates in its steps."""


def keep_freed_memory() -> None:
    """Start this script again with the setting, where it lacks it: it is read at a start only."""
    if any(name not in os.environ for name in KEEP_FREED_MEMORY):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_FREED_MEMORY})
