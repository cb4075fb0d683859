"""Real processes limit themselves, and what they then do shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

from harness.errors import AssayError
from harness.limits import limit_memory, pin, thread_environment

WITHIN_S = 10.0


def in_a_fresh_process(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **thread_environment(1)},
    )


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    worker = (
        "import os, sys, time\n"
        "from harness.limits import die_with_parent\n"
        "die_with_parent(int(sys.argv[1]))\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = textwrap.dedent(f"""
        import os, subprocess, sys
        subprocess.run([sys.executable, "-c", {worker!r}, str(os.getpid())])
    """)
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        child = psutil.Process(int(running.stdout.readline()))
        assert child.is_running()
        running.send_signal(signal.SIGKILL)
        running.wait(WITHIN_S)
    gone, alive = psutil.wait_procs([child], timeout=WITHIN_S)
    for process in alive:
        process.kill()
    assert gone == [child]


def test_a_worker_whose_parent_ended_before_it_asked_ends_at_once() -> None:
    done = in_a_fresh_process("""
        import os
        from harness.limits import die_with_parent
        die_with_parent(os.getppid() + 1)
        print("lives on")
    """)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == ""


def test_beyond_the_memory_limit_an_allocation_fails_and_below_it_none_does() -> None:
    done = in_a_fresh_process("""
        import numpy as np
        from harness.limits import limit_memory
        limit_memory(1 << 30)
        np.ones(1 << 28, dtype=np.uint8)
        try:
            np.ones(1 << 30, dtype=np.uint8)
        except MemoryError:
            print("refused")
    """)
    assert done.stdout == "refused\n", done.stderr


def test_a_memory_limit_leaves_reservations_of_address_space_alone() -> None:
    done = in_a_fresh_process("""
        import mmap
        from harness.limits import limit_memory
        limit_memory(1 << 30)
        no_reserve = 0x4000  # MAP_NORESERVE, which Python names from 3.13 on
        mmap.mmap(-1, 1 << 36, flags=mmap.MAP_PRIVATE | no_reserve, prot=mmap.PROT_READ)
        print("reserved")
    """)
    assert done.stdout == "reserved\n", done.stderr


def test_a_lower_limit_stays_when_a_higher_one_is_asked_for() -> None:
    done = in_a_fresh_process("""
        import resource
        from harness.limits import limit_memory
        limit_memory(1 << 29)
        limit_memory(1 << 30)
        print(resource.getrlimit(resource.RLIMIT_DATA) == (1 << 29, 1 << 29))
    """)
    assert done.stdout == "True\n", done.stderr


def test_a_crash_leaves_no_core_file_and_the_worker_is_the_first_oom_victim() -> None:
    done = in_a_fresh_process("""
        import resource
        from pathlib import Path
        from harness.limits import no_core_dumps, prefer_as_oom_victim
        no_core_dumps()
        prefer_as_oom_victim()
        print(resource.getrlimit(resource.RLIMIT_CORE))
        print(Path("/proc/self/oom_score_adj").read_text())
    """)
    assert done.stdout.split("\n")[:2] == ["(0, 0)", "1000"], done.stderr


def test_a_pinned_process_and_its_new_threads_run_on_those_cpus() -> None:
    cpu = max(os.sched_getaffinity(0))
    done = in_a_fresh_process(f"""
        import os
        from concurrent.futures import ThreadPoolExecutor
        from harness.limits import pin
        pin([{cpu}])
        with ThreadPoolExecutor(1) as pool:
            print(pool.submit(os.sched_getaffinity, 0).result())
    """)
    assert done.stdout == f"{{{cpu}}}\n", done.stderr


@pytest.mark.parametrize("absent", [8191, 10**12, -1])
def test_a_cpu_that_is_not_there_is_named_and_nothing_changes(absent: int) -> None:
    allowed = os.sched_getaffinity(0)
    with pytest.raises(AssayError, match=f"CPU {absent} is not there or not allowed") as refusal:
        pin([min(allowed), absent])
    assert f"choose from {', '.join(map(str, sorted(allowed)))}" in str(refusal.value)
    assert os.sched_getaffinity(0) == allowed


def test_pinning_to_no_cpu_is_refused() -> None:
    with pytest.raises(AssayError, match="name at least one"):
        pin([])


@pytest.mark.parametrize("limit_bytes", [0, -1])
def test_a_memory_limit_without_room_is_refused(limit_bytes: int) -> None:
    with pytest.raises(AssayError, match="give a positive one"):
        limit_memory(limit_bytes)


def test_every_threaded_library_is_told_the_number_of_threads() -> None:
    variables = thread_environment(3)
    assert set(variables.values()) == {"3"}
    assert {
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    } <= set(variables)


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(AssayError, match="at least 1"):
        thread_environment(0)
