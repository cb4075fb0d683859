"""A quick look at the machine before a run: what would disturb it, and how to mend that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.host import read_text
from harness.printable import printable

_LOAD_SHARE = 0.25
"""Of the CPUs: half a task on two CPUs is more than an idle system's own services."""

_BUSY_SHARE = 0.2
"""Of one CPU. Over the look below it is four of the kernel's 10 ms ticks, not one by chance."""

_LOOK_S = 0.2
"""Long enough for the share above, short enough not to be noticed before a run."""

_SWAP_SHARE = 0.25
"""Of the swap. A little is used by what sleeps on every long-running machine."""

_NAMED = 3
"""How many busy processes a warning names: enough to act, short enough for a line."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that uses a CPU: `share` 1.0 is one CPU in full."""

    pid: int
    name: str
    share: float


@dataclass(frozen=True, slots=True)
class CpuTime:
    """The processor time that a process has used so far, in s."""

    name: str
    used_s: float


def busy_processes() -> list[Busy]:
    """Return the processes that use a CPU now, busiest first; takes 0.2 s.

    Neither this process, its ancestors nor its descendants are among them.
    """
    before = _cpu_times()
    began = time.monotonic()
    time.sleep(_LOOK_S)
    after = _cpu_times()
    return busiest(before, after, time.monotonic() - began, ours=_relatives())


def look(root: Path = Path("/"), busy: Callable[[], Sequence[Busy]] = busy_processes) -> list[str]:
    """Return one warning a line, each with its fix; none on a quiet, well-set machine.

    Args:
        root: the folder under which `proc` and `sys` are looked for.
        busy: how the processes that use a CPU are found.
    """
    found = (
        _load(root),
        _busy(busy()),
        _governor(root),
        _turbo(root),
        _swap(root),
        _battery(root),
    )
    return [warning for warning in found if warning is not None]


def busiest(
    before: Mapping[tuple[int, float], CpuTime],
    after: Mapping[tuple[int, float], CpuTime],
    elapsed_s: float,
    ours: AbstractSet[int],
) -> list[Busy]:
    """Return who used more than 20 % of a CPU between two looks, busiest first.

    Args:
        before: processor times by process number and start time.
        after: the same, `elapsed_s` later.
        elapsed_s: the s between the looks.
        ours: process numbers to leave out.
    """
    found = [
        Busy(key[0], now.name, (now.used_s - before[key].used_s) / elapsed_s)
        for key, now in after.items()
        if key in before and key[0] not in ours
    ]
    return sorted(
        (process for process in found if process.share > _BUSY_SHARE),
        key=lambda process: -process.share,
    )


def _cpu_times() -> dict[tuple[int, float], CpuTime]:
    times = {}
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        used = process.info["cpu_times"]
        if used is not None:
            times[process.pid, process.info["create_time"]] = CpuTime(
                process.info["name"] or "?", used.user + used.system
            )
    return times


def _relatives() -> set[int]:
    here = psutil.Process()
    return {here.pid, *(kin.pid for kin in (*here.parents(), *here.children(recursive=True)))}


def _busy(processes: Sequence[Busy]) -> str | None:
    if not processes:
        return None
    named = ", ".join(
        f"{printable(process.name)} (pid {process.pid}) {process.share:.0%}"
        for process in processes[:_NAMED]
    )
    more = f" and {len(processes) - _NAMED} more" if len(processes) > _NAMED else ""
    return f"other processes use the CPU: {named}{more} of one CPU; stop them, or wait"


def _load(root: Path) -> str | None:
    words = (read_text(root / "proc/loadavg") or "").split()
    cpus = os.cpu_count() or 1
    if not words or float(words[0]) <= _LOAD_SHARE * cpus:
        return None
    return (
        f"load average over the last minute is {words[0]} on {cpus} CPUs; "
        "wait until other work is done, or stop it"
    )


def _governor(root: Path) -> str | None:
    governors = list(_cpufreq(root, "scaling_governor"))
    others = sorted({governor for governor in governors if governor != "performance"})
    if not others:
        return None
    count = sum(governor != "performance" for governor in governors)
    return (
        f"CPU governor is {' or '.join(map(printable, others))} on {count} of {len(governors)} "
        "CPUs, so clocks follow the load; `sudo cpupower frequency-set -g performance`"
    )


def _cpufreq(root: Path, name: str) -> Iterator[str]:
    for path in (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/cpufreq/{name}"):
        if text := read_text(path):
            yield text


def _turbo(root: Path) -> str | None:
    cpu = root / "sys/devices/system/cpu"
    switches = {cpu / "intel_pstate/no_turbo": ("0", "1"), cpu / "cpufreq/boost": ("1", "0")}
    for switch, (on, off) in switches.items():
        if read_text(switch) == on:
            return (
                "turbo is on, so clocks depend on heat and on the other cores; for steadier "
                f"numbers `echo {off} | sudo tee {switch}`"
            )
    return None


def _swap(root: Path) -> str | None:
    sizes = dict(
        line.split(":", 1)
        for line in (read_text(root / "proc/meminfo") or "").splitlines()
        if ":" in line
    )
    try:
        total, free = (int(sizes[name].split()[0]) for name in ("SwapTotal", "SwapFree"))
    except (KeyError, ValueError, IndexError):
        return None
    if total - free <= _SWAP_SHARE * total:
        return None
    return (
        f"{(total - free) / 2**20:.1f} of {total / 2**20:.1f} GiB of swap are in use; free "
        "memory, then `sudo swapoff -a && sudo swapon -a`"
    )


def _battery(root: Path) -> str | None:
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if (
            read_text(supply / "type") == "Battery"
            and read_text(supply / "scope") != "Device"  # a mouse's, not the machine's
            and read_text(supply / "status") == "Discharging"
        ):
            return "this machine runs on battery, which lowers its clocks; plug it in"
    return None
