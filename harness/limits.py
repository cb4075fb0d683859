"""What a worker does to itself at its start, so that one bad case costs one case."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import AssayError

_PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""

_MAX_CPUS = 8192
"""The largest NR_CPUS of a Linux kernel; a higher number would only make us allocate its mask."""

_OOM_SCORE_MAX = 1000
"""OOM_SCORE_ADJ_MAX in linux/oom.h: the first to be killed when memory runs out."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent ends; end now where it has ended already.

    The kernel watches the thread that started this process, so that thread must live as long as the
    parent does. A system other than Linux has no such request, and nothing is asked there.

    Args:
        parent_pid: the process that is known to have started this one. A parent that ended before
            the request was made would otherwise go unnoticed.

    Raises:
        AssayError: the kernel refuses.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise AssayError(
            "the kernel refuses to end a worker with its parent "
            f"({os.strerror(ctypes.get_errno())}); allow prctl in this sandbox"
        )
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def prefer_as_oom_victim() -> None:
    """Ask the kernel to kill this process first when memory runs out, where it lets us ask."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_MAX))


def no_core_dumps() -> None:
    """Let a crash leave no core file: one of a large case can fill a disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(limit_bytes: int) -> None:
    """Let allocations fail once the private writable memory of this process exceeds a limit.

    RLIMIT_DATA, not RLIMIT_AS: GPU drivers reserve address space far beyond what they ever use.
    What is allocated counts, touched or not, and so do the stacks of threads (often 8 MiB each);
    memory that is shared, or mapped from files read-only, does not.

    Args:
        limit_bytes: the limit in B; an existing lower one stays.

    Raises:
        AssayError: the limit is not positive.
    """
    if limit_bytes <= 0:
        raise AssayError(f"a memory limit of {limit_bytes} B leaves no room; give a positive one")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lowest = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (lowest, lowest))


def pin(cpus: Sequence[int]) -> None:
    """Run this process, and every thread it starts from now on, on these CPUs only.

    Args:
        cpus: CPU numbers as in /proc/cpuinfo.

    Raises:
        AssayError: some of the CPUs are not there or not allowed; nothing is changed then.
    """
    if not cpus:
        raise AssayError("no CPU to pin to; name at least one")
    if not hasattr(os, "sched_setaffinity"):
        raise AssayError(f"{sys.platform} cannot pin a process to CPUs; run without --pin")
    former = os.sched_getaffinity(0)
    wanted = set(cpus)
    refused = {cpu for cpu in wanted if not 0 <= cpu < _MAX_CPUS}
    if not refused:
        refused = wanted - _pinned_to(wanted)
    if refused:
        os.sched_setaffinity(0, former)
        raise AssayError(
            f"CPU {_listed(refused)} is not there or not allowed here; "
            f"choose from {_listed(former)}"
        )


@contextlib.contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Pin this thread while the block runs, so that a process started in it inherits the CPUs.

    Args:
        cpus: CPU numbers; empty for no change.

    Raises:
        AssayError: some of the CPUs are not there or not allowed.
    """
    if not cpus:
        yield
        return
    former = os.sched_getaffinity(0)
    pin(cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)


def thread_environment(threads: int) -> dict[str, str]:
    """Return the variables that make OpenMP, the BLAS libraries and numba start so many threads.

    They are read when a library is loaded, so they must be set before the worker starts.

    Raises:
        AssayError: `threads` is less than 1.
    """
    if threads < 1:
        raise AssayError(f"{threads} threads can do nothing; give at least 1")
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def _pinned_to(wanted: set[int]) -> set[int]:
    """Pin, and return what the kernel made of it: it leaves out CPUs that are not ours."""
    try:
        os.sched_setaffinity(0, wanted)
    except OSError:
        return set()
    return os.sched_getaffinity(0)


def _listed(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))
