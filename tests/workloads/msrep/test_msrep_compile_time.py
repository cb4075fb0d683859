"""Compiling is told apart from the first call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import workloads.msrep.numba_pcsr
from workloads.msrep.numba_parts import compile_s
print(compile_s())
"""


def compiled_s(cache: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def test_compiling_takes_time_once_and_none_from_the_cache(tmp_path: Path) -> None:
    assert compiled_s(tmp_path) > 0.05
    assert compiled_s(tmp_path) == 0.0
