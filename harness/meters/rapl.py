"""Energy of the processor packages, by the RAPL counters that Linux shows under powercap."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.protocols import MeterError
from harness.records import Status

_MAX_PACKAGE_W = 1000.0
"""No package draws more: twice the highest TDP sold (500 W: Xeon 6900P, EPYC 9005)."""

_WRAP_SHARE = 0.5
"""Past half of the range at that power, an error in the bound could hide a second wrap."""

_TICK_S = 0.001
"""The counters are updated about every ms (Intel SDM vol. 3B, section on RAPL interfaces)."""

_TICKS_A_WINDOW = 100
"""A window ends up to one tick early and one late: 100 ticks keep that under 2 %."""

_MAX_COUNTER_BYTES = 64
"""A 64-bit number in decimal has 20 digits."""


@dataclass(frozen=True, slots=True)
class RaplEnergy:
    """Reads the energy in J that all processor packages used over a window.

    Only the domains named `package-*` are added. What a package contains (core, uncore) is in it
    already, and psys contains the packages; DRAM, which is beside the package on servers, is left
    out. The scope is the whole package: whatever else runs there is counted too.

    Attributes:
        root: the folder under which `sys` and `proc` are looked for.
    """

    root: Path = Path("/")
    quantity: str = field(default="energy", init=False)
    unit: str = field(default="J", init=False)
    scope: str = field(default="package", init=False)
    name: str = field(default="rapl", init=False)
    min_window_s: float = field(default=_TICK_S * _TICKS_A_WINDOW, init=False)

    @property
    def status(self) -> Status:
        """Return `modelled` under a hypervisor, which computes what its guest reads."""
        try:
            virtual = "hypervisor" in (self.root / "proc/cpuinfo").read_text().split()
        except OSError:
            virtual = False
        return Status.MODELLED if virtual else Status.MEASURED

    def unavailable(self) -> str | None:
        """Return why the counters cannot be read here, with the fix; None where they can."""
        if not _powercap(self.root).is_dir():
            return (
                "this system shows no powercap; virtual machines are rarely given energy "
                "counters: run on bare metal, with the kernel module intel_rapl_msr loaded"
            )
        zones = _packages(self.root)
        if not zones:
            return (
                f"{_powercap(self.root)} has no RAPL package; load the kernel module "
                "intel_rapl_msr, on an Intel processor or AMD Zen or later"
            )
        try:
            for zone in zones:
                _counter(zone)
                _range_uj(zone)
        except MeterError as error:
            return str(error)
        return None

    def start(self) -> _Window:
        """Return the counters and the time.

        Raises:
            MeterError: a counter cannot be read.
        """
        zones = _packages(self.root)
        if not zones:
            raise MeterError(
                f"no RAPL package under {_powercap(self.root)}; load the kernel module "
                "intel_rapl_msr"
            )
        began_ns = time.perf_counter_ns()
        return _Window(began_ns, tuple((zone, _counter(zone), _range_uj(zone)) for zone in zones))

    def stop(self, token: _Window) -> float:
        """Return the J used since `token`; a counter that wrapped once is continued.

        Raises:
            MeterError: a counter vanished, stood still or was reset, or may have wrapped twice.
        """
        now_uj = [_counter(zone) for zone, _, _ in token.readings]
        elapsed_s = (time.perf_counter_ns() - token.began_ns) / 1e9
        return sum(
            _used_uj(zone, before, now, range_uj, elapsed_s)
            for (zone, before, range_uj), now in zip(token.readings, now_uj, strict=True)
        ) / 1e6  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Window:
    began_ns: int
    readings: tuple[tuple[Path, int, int], ...]


def _used_uj(zone: Path, before_uj: int, now_uj: int, range_uj: int, elapsed_s: float) -> int:
    longest_s = _WRAP_SHARE * range_uj / (_MAX_PACKAGE_W * 1e6)
    if elapsed_s > longest_s:
        raise MeterError(
            f"wrap_ambiguous: {zone.name} was read {elapsed_s:.1f} s apart and may have wrapped "
            f"twice; keep a sample under {longest_s:.1f} s, with smaller parameters"
        )
    used_uj = now_uj - before_uj
    if used_uj < 0:
        used_uj += range_uj
    if used_uj == 0:
        raise MeterError(
            f"{zone.name} stood still for {elapsed_s:.3f} s; the host does not pass its "
            "counter on: run on bare metal"
        )
    if used_uj < 0 or used_uj > _MAX_PACKAGE_W * 1e6 * (elapsed_s + _TICK_S * _TICKS_A_WINDOW):
        raise MeterError(
            f"{zone.name} went from {before_uj} to {now_uj} uJ in {elapsed_s:.3f} s, more than "
            f"{_MAX_PACKAGE_W:.0f} W: it was reset, as by a suspend; run again"
        )
    return used_uj


def _powercap(root: Path) -> Path:
    return root / "sys/class/powercap"


def _packages(root: Path) -> list[Path]:
    """Return the top-level package zones; AMD's are shown under the same name as Intel's.

    `intel-rapl-mmio` shows the same packages a second time and is left out.
    """
    return [
        zone
        for zone in sorted(_powercap(root).glob("intel-rapl:*"))
        if zone.name.count(":") == 1 and _name(zone).startswith("package-")
    ]


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _counter(zone: Path) -> int:
    return _read_uj(zone / "energy_uj")


def _range_uj(zone: Path) -> int:
    range_uj = _read_uj(zone / "max_energy_range_uj")
    if range_uj <= 0:
        raise MeterError(f"{zone}/max_energy_range_uj is {range_uj}; update the kernel")
    return range_uj


def _read_uj(path: Path) -> int:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_COUNTER_BYTES)
    except PermissionError as error:
        raise MeterError(
            f"{path} may be read by root alone (since CVE-2020-8694); "
            f"`sudo chmod a+r {path}`, or run as root"
        ) from error
    except FileNotFoundError as error:
        raise MeterError(f"{path} is gone; load the kernel module intel_rapl_msr again") from error
    except OSError as error:
        raise MeterError(f"{path} cannot be read ({error.strerror}); run on bare metal") from error
    try:
        return int(text)
    except ValueError as error:
        raise MeterError(f"{path} holds no number: {text[:20]!r}; update the kernel") from error
