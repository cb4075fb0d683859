"""Peak host memory of this process and its children, by the kernel's resettable high-water marks.

The peak that `getrusage` reports is no help: it survives exec, so that a child of a large parent
starts from its parent's peak, and it cannot be reset.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.meters.process_tree import ProcessMemory, living, private_bytes, reset_peak
from harness.protocols import MeterError

_POLL_S = 0.005
"""A child that lives shorter may be missed; a look takes about 0.1 ms, 2 % of the interval."""

_SWAPPED_SHARE = 0.01
"""Pages in swap are missing from a peak: beyond 1 % of it they would show in three digits."""


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Reads the peak resident memory of this process and its descendants over a window, in B.

    On opening, VmHWM of every process is reset by writing 5 to its clear_refs (proc(5)); on closing
    it is read again. While the window is open a thread looks for children every 5 ms, so the meter
    belongs in a pass of its own, never in one that reports time.

    The value is the largest sum, over the looks, of the high-water marks of the processes that then
    lived, less the base. Known limits: marks of two processes need not have been reached at the
    same moment, so the sum can exceed the true peak; a child that lives under 5 ms, and what
    a child adds in its last 5 ms, can be missed; a forked child counts with its private pages at
    the window's start, or from nothing if it was forked within the window, plus what it grew since,
    so pages that it copies by writing to them are missed. Resident are also file-backed pages that
    are mapped; page cache that is not mapped, and huge pages of hugetlbfs, are not. Linux since 6.2
    counts resident pages per CPU, and its readings may lag by up to max(32, 2 x CPUs) pages a CPU.

    Attributes:
        root: the folder under which `proc` is looked for.
        base_bytes: what is subtracted; None subtracts what is resident when the window opens.
    """

    root: Path = Path("/")
    base_bytes: int | None = None
    quantity: str = field(default="peak_memory", init=False)
    unit: str = field(default="B", init=False)
    scope: str = field(default="process", init=False)
    name: str = field(default="vmhwm", init=False)
    min_window_s: float = field(default=0.0, init=False)

    def with_base(self, base_bytes: int) -> HostMemory:
        """Return this meter with another base: `resident_bytes()` of an earlier moment."""
        return replace(self, base_bytes=base_bytes)

    def unavailable(self) -> str | None:
        """Return why peaks cannot be read here, with the fix; None where they can."""
        proc = self.root / "proc"
        if not living(proc):
            return f"{proc}/self/status has no VmHWM; run on Linux with /proc mounted"
        try:
            with (proc / "self" / "clear_refs").open("r+"):
                return None
        except FileNotFoundError:
            return (
                f"{proc}/self/clear_refs is missing; use a kernel built with "
                "CONFIG_PROC_PAGE_MONITOR, and no sandbox that replaces /proc"
            )
        except OSError as error:
            return (
                f"{proc}/self/clear_refs cannot be written ({error.strerror}); mount /proc "
                "writable in this container"
            )

    def start(self) -> _Window:
        """Reset the high-water marks and return the window.

        Raises:
            MeterError: a mark cannot be reset.
        """
        return _Window(self.root / "proc", self.base_bytes)

    def stop(self, token: _Window) -> float:
        """Return the peak in B above the base; 0 where memory stayed below the base throughout.

        Raises:
            MeterError: memory went to swap, or a look at the processes failed.
        """
        return float(token.close())


def resident_bytes(root: Path = Path("/")) -> int:
    """Return the resident memory in B of this process and its descendants.

    Of a forked child only the pages count that it does not share.

    Raises:
        MeterError: procfs cannot be read.
    """
    proc = root / "proc"
    processes = _look(proc)
    shared = _shared_at_start(proc, processes)
    return sum(process.resident_bytes - shared.get(_key(process), 0) for process in processes)


def release_memory() -> None:
    """Collect garbage, and give freed heap back to the system where the C library is glibc."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Window:
    """An open window: a thread keeps the largest sum of high-water marks until it is closed."""

    def __init__(self, proc: Path, base_bytes: int | None) -> None:
        self._proc = proc
        for process in _look(proc):
            _reset(proc, process.pid)
        processes = _look(proc)
        self._inherited = _shared_at_start(proc, processes)
        self._swapped = _swapped(processes)
        self._peak = self._sum(processes)
        self._base = self._peak if base_bytes is None else base_bytes
        self._failure: MeterError | None = None
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="host-memory", daemon=True)
        self._poller.start()

    def close(self) -> int:
        try:
            processes = _look(self._proc)
        finally:
            self._closing.set()
            self._poller.join()
        if self._failure is not None:
            raise self._failure
        self._peak = max(self._peak, self._sum(processes))
        swapped = _swapped(processes) - self._swapped
        if swapped > _SWAPPED_SHARE * self._peak:
            raise MeterError(
                f"{swapped} B went to swap during the window, so its peak is unknown; "
                "free memory or turn swap off"
            )
        return max(0, self._peak - self._base)

    def _poll(self) -> None:
        try:
            while not self._closing.wait(_POLL_S):
                self._peak = max(self._peak, self._sum(_look(self._proc)))
        except MeterError as error:
            self._failure = error

    def _sum(self, processes: list[ProcessMemory]) -> int:
        return sum(process.peak_bytes - self._shared(process) for process in processes)

    def _shared(self, process: ProcessMemory) -> int:
        if not process.forked:
            return 0
        return self._inherited.setdefault(_key(process), process.peak_bytes)


def _look(proc: Path) -> list[ProcessMemory]:
    processes = living(proc)
    if not processes:
        raise MeterError(f"{proc}/self/status cannot be read; mount /proc")
    return processes


def _reset(proc: Path, pid: int) -> None:
    try:
        reset_peak(proc, pid)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended
    except OSError as error:
        raise MeterError(
            f"the high-water mark of process {pid} cannot be reset ({error.strerror}); "
            "run all processes of the case as one user"
        ) from error


def _shared_at_start(proc: Path, processes: list[ProcessMemory]) -> dict[tuple[int, int], int]:
    """Return what each forked child shares; where that is unknown, all it has."""
    shared = {}
    for process in processes:
        if process.forked:
            private = private_bytes(proc, process.pid)
            own = 0 if private is None else min(private, process.resident_bytes)
            shared[_key(process)] = process.resident_bytes - own
    return shared


def _key(process: ProcessMemory) -> tuple[int, int]:
    return process.pid, process.started


def _swapped(processes: list[ProcessMemory]) -> int:
    return sum(process.swapped_bytes for process in processes)
