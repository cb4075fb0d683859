from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.runtime import runtime_environment, torch_build

AARCH64_BUILD = """PyTorch built with:
  - GCC 11.4
  - C++ Version: 201703
  - Intel(R) MKL-DNN v3.7.1 (Git Hash 8d263e693366ef8db40acc569cc7d8edf644556d)
  - OpenMP 201511 (a.k.a. OpenMP 4.5)
  - LAPACK is enabled (usually provided by MKL)
  - NNPACK is enabled
  - CPU capability usage: SVE256
  - Build settings: BLAS_INFO=open, BUILD_TYPE=Release, LAPACK_INFO=open, USE_MKLDNN=ON,
"""


def in_a_worker(imports: str, **environ: str) -> dict[str, Any]:
    script = (
        f"import json\n{imports}\n"
        "from harness.runtime import runtime_environment\n"
        "print(json.dumps(runtime_environment()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_libraries_that_are_not_loaded_are_none() -> None:
    found = in_a_worker("")
    assert (found["torch"], found["numba"], found["numpy"], found["threads"]) == (None,) * 4
    assert found["affinity"] == sorted(os.sched_getaffinity(0))
    assert found["allocator"]["library"] == "libc"


def test_threads_and_blas_of_loaded_libraries_are_told() -> None:
    pytest.importorskip("torch")
    imports = "import torch, numba\ntorch.set_num_threads(1); torch.set_num_interop_threads(3)"
    found = in_a_worker(imports, NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="2")
    assert (found["torch"]["threads"], found["torch"]["interop_threads"]) == (1, 3)
    assert found["numba"]["threads"] == 2
    assert found["threads"] == 2
    assert found["torch"]["blas"]
    assert found["numpy"]["blas"]
    assert found["variables"]["OMP_NUM_THREADS"] == "2"


def test_the_threading_layer_is_that_of_a_kernel_that_ran() -> None:
    assert in_a_worker("import numba")["numba"]["threading_layer"] is None
    launch = (
        "import numba.np.ufunc.parallel as parallel\nparallel._launch_threads()\n"
        "import numba; numba.set_num_threads(1)"
    )
    found = in_a_worker(launch, NUMBA_THREADING_LAYER="workqueue")["numba"]
    assert found["threading_layer"] == "workqueue"
    assert found["threading_layer_asked"] == "workqueue"


def test_settings_of_the_allocator_are_kept(tmp_path: Path) -> None:
    found = in_a_worker(
        "", MALLOC_ARENA_MAX="2", PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True"
    )
    assert found["allocator"]["variables"]["MALLOC_ARENA_MAX"] == "2"
    assert found["allocator"]["variables"]["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


def test_an_allocator_that_is_mapped_is_named(tmp_path: Path) -> None:
    maps = tmp_path / "proc/self/maps"
    maps.parent.mkdir(parents=True)
    line = "7f0000000000-7f0000001000 r-xp 00000000 08:01 12 /usr/lib/{}\n"
    maps.write_text(line.format("libc.so.6") + line.format("libjemalloc.so.2"))
    assert runtime_environment(tmp_path)["allocator"]["library"] == "jemalloc"
    maps.write_text(line.format("libc.so.6"))
    assert runtime_environment(tmp_path)["allocator"]["library"] == "libc"
    maps.unlink()
    assert runtime_environment(tmp_path)["allocator"]["library"] is None


def test_an_arm_build_of_torch_is_read() -> None:
    assert torch_build(AARCH64_BUILD) == {
        "blas": "open",
        "mkl": None,
        "onednn": "3.7.1",
        "openmp": "201511",
        "cpu_capability": "SVE256",
    }


def test_an_unreadable_build_tells_nothing() -> None:
    assert set(torch_build("").values()) == {None}
