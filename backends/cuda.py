"""The `cuda` backend: NVIDIA GPUs, through torch; what the parent asks goes through NVML alone."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml

from harness.errors import AssayError
from harness.meters.cuda import CudaEventClock, DeviceMemory, NvmlEnergy, is_partitioned, nvml
from harness.protocols import Meter
from harness.records import Ceiling, Facts


@dataclass(frozen=True, slots=True)
class CudaBackend:
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves visible."""

    name: str = field(default="cuda", init=False)

    def unavailable(self) -> str | None:
        """Return why no GPU can be used, with the fix; None where one can."""
        try:
            with nvml():
                count = pynvml.nvmlDeviceGetCount()
                visible = _visible(os.environ)
        except pynvml.NVMLError as error:
            return _why_no_driver(error)
        if count == 0:
            return "the NVIDIA driver finds no GPU; check `nvidia-smi` and the container's devices"
        if not visible:
            return (
                f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides every GPU; "
                "unset it or name one"
            )
        return _why_no_torch()

    def features(self) -> frozenset[str]:
        """Return what every visible GPU offers; empty where there is none.

        "fp64", "fp32", "sparse" and "graphs" everywhere, "fp16", "bf16" and "fp8" by the compute
        capability from which the hardware's matrix or vector units take them.
        """
        try:
            with nvml():
                found = [
                    pynvml.nvmlDeviceGetCudaComputeCapability(handle)
                    for handle in _visible(os.environ)
                ]
        except pynvml.NVMLError:
            return frozenset()
        if not found:
            return frozenset()
        return _EVERY_GPU | {name for name, least in _SINCE.items() if min(found) >= least}

    def open(self, index: int) -> CudaDevice:
        """Open the device of that index, as torch counts the visible ones.

        Raises:
            AssayError: no GPU can be used, or there is none of that index.
        """
        reason = self.unavailable()
        if reason is not None:
            raise AssayError(f"backend 'cuda': {reason}")
        import torch

        if not torch.cuda.is_available():
            raise AssayError(
                "backend 'cuda': torch cannot use the GPU; "
                '`python -c "import torch; torch.zeros(1).cuda()"` says why'
            )
        count = torch.cuda.device_count()
        if not 0 <= index < count:
            raise AssayError(f"backend 'cuda' has no device {index}; there are {count}, from 0")
        torch.cuda.set_device(index)
        return CudaDevice(index, uuid_of(torch.cuda.get_device_properties(index)))


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """One GPU, current in this process.

    Attributes:
        index: which it is, as torch counts.
        uuid: which it is, as the driver names it; None where that is not known.
    """

    index: int
    uuid: str | None
    name: str = field(default="cuda", init=False)

    def torch_device(self) -> Any:
        """Return `torch.device("cuda", index)`."""
        import torch

        return torch.device("cuda", self.index)

    def synchronize(self) -> None:
        """Wait until the work of every stream of the device is done."""
        import torch

        torch.cuda.synchronize(self.index)

    def end_step(self) -> None:
        """Do nothing: work is given to the device as it comes."""

    def meters(self) -> Sequence[Meter]:
        """Return time by events, peak memory by torch's allocator, energy by the driver."""
        return (CudaEventClock(self.index), DeviceMemory(self.index), NvmlEnergy(self.uuid))

    def ceilings(self) -> Sequence[Ceiling]:
        """Return rates of memory per size and of matrix products per dtype."""
        from backends._cuda_ceilings import cuda_ceilings

        return cuda_ceilings(self.index)

    @property
    def canary_name(self) -> str:
        """Return the kernel's name with its version."""
        from backends._cuda_ceilings import CANARY_VERSION

        return f"cuda-{CANARY_VERSION}"

    def canary(self) -> Sequence[float]:
        """Return the times of a fixed kernel, s; see `cuda_canary`."""
        from backends._cuda_ceilings import cuda_canary

        return cuda_canary(self.index)

    def environment(self) -> Facts:
        """Return facts about the GPU and its driver; None where they cannot be read.

        Returns:
            "name", "uuid", "driver", "cuda_driver", "cuda_torch" and "cudnn" versions,
            "compute_capability", "memory_bytes", "power_limit_w", "clocks_hz" (now and at most, of
            the multiprocessors and the memory), "ecc" and "partitioned".
        """
        import torch

        libraries = {
            "uuid": self.uuid,
            "cuda_torch": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
        return {**libraries, **gpu_facts(self.uuid)}


def gpu_facts(uuid: str | None) -> dict[str, Any]:
    """Return what NVML tells of a GPU, None where it does not; without torch."""
    try:
        with nvml():
            handle = None if uuid is None else _read(pynvml.nvmlDeviceGetHandleByUUID, uuid)
            return _driver_facts() | {
                name: None if handle is None else read(handle) for name, read in _FACTS.items()
            }
    except pynvml.NVMLError:
        return dict.fromkeys(("driver", "cuda_driver", *_FACTS))


def uuid_of(properties: Any) -> str | None:
    """Return the driver's name of the GPU that torch describes; None where it is not found.

    Args:
        properties: of `torch.cuda.get_device_properties`; the UUID tells, or else the PCI address.
    """
    try:
        with nvml():
            handle = _read(pynvml.nvmlDeviceGetHandleByUUID, f"GPU-{properties.uuid}")
            if handle is None:
                address = (
                    f"{properties.pci_domain_id:08x}:{properties.pci_bus_id:02x}"
                    f":{properties.pci_device_id:02x}.0"
                )
                handle = _read(pynvml.nvmlDeviceGetHandleByPciBusId, address)
            return None if handle is None else _read(pynvml.nvmlDeviceGetUUID, handle)
    except (pynvml.NVMLError, AttributeError):
        return None


_EVERY_GPU = frozenset({"fp64", "fp32", "sparse", "graphs"})
# Compute capabilities from which a type is native: CUDA C++ Programming Guide, section "Compute
# Capabilities", tables of arithmetic throughput and of tensor-core types.
_SINCE: Mapping[str, tuple[int, int]] = {"fp16": (5, 3), "bf16": (8, 0), "fp8": (8, 9)}


def _why_no_driver(error: Exception) -> str:
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return (
            "NVIDIA's management library (libnvidia-ml.so.1) is not here; install the NVIDIA "
            "driver, or start the container with the GPU"
        )
    if isinstance(error, pynvml.NVMLError_DriverNotLoaded):
        return "the NVIDIA driver is not loaded; `sudo modprobe nvidia`, or reinstall it"
    if isinstance(error, pynvml.NVMLError_LibRmVersionMismatch):
        return "the NVIDIA driver and its libraries differ in version; restart the machine"
    if isinstance(error, pynvml.NVMLError_NoPermission):
        return "no permission to use the NVIDIA driver; check the rights of /dev/nvidia*"
    return f"the NVIDIA driver fails: {error}; check `nvidia-smi`"


def _why_no_torch() -> str | None:
    """Return why the installed torch cannot use a GPU, without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "torch is not installed; install a CUDA build from https://pytorch.org/get-started"
    # A build says in version.py which CUDA it is for: `cuda: Optional[str] = None` means none.
    try:
        tree = ast.parse((Path(spec.origin).parent / "version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id="cuda"), value=ast.Constant(value=None)):
                return "torch is built without CUDA; install a CUDA build from https://pytorch.org"
            case ast.Assign(targets=[ast.Name(id="cuda")], value=ast.Constant(value=None)):
                return "torch is built without CUDA; install a CUDA build from https://pytorch.org"
    return None


def _visible(environ: Mapping[str, str]) -> list[Any]:
    """Return the handles of the GPUs that may be visible; NVML must be initialised.

    CUDA reads the variable from the left and stops at the first entry it does not know (CUDA C++
    Programming Guide, "CUDA Environment Variables"). Numbers count GPUs in CUDA's own order, which
    is NVML's only under CUDA_DEVICE_ORDER=PCI_BUS_ID: elsewhere a number may be any of the GPUs.
    """
    handles = [
        pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
    ]
    if "CUDA_VISIBLE_DEVICES" not in environ:
        return handles
    same_order = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(handles) == 1
    found: list[Any] = []
    for entry in environ["CUDA_VISIBLE_DEVICES"].split(","):
        meant = _meant(entry.strip(), handles, same_order)
        if not meant:
            break
        found += meant
    return found


def _meant(entry: str, handles: Sequence[Any], same_order: bool) -> Sequence[Any]:
    if entry.isascii() and entry.isdigit():
        if int(entry[:9]) >= len(handles):
            return ()
        return [handles[int(entry)]] if same_order else handles
    if entry.startswith("MIG-"):
        partition = _read(pynvml.nvmlDeviceGetHandleByUUID, entry)
        whole = partition and _read(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, partition)
        return [whole] if whole else ()
    if entry.startswith("GPU-"):
        matching = [
            h for h in handles if (_read(pynvml.nvmlDeviceGetUUID, h) or "").startswith(entry)
        ]
        return matching if len(matching) == 1 else ()
    return ()


def _read(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what an NVML function answers, None where it does not."""
    try:
        return function(*arguments)
    except pynvml.NVMLError:
        return None


def _driver_facts() -> dict[str, Any]:
    number = _read(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return {
        "driver": _read(pynvml.nvmlSystemGetDriverVersion),
        # 12040 stands for 12.4 (NVML API reference, nvmlSystemGetCudaDriverVersion).
        "cuda_driver": None if number is None else f"{number // 1000}.{number % 1000 // 10}",
    }


def _capability(handle: Any) -> str | None:
    found = _read(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return None if found is None else f"{found[0]}.{found[1]}"


def _memory_bytes(handle: Any) -> int | None:
    found = _read(pynvml.nvmlDeviceGetMemoryInfo, handle)
    return None if found is None else int(found.total)


def _power_limit_w(handle: Any) -> float | None:
    milliwatts = _read(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return None if milliwatts is None else milliwatts / 1e3


def _clocks_hz(handle: Any) -> dict[str, float | None]:
    def hertz(function: Callable[..., Any], kind: int) -> float | None:
        megahertz = _read(function, handle, kind)
        return None if megahertz is None else megahertz * 1e6

    return {
        "sm": hertz(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        "sm_max": hertz(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
        "memory": hertz(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
        "memory_max": hertz(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_MEM),
    }


def _ecc(handle: Any) -> bool | None:
    found = _read(pynvml.nvmlDeviceGetEccMode, handle)
    return None if found is None else bool(found[0])


_FACTS: Mapping[str, Callable[[Any], Any]] = {
    "name": lambda handle: _read(pynvml.nvmlDeviceGetName, handle),
    "compute_capability": _capability,
    "memory_bytes": _memory_bytes,
    "power_limit_w": _power_limit_w,
    "clocks_hz": _clocks_hz,
    "ecc": _ecc,
    "partitioned": is_partitioned,
}

BACKEND = CudaBackend()
