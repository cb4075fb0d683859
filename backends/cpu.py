"""The `cpu` backend: x86-64 processors."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path

from backends._host_device import HostDevice, host_features, no_such_host, open_host
from harness.host import HOST, X86_64, CpuInfo, read_cpu


@dataclass(frozen=True, slots=True)
class CpuBackend:
    """The x86-64 processors of this machine.

    Attributes:
        root: the folder that holds `proc` and `sys`.
        machine: what `uname -m` says.
    """

    root: Path = HOST
    machine: str = field(default_factory=platform.machine)
    name: str = field(default="cpu", init=False)

    def unavailable(self) -> str | None:
        """Return why this machine does not execute x86-64, with the fix; None where it does."""
        return no_such_host(self._cpu(), X86_64)

    def features(self) -> frozenset[str]:
        """Return what every host does, and the instruction sets of `_FEATURES` found here."""
        found = host_features(self._cpu(), _FEATURES)
        if found & {"avx512_bf16", "amx_bf16"}:
            found |= {"bf16"}
        return found | {"fp16"} if "avx512_fp16" in found else found

    def open(self, index: int) -> HostDevice:
        """Open the device.

        Raises:
            AssayError: this is no x86-64 machine, or `index` is not 0.
        """
        return open_host(self.name, self.unavailable(), index, self._cpu(), self.root)

    def _cpu(self) -> CpuInfo:
        return read_cpu(self.root, self.machine)


# Words of the flags line (Linux, arch/x86/include/asm/cpufeatures.h).
_FEATURES = {
    word: word
    for word in (
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_bf16",
        "amx_int8",
    )
}

BACKEND = CpuBackend()
