"""What disturbed a window: steal, preemption, pressure and load, as deltas of kernel counters."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STEAL_SHARE = 0.01
"""Of the window's processor time: half of the 2 % precision that a run aims at by default."""

PREEMPTIONS_A_SECOND = 20.0
"""For each CPU. A switch away can cost a scheduler slice, some 3 ms: 20 a second could take 6 %;
an idle machine's kernel threads cause a few."""

CPU_STALL_SHARE = 0.10
"""Of the window. That some task waits for a CPU somewhere is common on a large machine."""

MEMORY_OR_IO_STALL_SHARE = 0.01
"""Of the window. A benchmark that fits its machine waits for neither, so half of the 2 % too."""

_BLOCK = 4096
"""The first lines are all that is wanted of any file, and they are shorter."""

_STEAL_FIELD = 8
"""Of the line `cpu` in /proc/stat, proc_stat(5): the label, user, nice, system, idle, iowait, irq,
softirq, steal."""


@dataclass(frozen=True, slots=True)
class NoiseSnapshot:
    """Counters at one moment; None where the kernel does not tell.

    Attributes:
        steal_s: processor time the hypervisor gave to others, over all CPUs, in steps of 10 ms.
        involuntary_switches: how often this process was taken off a CPU.
        cpu_stall_s: time during which some task of the machine waited for a CPU.
        memory_stall_s: likewise for memory.
        io_stall_s: likewise for input and output.
        load1: load average over the last minute.
    """

    steal_s: float | None
    involuntary_switches: int
    cpu_stall_s: float | None
    memory_stall_s: float | None
    io_stall_s: float | None
    load1: float | None


def snapshot(root: Path = Path("/")) -> NoiseSnapshot:
    """Return the counters now; some 15 us, most of it the kernel's.

    Args:
        root: the folder under which `proc` is looked for.
    """
    proc = f"{root}/proc"
    return NoiseSnapshot(
        steal_s=_steal_s(f"{proc}/stat"),
        involuntary_switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        cpu_stall_s=_stall_s(f"{proc}/pressure/cpu"),
        memory_stall_s=_stall_s(f"{proc}/pressure/memory"),
        io_stall_s=_stall_s(f"{proc}/pressure/io"),
        load1=_load1(f"{proc}/loadavg"),
    )


def delta(before: NoiseSnapshot, after: NoiseSnapshot) -> dict[str, float]:
    """Return what grew between two snapshots, by the attributes' names; `load1` is the later one.

    What either snapshot lacks is absent.
    """
    grown = {
        "steal_s": _grown(before.steal_s, after.steal_s),
        "involuntary_switches": _grown(before.involuntary_switches, after.involuntary_switches),
        "cpu_stall_s": _grown(before.cpu_stall_s, after.cpu_stall_s),
        "memory_stall_s": _grown(before.memory_stall_s, after.memory_stall_s),
        "io_stall_s": _grown(before.io_stall_s, after.io_stall_s),
        "load1": after.load1,
    }
    return {name: value for name, value in grown.items() if value is not None}


def noisy_flags(
    noise: Sequence[Mapping[str, float]], windows_s: Sequence[float], *, cpus: int
) -> tuple[str, ...]:
    """Return which disturbances were large over all samples of a measurement together.

    Together, since the counters are too coarse for one short sample, and since a few disturbed
    samples among many do not move a median.

    Args:
        noise: one `delta` a sample.
        windows_s: the length of each sample's window in s.
        cpus: how many CPUs the process may use.

    Returns:
        Some of "steal", "preempted" and "pressure", in this order.
    """
    window_s = sum(windows_s)
    if window_s <= 0:
        return ()
    total = {
        name: sum(sample.get(name, 0.0) for sample in noise)
        for name in (
            "steal_s",
            "involuntary_switches",
            "cpu_stall_s",
            "memory_stall_s",
            "io_stall_s",
        )
    }
    found = {
        "steal": total["steal_s"] > STEAL_SHARE * window_s * cpus,
        "preempted": total["involuntary_switches"] > PREEMPTIONS_A_SECOND * window_s * cpus,
        "pressure": total["cpu_stall_s"] > CPU_STALL_SHARE * window_s
        or max(total["memory_stall_s"], total["io_stall_s"]) > MEMORY_OR_IO_STALL_SHARE * window_s,
    }
    return tuple(name for name, large in found.items() if large)


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _steal_s(path: str) -> float | None:
    fields = _first_line(path)
    if len(fields) <= _STEAL_FIELD or fields[0] != b"cpu":
        return None
    return int(fields[_STEAL_FIELD]) / os.sysconf("SC_CLK_TCK")


def _stall_s(path: str) -> float | None:
    fields = _first_line(path)
    if len(fields) < 5 or fields[0] != b"some" or not fields[4].startswith(b"total="):
        return None
    return int(fields[4].removeprefix(b"total=")) / 1e6


def _load1(path: str) -> float | None:
    fields = _first_line(path)
    return float(fields[0]) if fields else None


def _first_line(path: str) -> list[bytes]:
    """Return the words of the first line; none where the file cannot be read.

    `os.read` rather than `Path.read_bytes`: a snapshot surrounds every sample.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return []
    try:
        return os.read(descriptor, _BLOCK).partition(b"\n")[0].split()
    except OSError:
        return []  # a kernel that was told not to account pressure
    finally:
        os.close(descriptor)
