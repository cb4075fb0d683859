"""The host's processor as a device; what the `cpu` and `arm` backends share."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends._host_canary import CANARY_VERSION, host_canary
from harness.errors import AssayError
from harness.host import AARCH64, HOST, X86_64, CpuInfo
from harness.meters.host_memory import HostMemory
from harness.meters.rapl import RaplEnergy
from harness.meters.wall_clock import WallClock
from harness.protocols import Meter
from harness.records import Ceiling, Facts

EVERY_HOST = frozenset({"host", "fp64", "fp32", "sparse"})
"""Host code as such ("host"), and what NumPy, SciPy, numba and torch do on any 64-bit processor."""


def no_such_host(cpu: CpuInfo, architecture: str) -> str | None:
    """Return why `cpu` does not execute `architecture`, with the fix; None where it does."""
    if cpu.architecture != architecture:
        other = _BACKENDS.get(cpu.architecture)
        fix = f"use backend {other!r}" if other else "there is no backend for it yet"
        return f"needs {architecture}, but this machine is {cpu.architecture}; {fix}"
    if cpu.translated:
        return (
            f"{architecture} code is translated here, not executed: {cpu.translated}; "
            f"run on a real {architecture} machine, or natively on this one"
        )
    return None


def host_features(cpu: CpuInfo, words: Mapping[str, str]) -> frozenset[str]:
    """Return what variants may require: `words` maps the kernel's word to the feature's name."""
    return EVERY_HOST | {feature for word, feature in words.items() if word in cpu.features}


def open_host(backend: str, reason: str | None, index: int, cpu: CpuInfo, root: Path) -> HostDevice:
    """Return the one device of a host backend that is unavailable for `reason`, if any.

    Raises:
        AssayError: the backend is unavailable, or `index` is not 0.
    """
    if reason is not None:
        raise AssayError(f"backend {backend!r}: {reason}")
    if index != 0:
        raise AssayError(f"backend {backend!r} has no device {index}; its only device is 0")
    return HostDevice(backend, cpu, root)


@dataclass(frozen=True, slots=True)
class HostDevice:
    """All processors of this machine as one device.

    Attributes:
        name: the backend's name.
        cpu: what is known of the processor.
        root: the folder that holds `proc` and `sys`, for the meters.
    """

    name: str
    cpu: CpuInfo
    root: Path = HOST
    index: int = field(default=0, init=False)

    def torch_device(self) -> Any:
        """Return `torch.device("cpu")`."""
        import torch

        return torch.device("cpu")

    def synchronize(self) -> None:
        """Do nothing: a call returns when its work is done."""

    def end_step(self) -> None:
        """Do nothing: no work is collected."""

    def meters(self) -> Sequence[Meter]:
        """Return wall time, peak memory of the process tree, and energy of the packages."""
        return (WallClock(), HostMemory(self.root), RaplEnergy(self.root))

    def ceilings(self) -> Sequence[Ceiling]:
        """Return rates of memory per size and of arithmetic per dtype, with all threads."""
        # numba is loaded here, in the probe, and never by planning.
        from backends._host_ceilings import host_ceilings

        return host_ceilings(self.cpu, self.root)

    @property
    def canary_name(self) -> str:
        """Return the kernel's name with its version."""
        return f"host-{CANARY_VERSION}"

    def canary(self) -> Sequence[float]:
        """Return the times of a fixed kernel of one thread, s; see `host_canary`."""
        return host_canary()

    def environment(self) -> Facts:
        """Return the kinds of core, and which of its features the loaded libraries use.

        Returns:
            "model"; "core_names": logical processors by kind of core; "torch": the instruction set
            of torch's own kernels; "numba": the processor and its features as numba's compiler
            takes them. The last two are None where the library is not loaded.
        """
        return {
            "model": self.cpu.model,
            "core_names": dict(self.cpu.core_names),
            "torch": _torch_target(),
            "numba": _numba_target(),
        }


_BACKENDS = {X86_64: "cpu", AARCH64: "arm"}


def _torch_target() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.is_available(),
        "mkl": torch.backends.mkl.is_available(),
    }


def _numba_target() -> dict[str, Any] | None:
    # numba loads llvmlite, whose answer is what numba compiles for unless NUMBA_CPU_* says else.
    binding = sys.modules.get("llvmlite.binding")
    numba = sys.modules.get("numba")
    if binding is None or numba is None:
        return None
    features = binding.get_host_cpu_features()
    return {
        "cpu": numba.config.CPU_NAME or binding.get_host_cpu_name(),
        "features": sorted(name for name, present in features.items() if present),
        "features_asked": numba.config.CPU_FEATURES,
    }
