"""The memory of a process and its descendants, read from procfs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SIZE_LINE = re.compile(r"^(Vm(?:RSS|HWM|Swap)|Private_(?:Clean|Dirty)):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """One living process.

    Attributes:
        pid: its number in the procfs that was read.
        started: its start in clock ticks since boot; with `pid` it names the process for good.
        forked: whether it still runs the image of its parent, so that its pages are its parent's
            until it writes them, or for good between vfork and exec. Told by the address of the
            stack, which exec randomises; where address randomisation is off, a child of the same
            program may be taken for a fork.
        resident_bytes: resident set now, shared pages included.
        peak_bytes: high-water mark of the resident set since it was last reset.
        swapped_bytes: what is in swap now.
    """

    pid: int
    started: int
    forked: bool
    resident_bytes: int
    peak_bytes: int
    swapped_bytes: int


def living(proc: Path) -> list[ProcessMemory]:
    """Return this process, first, and every living descendant.

    A process that ends while it is read is left out, and so is one whose parent has ended: the
    kernel hands it to another parent.

    Args:
        proc: where procfs is mounted.
    """
    root = _stat(proc / "self")
    if root is None:
        return []
    found = []
    waiting = [(root, False)]
    while waiting:
        stat, forked = waiting.pop()
        folder = proc / str(stat.pid)
        memory = _memory(folder, stat, forked)
        if memory is not None:
            found.append(memory)
        for child in _children(proc, stat.pid):
            child_stat = _stat(proc / str(child))
            if child_stat is not None:
                waiting.append((child_stat, child_stat.image == stat.image))
    return found


def private_bytes(proc: Path, pid: int) -> int | None:
    """Return the resident bytes that no other process maps, or None where that cannot be read.

    The kernel walks every page of the process for this: some ms a GB.
    """
    try:
        sizes = _sizes((proc / str(pid) / "smaps_rollup").read_text())
    except OSError:
        return None
    if "Private_Dirty" not in sizes:
        return None
    return sizes["Private_Dirty"] + sizes.get("Private_Clean", 0)


def reset_peak(proc: Path, pid: int) -> None:
    """Make the high-water mark of a process start again from what is resident now.

    Raises:
        OSError: the process is gone, or this one may not.
    """
    (proc / str(pid) / "clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    parent: int
    started: int
    image: tuple[str, str]


def _stat(folder: Path) -> _Stat | None:
    """Read what names a process; the fields are numbered as in proc_pid_stat(5)."""
    try:
        text = (folder / "stat").read_text()
        pid = int(text.split(None, 1)[0])
        third_on = text[text.rindex(")") + 1 :].split()
        return _Stat(
            pid=pid,
            parent=int(third_on[4 - 3]),
            started=int(third_on[22 - 3]),
            image=(third_on[26 - 3], third_on[28 - 3]),
        )
    except (OSError, ValueError, IndexError):
        return None


def _memory(folder: Path, stat: _Stat, forked: bool) -> ProcessMemory | None:
    try:
        sizes = _sizes((folder / "status").read_text())
    except OSError:
        return None
    if "VmHWM" not in sizes:
        return None  # a zombie, which holds no memory
    return ProcessMemory(
        pid=stat.pid,
        started=stat.started,
        forked=forked,
        resident_bytes=sizes["VmRSS"],
        peak_bytes=sizes["VmHWM"],
        swapped_bytes=sizes.get("VmSwap", 0),
    )


def _sizes(text: str) -> dict[str, int]:
    return {name: int(kilobytes) * 1024 for name, kilobytes in _SIZE_LINE.findall(text)}


def _children(proc: Path, pid: int) -> Iterator[int]:
    """Yield the children that each thread of a process has; every process is searched without."""
    tasks = proc / str(pid) / "task"
    try:
        threads = list(tasks.iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            yield from map(int, (thread / "children").read_text().split())
        except FileNotFoundError:
            if thread.exists():  # a kernel without CONFIG_PROC_CHILDREN
                yield from _by_parent(proc, pid)
                return
        except OSError:
            continue


def _by_parent(proc: Path, pid: int) -> Iterator[int]:
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            stat = _stat(folder)
            if stat is not None and stat.parent == pid:
                yield stat.pid
