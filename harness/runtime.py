"""Looks at the libraries that a worker has loaded: their threads, BLAS and memory allocator."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.host import HOST, read_text


def runtime_environment(root: Path = HOST) -> dict[str, Any]:
    """Return facts about this process, as JSON values; a library that is not loaded is None.

    Nothing is imported, so it belongs after the implementation was. `threads` is the most that a
    loaded library uses, None where none of those that tell is loaded.

    Args:
        root: the folder that holds `proc`.
    """
    torch, numba = _torch(), _numba()
    counts = [library["threads"] for library in (torch, numba) if library is not None]
    return {
        "threads": max(counts, default=None),
        "affinity": sorted(os.sched_getaffinity(0)),
        "variables": _variables(_SPEED_VARIABLES),
        "allocator": {"library": _allocator(root), "variables": _variables(_ALLOCATOR_VARIABLES)},
        "torch": torch,
        "numba": numba,
        "numpy": _numpy(),
    }


def recorded_variables() -> dict[str, str]:
    """Return the variables of this process that change how fast its libraries are."""
    return _variables(_SPEED_VARIABLES + _ALLOCATOR_VARIABLES)


def torch_build(text: str) -> dict[str, str | None]:
    """Return what `torch.__config__.show()` says of the CPU libraries; None for what it does not.

    Returns:
        "blas": the build's BLAS ("mkl", "open", ...); "mkl", "onednn", "openmp": their versions;
        "cpu_capability": the instruction set its own kernels use here.
    """
    return {
        key: match[1] if (match := re.search(pattern, text)) else None
        for key, pattern in _TORCH_BUILD.items()
    }


_TORCH_BUILD = {
    "blas": r"\bBLAS_INFO=([^,\s]+)",
    "mkl": r"Math Kernel Library Version (\S+?)(?:-Product)?\s",
    "onednn": r"MKL-DNN v(\S+)",
    "openmp": r"- OpenMP (\S+)",
    "cpu_capability": r"CPU capability usage: (\S+)",
}

# Variables that change how fast the same code runs, by their prefixes: threads and the choice of
# instruction sets first, then memory allocators.
_SPEED_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "BLIS_",
    "DNNL_",
    "GOMP_",
    "GOTO_",
    "KMP_",
    "MKL_",
    "NUMBA_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
)
_ALLOCATOR_VARIABLES = (
    "GLIBC_TUNABLES",
    "JE_MALLOC_",
    "LD_PRELOAD",
    "MALLOC_",
    "MIMALLOC_",
    "PYTHONMALLOC",
    "PYTORCH_",
    "TCMALLOC_",
)

# Libraries that replace the C library's malloc, by the names of their files.
_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def _variables(prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(prefixes)}


def _allocator(root: Path) -> str | None:
    """Return which allocator is mapped into this process, the C library's where no other is."""
    maps = read_text(root / "proc/self/maps")
    if maps is None:
        return None
    files = {line.rpartition("/")[2] for line in maps.splitlines() if "/" in line}
    return next((name for name in _ALLOCATORS if any(name in file for file in files)), "libc")


def _torch() -> dict[str, Any] | None:
    torch = _loaded("torch")
    if torch is None:
        return None
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        **torch_build(torch.__config__.show()),
    }


def _numba() -> dict[str, Any] | None:
    numba = _loaded("numba")
    if numba is None:
        return None
    try:
        layer = numba.threading_layer()
    except ValueError:
        # No parallel kernel has run yet, so none was chosen.
        layer = None
    return {
        "version": str(numba.__version__),
        "threads": numba.get_num_threads(),
        "threading_layer": layer,
        "threading_layer_asked": numba.config.THREADING_LAYER,
    }


def _numpy() -> dict[str, Any] | None:
    numpy = _loaded("numpy")
    if numpy is None:
        return None
    config: Mapping[str, Any] = numpy.show_config(mode="dicts") or {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "version": str(numpy.__version__),
        "blas": blas.get("name"),
        "blas_version": blas.get("version"),
        "blas_build": blas.get("openblas configuration"),
    }


def _loaded(name: str) -> ModuleType | None:
    return sys.modules.get(name)
