from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backends.cuda import BACKEND
from harness.errors import AssayError

NO_GPU = BACKEND.unavailable()
needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(NO_GPU is not None, reason=f"backend cuda: {NO_GPU}"),
]


def gpu_test(function: Callable[..., None]) -> Callable[..., None]:
    for mark in needs_gpu:
        function = mark(function)
    return function


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a compiled stand-in for the driver's library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the stand-in for libnvidia-ml.so.1")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("fake_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return folder


@pytest.fixture(scope="session")
def torch_builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `cuda` and `cpu`, each with a torch that fails when it is imported."""
    root = tmp_path_factory.mktemp("torch_builds")
    for build, version in (("cuda", "'12.8'"), ("cpu", "None")):
        (root / build / "torch").mkdir(parents=True)
        (root / build / "torch/__init__.py").write_text("raise RuntimeError('imported')\n")
        text = f"from typing import Optional\ncuda: Optional[str] = {version}\n"
        (root / build / "torch/version.py").write_text(text)
    return root


@pytest.fixture
def ask(driver: Path, torch_builds: Path) -> Callable[..., Any]:
    """Evaluate an expression in a fresh process that has the stand-in for a driver."""

    def asked(expression: str, torch_build: str = "cuda", **settings: str) -> Any:
        script = (
            "import ctypes, json, pynvml\n"
            "from backends.cuda import *\n"
            "from harness.meters.cuda import *\n"
            "from types import SimpleNamespace\n"
            f"answer = {expression}\n"
            "sessions = ctypes.CDLL('libnvidia-ml.so.1').fake_open_sessions()\n"
            "print(json.dumps([answer, sessions]))\n"
        )
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("CUDA_")
        }
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=inherited
            | {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(torch_builds / torch_build)}
            | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer, sessions = json.loads(done.stdout)
        assert sessions == 0, "every nvmlInit needs its nvmlShutdown"
        return answer

    return asked


@pytest.mark.skipif(NO_GPU is None, reason="this machine has a GPU")
def test_without_a_gpu_the_reason_is_one_line_with_the_fix() -> None:
    assert NO_GPU is not None
    assert "\n" not in NO_GPU
    assert ";" in NO_GPU
    with pytest.raises(AssayError, match="backend 'cuda': "):
        BACKEND.open(0)


def test_a_machine_without_the_library_says_so(tmp_path: Path) -> None:
    script = (
        "import pynvml, ctypes\n"
        "def missing(name): raise OSError(name)\n"
        "pynvml.CDLL = missing\n"
        "from backends.cuda import BACKEND; print(BACKEND.unavailable(), BACKEND.features())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "libnvidia-ml.so.1" in done.stdout
    assert "install the NVIDIA driver" in done.stdout
    assert "frozenset()" in done.stdout


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, "driver is not loaded"),
        (18, "differ in version; restart"),
        (4, "/dev/nvidia"),
        (999, "Unknown Error; check `nvidia-smi`"),
    ],
)
def test_a_driver_that_fails_says_how(ask: Callable[..., Any], code: int, reason: str) -> None:
    assert reason in ask("BACKEND.unavailable()", FAKE_NVML_INIT=str(code), FAKE_NVML_GPUS="9.0")
    assert ask("sorted(BACKEND.features())", FAKE_NVML_INIT=str(code)) == []


def test_a_driver_without_gpus_says_so(ask: Callable[..., Any]) -> None:
    assert "finds no GPU" in ask("BACKEND.unavailable()")
    assert ask("sorted(BACKEND.features())") == []


def test_a_gpu_and_a_cuda_build_of_torch_are_enough(ask: Callable[..., Any]) -> None:
    assert ask("BACKEND.unavailable()", FAKE_NVML_GPUS="9.0") is None


def test_a_torch_without_cuda_is_told_before_it_is_imported(ask: Callable[..., Any]) -> None:
    reason = ask("BACKEND.unavailable()", torch_build="cpu", FAKE_NVML_GPUS="9.0")
    assert "built without CUDA; install a CUDA build" in reason


def test_a_missing_torch_is_told(ask: Callable[..., Any], tmp_path: Path) -> None:
    hide = "__import__('sys').modules.__setitem__('torch', None)"
    reason = ask(f"({hide}, BACKEND.unavailable())[1]", FAKE_NVML_GPUS="9.0")
    assert "torch is not installed" in reason


@pytest.mark.parametrize(
    ("capability", "more"),
    [
        ("5.2", set()),
        ("7.0", {"fp16"}),
        ("8.0", {"fp16", "bf16"}),
        ("8.9", {"fp16", "bf16", "fp8"}),
        ("9.0", {"fp16", "bf16", "fp8"}),
        ("12.0", {"fp16", "bf16", "fp8"}),
    ],
)
def test_features_follow_the_compute_capability(
    ask: Callable[..., Any], capability: str, more: set[str]
) -> None:
    found = ask("sorted(BACKEND.features())", FAKE_NVML_GPUS=capability)
    assert set(found) == {"fp64", "fp32", "sparse", "graphs"} | more


@pytest.mark.parametrize(
    ("visible", "order", "fp8"),
    [
        ("0,1", "", False),
        ("GPU-00000000", "", True),
        ("GPU-00000001", "", False),
        # Without an order, CUDA's 0 may be any GPU.
        ("0", "", False),
        ("0", "PCI_BUS_ID", True),
        ("1", "PCI_BUS_ID", False),
        # What follows an unknown entry is not visible.
        ("0,7,1", "PCI_BUS_ID", True),
    ],
)
def test_features_are_those_that_every_visible_gpu_has(
    ask: Callable[..., Any], visible: str, order: str, fp8: bool
) -> None:
    settings = {"FAKE_NVML_GPUS": "9.0,8.0", "CUDA_VISIBLE_DEVICES": visible}
    if order:
        settings["CUDA_DEVICE_ORDER"] = order
    assert ("fp8" in ask("sorted(BACKEND.features())", **settings)) == fp8


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-0", "GPU-9", "none", "-1,0"])
def test_gpus_that_are_hidden_are_not_there(ask: Callable[..., Any], visible: str) -> None:
    settings = {"FAKE_NVML_GPUS": "9.0,8.0", "CUDA_VISIBLE_DEVICES": visible}
    assert "hides every GPU; unset it" in ask("BACKEND.unavailable()", **settings)
    assert ask("sorted(BACKEND.features())", **settings) == []


def test_torchs_device_is_found_by_uuid_and_else_by_its_address(ask: Callable[..., Any]) -> None:
    place = "pci_domain_id=0, pci_bus_id=1, pci_device_id=0"
    gpus = {"FAKE_NVML_GPUS": "9.0,8.0"}
    assert ask(f"uuid_of(SimpleNamespace(uuid='00000000', {place}))", **gpus) == "GPU-00000000"
    assert ask(f"uuid_of(SimpleNamespace(uuid='99999999', {place}))", **gpus) == "GPU-00000001"
    assert ask("uuid_of(SimpleNamespace(uuid='99999999'))", **gpus) is None


def test_facts_are_read_and_none_where_they_cannot_be(ask: Callable[..., Any]) -> None:
    assert ask("gpu_facts('GPU-00000000')", FAKE_NVML_GPUS="9.0") == {
        "driver": "550.54.15",
        "cuda_driver": "12.4",
        "name": "Fake GPU 0",
        "compute_capability": "9.0",
        "memory_bytes": None,
        "power_limit_w": 700.0,
        "clocks_hz": {"sm": 1.98e9, "sm_max": None, "memory": None, "memory_max": None},
        "ecc": None,
        "partitioned": False,
    }
    assert set(ask("gpu_facts('GPU-00000000')", FAKE_NVML_INIT="9").values()) == {None}
    nameless = ask("gpu_facts(None)", FAKE_NVML_GPUS="9.0")
    assert (nameless["driver"], nameless["name"]) == ("550.54.15", None)


ENERGY = "NvmlEnergy('GPU-00000000')"
WINDOW = f"(lambda meter: meter.stop(meter.start()))({ENERGY})"


def test_energy_is_the_counters_difference_in_joules(ask: Callable[..., Any]) -> None:
    settings = {"FAKE_NVML_GPUS": "9.0", "FAKE_NVML_ENERGY": "2500"}
    assert ask(f"{ENERGY}.unavailable()", **settings) is None
    assert ask(WINDOW, **settings) == 2.5


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"FAKE_NVML_ENERGY": "none"}, "no energy counter"),
        ({"FAKE_NVML_ENERGY": "1", "FAKE_NVML_MIG": "1"}, "partitioned (MIG)"),
        ({"FAKE_NVML_INIT": "9"}, "check `nvidia-smi"),
        ({"FAKE_NVML_GPUS": ""}, "check `nvidia-smi"),
    ],
)
def test_energy_that_cannot_be_read_is_unavailable(
    ask: Callable[..., Any], settings: dict[str, str], reason: str
) -> None:
    assert reason in ask(f"{ENERGY}.unavailable()", **({"FAKE_NVML_GPUS": "9.0"} | settings))


def test_a_gpu_that_is_not_known_has_no_energy(ask: Callable[..., Any]) -> None:
    assert "update the NVIDIA driver" in ask("NvmlEnergy(None).unavailable()")


@pytest.mark.parametrize("energy", ["0", "none"])
def test_a_counter_that_stands_still_or_fails_gives_no_number(
    ask: Callable[..., Any], energy: str
) -> None:
    with pytest.raises(AssertionError, match=r"harness\.protocols\.MeterError: "):
        ask(WINDOW, FAKE_NVML_GPUS="9.0", FAKE_NVML_ENERGY=energy)


def test_memory_is_unavailable_where_torch_keeps_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.meters.cuda import DeviceMemory

    monkeypatch.delenv("PYTORCH_NO_CUDA_MEMORY_CACHING", raising=False)
    assert DeviceMemory(0).unavailable() is None
    monkeypatch.setenv("PYTORCH_NO_CUDA_MEMORY_CACHING", "1")
    assert "unset it" in (DeviceMemory(0).unavailable() or "")


def spin(work: int) -> SimpleNamespace:
    """Matrix products on the GPU that take some tens of ms at `work` 1, and a place to sync."""
    import torch

    device = BACKEND.open(0)
    A = torch.full((4096, 4096), 1e-4, device=device.torch_device())

    def run() -> Any:
        result = A
        for _ in range(20 * work):
            result = A @ result
        return result

    run()
    device.synchronize()
    return SimpleNamespace(device=device, run=run)


@gpu_test
def test_synchronize_waits_for_the_work() -> None:
    import torch

    job = spin(4)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    job.run()
    done.record()
    assert not done.query(), "the work must still run when the call returns"
    job.device.synchronize()
    assert done.query()


@gpu_test
def test_twice_the_work_takes_about_twice_the_time() -> None:
    medians = []
    for work in (2, 4):
        job = spin(work)
        clock = job.device.meters()[0]
        times = []
        for _ in range(5):
            job.device.synchronize()
            token = clock.start()
            job.run()
            job.device.synchronize()
            times.append(clock.stop(token))
        medians.append(sorted(times)[2])
    assert 1.5 < medians[1] / medians[0] < 2.7


@gpu_test
def test_the_memory_meter_sees_an_allocation_that_is_gone_again() -> None:
    import torch

    device = BACKEND.open(0)
    meter = device.meters()[1]
    kept = torch.zeros(1 << 20, dtype=torch.uint8, device=device.torch_device())
    token = meter.start()
    base = torch.cuda.memory_allocated(0)
    torch.zeros(64 << 20, dtype=torch.uint8, device=device.torch_device())
    assert meter.stop(token) == base + (64 << 20)
    assert meter.stop(meter.start()) == base
    assert kept.numel() == 1 << 20


@gpu_test
def test_the_energy_counter_rises_under_load() -> None:
    import time

    job = spin(1)
    meter = job.device.meters()[2]
    reason = meter.unavailable()
    if reason is not None:
        pytest.skip(reason)
    token, end = meter.start(), time.monotonic() + 1.0
    while time.monotonic() < end:
        job.run()
        job.device.synchronize()
    # No GPU with a counter idles under 5 W or takes more than 2 kW.
    assert 5.0 < meter.stop(token) < 4000.0


@gpu_test
def test_the_device_is_known_to_the_driver() -> None:
    facts = BACKEND.open(0).environment()
    assert facts["uuid"]
    for name in ("name", "driver", "cuda_driver", "cuda_torch", "compute_capability"):
        assert isinstance(facts[name], str)


@gpu_test
def test_a_device_that_is_not_there_does_not_open() -> None:
    with pytest.raises(AssayError, match="has no device 99"):
        BACKEND.open(99)
