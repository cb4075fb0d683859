"""The `arm` backend: AArch64 processors."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path

from backends._host_device import HostDevice, host_features, no_such_host, open_host
from harness.host import AARCH64, HOST, CpuInfo, read_cpu


@dataclass(frozen=True, slots=True)
class ArmBackend:
    """The AArch64 processors of this machine.

    Attributes:
        root: the folder that holds `proc` and `sys`.
        machine: what `uname -m` says.
    """

    root: Path = HOST
    machine: str = field(default_factory=platform.machine)
    name: str = field(default="arm", init=False)

    def unavailable(self) -> str | None:
        """Return why this machine does not execute AArch64, with the fix; None where it does."""
        return no_such_host(self._cpu(), AARCH64)

    def features(self) -> frozenset[str]:
        """Return what every host does, and those of `_FEATURES` that every core has."""
        return host_features(self._cpu(), _FEATURES)

    def open(self, index: int) -> HostDevice:
        """Open the device.

        Raises:
            AssayError: this is no AArch64 machine, or `index` is not 0.
        """
        return open_host(self.name, self.unavailable(), index, self._cpu(), self.root)

    def _cpu(self) -> CpuInfo:
        return read_cpu(self.root, self.machine)


# Words of the Features line (Linux, Documentation/arch/arm64/elf_hwcaps.rst) and our names.
_FEATURES = {
    "asimd": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "bf16": "bf16",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
}

BACKEND = ArmBackend()
