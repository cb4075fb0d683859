"""Real processes allocate known sizes, and the meter sees them."""

from __future__ import annotations

import mmap
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from harness.meters.host_memory import HostMemory, release_memory, resident_bytes
from harness.protocols import Meter, MeterError

MIB = 2**20
SLACK = 12 * MIB
"""What Python and the kernel's lazy counters add or hold back."""

HOLDS_64_MIB = """
import sys, time
held = b"x" * (64 * 2**20)
print("ready", flush=True)
"""


def touched(mebibytes: int) -> np.ndarray:
    # Fresh pages: an allocator may give what earlier tests have left resident.
    pages = np.frombuffer(mmap.mmap(-1, mebibytes * MIB), dtype=np.uint8)
    pages[:] = 1
    return pages


def in_a_fresh_process(script: str) -> float:
    """Run a script that prints one number, beside no other process of this test run."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout)


def test_the_meter_says_what_it_reads_and_is_there() -> None:
    meter: Meter = HostMemory()
    assert (meter.quantity, meter.unit, meter.scope, meter.name) == (
        "peak_memory",
        "B",
        "process",
        "vmhwm",
    )
    assert meter.unavailable() is None


def test_an_allocation_is_seen_after_it_was_freed() -> None:
    meter = HostMemory()
    window = meter.start()
    touched(64)
    assert meter.stop(window) == pytest.approx(64 * MIB, abs=SLACK)


def test_memory_freed_before_the_window_is_not_seen() -> None:
    touched(128)
    meter = HostMemory()
    window = meter.start()
    assert meter.stop(window) < SLACK


def test_memory_held_since_before_the_window_is_its_base() -> None:
    held = touched(64)
    meter = HostMemory()
    window = meter.start()
    touched(32)
    assert meter.stop(window) == pytest.approx(32 * MIB, abs=SLACK)
    assert held[-1] == 1


def test_with_an_earlier_base_what_was_held_since_then_counts() -> None:
    release_memory()
    meter = HostMemory().with_base(resident_bytes())
    held = touched(64)
    window = meter.start()
    assert meter.stop(window) == pytest.approx(64 * MIB, abs=SLACK)
    assert held[-1] == 1


def test_a_window_below_its_base_needed_nothing_more() -> None:
    meter = HostMemory().with_base(resident_bytes() + 512 * MIB)
    assert meter.stop(meter.start()) == 0.0


def test_a_living_child_is_seen() -> None:
    meter = HostMemory()
    window = meter.start()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_64_MIB + "sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        peak_bytes = meter.stop(window)
        child.communicate()
    assert 64 * MIB < peak_bytes < 64 * MIB + 4 * SLACK


def test_children_that_ended_one_after_the_other_count_once() -> None:
    meter = HostMemory()
    window = meter.start()
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", HOLDS_64_MIB + "time.sleep(0.5)"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert 64 * MIB < meter.stop(window) < 64 * MIB + 4 * SLACK


def test_a_childs_peak_before_the_window_is_not_seen() -> None:
    script = "import sys; b'x' * (128 * 2**20); print('freed', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        meter = HostMemory()
        peak_bytes = meter.stop(meter.start())
        child.communicate()
    assert peak_bytes < SLACK


def test_starting_programs_from_a_large_process_does_not_count_it_twice() -> None:
    peak_bytes = in_a_fresh_process("""
        import subprocess
        from harness.meters.host_memory import HostMemory
        held = b"x" * (256 * 2**20)
        meter = HostMemory()
        window = meter.start()
        for _ in range(50):
            subprocess.run(["true"], check=True)
        print(meter.stop(window))
    """)
    assert peak_bytes < 64 * MIB


def test_a_fork_counts_with_what_it_adds_and_not_with_its_parents_pages() -> None:
    peak_bytes = in_a_fresh_process("""
        import os, time
        from harness.meters.host_memory import HostMemory
        held = b"x" * (256 * 2**20)
        meter = HostMemory()
        window = meter.start()
        child = os.fork()
        if child == 0:
            time.sleep(0.5)
            own = b"x" * (64 * 2**20)
            time.sleep(0.5)
            os._exit(0)
        os.waitpid(child, 0)
        print(meter.stop(window))
    """)
    assert peak_bytes == pytest.approx(64 * MIB, abs=SLACK)


def test_a_fork_from_before_the_window_is_resident_with_its_own_pages_only() -> None:
    both_bytes = in_a_fresh_process("""
        import os
        from harness.meters.host_memory import resident_bytes
        held = b"x" * (256 * 2**20)
        ready, tell = os.pipe()
        wait, end = os.pipe()
        if os.fork() == 0:
            os.close(end)
            own = b"x" * (64 * 2**20)
            os.write(tell, b"r")
            os.read(wait, 1)
            os._exit(0)
        os.read(ready, 1)
        print(resident_bytes())
    """)
    assert 320 * MIB < both_bytes < 320 * MIB + 4 * SLACK


def test_a_system_without_procfs_is_named_with_the_fix(tmp_path: Path) -> None:
    reason = HostMemory(tmp_path).unavailable()
    assert reason is not None
    assert "run on Linux" in reason
    with pytest.raises(MeterError, match="mount /proc"):
        HostMemory(tmp_path).start()
    with pytest.raises(MeterError, match="mount /proc"):
        resident_bytes(tmp_path)


def worker_tree(tmp_path: Path, swap_kb: int = 0) -> Path:
    folder = tmp_path / "proc" / "self"
    folder.mkdir(parents=True)
    (folder / "stat").write_text("100 (python) S 1 " + "0 " * 48)
    (tmp_path / "proc" / "100").symlink_to("self")
    write_status(folder, swap_kb)
    return folder


def write_status(folder: Path, swap_kb: int) -> None:
    (folder / "status").write_text(f"VmHWM: 900 kB\nVmRSS: 500 kB\nVmSwap: {swap_kb} kB\n")


def test_a_kernel_without_clear_refs_is_named_with_the_fix(tmp_path: Path) -> None:
    worker_tree(tmp_path)
    reason = HostMemory(tmp_path).unavailable()
    assert reason is not None
    assert "CONFIG_PROC_PAGE_MONITOR" in reason


def test_clear_refs_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    folder = worker_tree(tmp_path)
    (folder / "clear_refs").mkdir()
    reason = HostMemory(tmp_path).unavailable()
    assert reason is not None
    assert "mount /proc writable" in reason
    with pytest.raises(MeterError, match="mark of process 100 cannot be reset"):
        HostMemory(tmp_path).start()


def test_memory_that_went_to_swap_makes_the_peak_unknown(tmp_path: Path) -> None:
    folder = worker_tree(tmp_path)
    (folder / "clear_refs").write_text("")
    meter = HostMemory(tmp_path)
    window = meter.start()
    write_status(folder, swap_kb=300)
    with pytest.raises(MeterError, match="went to swap"):
        meter.stop(window)


def test_a_look_that_fails_during_the_window_is_told_at_its_end(tmp_path: Path) -> None:
    folder = worker_tree(tmp_path)
    (folder / "clear_refs").write_text("")
    meter = HostMemory(tmp_path)
    window = meter.start()
    (folder / "status").unlink()
    with pytest.raises(MeterError, match="cannot be read"):
        meter.stop(window)
    assert "host-memory" not in {thread.name for thread in threading.enumerate()}
