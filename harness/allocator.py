"""The setting of glibc's allocator that a baseline deserves, for workloads' `worker_env`."""

from __future__ import annotations

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
