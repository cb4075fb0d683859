from __future__ import annotations

from pathlib import Path

import pytest

from backends.arm import BACKEND, ArmBackend
from harness.errors import AssayError

RECORDED = Path(__file__).parents[1] / "recorded"
BASE = {"host", "fp64", "fp32", "sparse", "neon"}


@pytest.mark.parametrize(
    ("machine", "features"),
    [
        ("graviton3", {"fp16", "dotprod", "bf16", "i8mm", "sve"}),
        ("grace", {"fp16", "dotprod", "bf16", "i8mm", "sve", "sve2"}),
        ("ampereone", {"fp16", "dotprod", "bf16", "i8mm"}),
        ("altra", {"fp16", "dotprod"}),
        ("raspberry-pi-5", {"fp16", "dotprod"}),
        ("rk3588", {"fp16", "dotprod"}),
        ("raspberry-pi-4", set()),
    ],
)
def test_arm_machines_have_it_with_their_features(machine: str, features: set[str]) -> None:
    backend = ArmBackend(RECORDED / machine, "aarch64")
    assert backend.unavailable() is None
    assert backend.features() == BASE | features


def test_the_same_machine_by_its_other_name_has_it() -> None:
    assert ArmBackend(RECORDED / "grace", "arm64").unavailable() is None


def test_an_x86_machine_is_sent_to_its_backend() -> None:
    reason = ArmBackend(RECORDED / "epyc-9654", "x86_64").unavailable()
    assert reason == "needs aarch64, but this machine is x86_64; use backend 'cpu'"


def test_an_emulated_arm_process_on_x86_is_not_taken_for_hardware() -> None:
    backend = ArmBackend(RECORDED / "epyc-9654", "aarch64")
    reason = backend.unavailable()
    assert reason is not None
    assert "translated here, not executed" in reason
    with pytest.raises(AssayError, match="translated here"):
        backend.open(0)


def test_the_device_names_its_cores_of_each_kind() -> None:
    device = ArmBackend(RECORDED / "rk3588", "aarch64").open(0)
    facts = device.environment()
    assert facts["core_names"] == {"Cortex-A55": 2, "Cortex-A76": 2}
    assert facts["model"] == "Cortex-A55 + Cortex-A76"


def test_there_is_one_device_only() -> None:
    with pytest.raises(AssayError, match="no device 1; its only device is 0"):
        ArmBackend(RECORDED / "grace", "aarch64").open(1)


@pytest.mark.skipif(
    BACKEND.unavailable() is not None, reason=f"backend arm: {BACKEND.unavailable()}"
)
def test_this_machine_opens_with_what_torch_and_numba_use() -> None:
    torch = pytest.importorskip("torch")
    import numba  # noqa: F401

    device = BACKEND.open(0)
    facts = device.environment()
    assert facts["core_names"]
    assert facts["torch"]["capability"] == torch.backends.cpu.get_cpu_capability()
    assert ("neon" in facts["numba"]["features"]) == ("neon" in BACKEND.features())
