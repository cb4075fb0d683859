from __future__ import annotations

import dataclasses
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from backends.cpu import BACKEND, CpuBackend
from harness.errors import AssayError

RECORDED = Path(__file__).parents[1] / "recorded"
EPYC = CpuBackend(RECORDED / "epyc-9654", "x86_64")
XEON = CpuBackend(RECORDED / "xeon-8480", "x86_64")
OLD_XEON = CpuBackend(RECORDED / "xeon-e5-kvm", "x86_64")

needs_x86 = pytest.mark.skipif(
    BACKEND.unavailable() is not None, reason=f"backend cpu: {BACKEND.unavailable()}"
)


@pytest.mark.parametrize("backend", [EPYC, XEON, OLD_XEON])
def test_x86_machines_have_it(backend: CpuBackend) -> None:
    assert backend.unavailable() is None


def test_features_are_those_of_the_processor() -> None:
    base = {"host", "fp64", "fp32", "sparse"}
    assert OLD_XEON.features() == base | {"avx2", "fma"}
    wide = base | {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "bf16"}
    assert EPYC.features() == wide
    assert XEON.features() == wide | {"avx512_fp16", "fp16", "amx_bf16", "amx_int8"}


def test_an_arm_machine_is_sent_to_its_backend() -> None:
    reason = CpuBackend(RECORDED / "graviton3", "aarch64").unavailable()
    assert reason == "needs x86_64, but this machine is aarch64; use backend 'arm'"


def test_a_machine_of_neither_kind_is_told_so(tmp_path: Path) -> None:
    reason = CpuBackend(tmp_path, "riscv64").unavailable()
    assert reason is not None
    assert "riscv64; there is no backend for it yet" in reason


def test_a_translated_processor_is_no_x86_processor(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor : 0\nvendor_id : VirtualApple\nmodel name : VirtualApple @ 2.50GHz\n"
    )
    reason = CpuBackend(tmp_path, "x86_64").unavailable()
    assert reason is not None
    assert "translated" in reason
    assert "VirtualApple" in reason


@pytest.mark.parametrize("index", [1, -1])
def test_there_is_one_device_only(index: int) -> None:
    with pytest.raises(AssayError, match=f"no device {index}; its only device is 0"):
        EPYC.open(index)


def test_an_unavailable_backend_does_not_open() -> None:
    with pytest.raises(AssayError, match="use backend 'arm'"):
        CpuBackend(RECORDED / "grace", "aarch64").open(0)


def test_the_device_measures_time_memory_and_energy_of_its_root() -> None:
    device = EPYC.open(0)
    assert (device.name, device.index) == ("cpu", 0)
    meters = device.meters()
    assert [meter.quantity for meter in meters] == ["time", "peak_memory", "energy"]
    # The recorded tree has no powercap, whatever this machine has.
    assert meters[2].unavailable() is not None
    assert device.environment()["model"] == "AMD EPYC 9654 96-Core Processor"


def test_records_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EPYC.machine = "aarch64"  # type: ignore[misc]


@needs_x86
def test_this_machine_opens_and_runs_torch() -> None:
    torch = pytest.importorskip("torch")
    device = BACKEND.open(0)
    assert device.torch_device() == torch.device("cpu")
    device.synchronize()
    device.end_step()
    target = device.environment()["torch"]
    assert target["capability"] == torch.backends.cpu.get_cpu_capability()


@needs_x86
def test_what_numba_compiles_for_is_told_once_it_is_loaded() -> None:
    import numba  # noqa: F401

    target = BACKEND.open(0).environment()["numba"]
    assert target["cpu"]
    assert ("avx2" in target["features"]) == ("avx2" in BACKEND.features())


@pytest.mark.parametrize("name", ["cpu", "arm", "cuda"])
def test_planning_loads_neither_torch_nor_numba(name: str) -> None:
    script = (
        f"import sys; from backends.{name} import BACKEND as b; b.unavailable(); b.features(); "
        "print(sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_exactly_one_host_backend_is_for_this_machine() -> None:
    from backends.arm import BACKEND as ARM

    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip(f"no host backend measures {platform.machine()}")
    assert (BACKEND.unavailable() is None) != (ARM.unavailable() is None)
