"""Recorded machines and injected processes lead to warnings; a quiet machine to none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.preflight import Busy, CpuTime, busiest, busy_processes, look

CPUS = os.cpu_count() or 1


def nobody() -> Sequence[Busy]:
    return ()


def write(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{text}\n")


def quiet_server(root: Path) -> Path:
    write(root, "proc/loadavg", "0.03 0.10 0.20 1/300 4242")
    write(
        root, "proc/meminfo", "MemTotal: 65536000 kB\nSwapTotal: 8388608 kB\nSwapFree: 8000000 kB"
    )
    for cpu in range(4):
        write(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "performance")
    write(root, "sys/devices/system/cpu/intel_pstate/no_turbo", "1")
    write(root, "sys/class/power_supply/AC/type", "Mains")
    return root


def test_a_quiet_machine_gets_no_warning(tmp_path: Path) -> None:
    assert look(quiet_server(tmp_path), nobody) == []


def test_a_machine_that_tells_nothing_gets_no_warning(tmp_path: Path) -> None:
    assert look(tmp_path, nobody) == []


@pytest.mark.parametrize(
    ("path", "text", "problem", "fix"),
    [
        ("proc/loadavg", f"{CPUS}.50 1.0 1.0 9/300 1", "load average", "wait"),
        (
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "powersave",
            "governor is powersave on 1 of 4 CPUs",
            "cpupower frequency-set -g performance",
        ),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0", "turbo is on", "echo 1 | sudo tee"),
        ("sys/devices/system/cpu/cpufreq/boost", "1", "turbo is on", "echo 0 | sudo tee"),
        (
            "proc/meminfo",
            "SwapTotal: 8388608 kB\nSwapFree: 4194304 kB",
            "4.0 of 8.0 GiB of swap",
            "swapoff",
        ),
    ],
)
def test_what_disturbs_a_run_is_one_line_with_its_fix(
    tmp_path: Path, path: str, text: str, problem: str, fix: str
) -> None:
    root = quiet_server(tmp_path)
    write(root, path, text)
    (warning,) = look(root, nobody)
    assert problem in warning
    assert fix in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("scope", "status", "warnings"),
    [("System", "Discharging", 1), ("System", "Charging", 0), ("Device", "Discharging", 0)],
)
def test_only_the_machines_own_battery_counts(
    tmp_path: Path, scope: str, status: str, warnings: int
) -> None:
    root = quiet_server(tmp_path)
    for name, text in {"type": "Battery", "scope": scope, "status": status}.items():
        write(root, f"sys/class/power_supply/BAT0/{name}", text)
    assert len(look(root, nobody)) == warnings


def test_the_busiest_processes_are_named_with_their_numbers(tmp_path: Path) -> None:
    busy = [Busy(pid, f"cc{pid}", 0.98) for pid in range(1, 6)]
    (warning,) = look(quiet_server(tmp_path), lambda: busy)
    assert "cc1 (pid 1) 98%, cc2 (pid 2) 98%, cc3 (pid 3) 98% and 2 more" in warning
    assert "stop them" in warning


def test_a_process_cannot_steer_the_terminal_by_its_name(tmp_path: Path) -> None:
    (warning,) = look(quiet_server(tmp_path), lambda: [Busy(7, "x\x1b[2J\ny", 0.5)])
    assert "x?[2J y (pid 7)" in warning


def test_who_used_a_fifth_of_a_cpu_is_busy_unless_it_is_ours_or_new() -> None:
    before = {(pid, 1.0): CpuTime(f"p{pid}", 10.0) for pid in (1, 2, 3, 4)}
    after = {
        (1, 1.0): CpuTime("p1", 10.03),
        (2, 1.0): CpuTime("p2", 10.10),
        (3, 1.0): CpuTime("p3", 10.18),
        (4, 1.0): CpuTime("p4", 10.20),
        (5, 1.0): CpuTime("p5", 99.00),
        (2, 9.0): CpuTime("another 2", 99.00),
    }
    found = busiest(before, after, elapsed_s=0.2, ours={4})
    assert [(process.pid, process.name) for process in found] == [(3, "p3"), (2, "p2")]
    assert found[0].share == pytest.approx(0.9)


def test_a_stranger_that_spins_is_found_and_a_child_of_ours_is_not() -> None:
    spin = "print('spins', flush=True)\nwhile True: pass"
    launcher = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {spin!r}], start_new_session=True)\n"
        "print(child.pid, flush=True)"
    )
    orphan = 0
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            with subprocess.Popen(
                [sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True
            ) as stranger:
                assert stranger.stdout is not None
                first, second = stranger.stdout.readline(), stranger.stdout.readline()
                orphan = int(first if first.strip().isdecimal() else second)
            busy = {process.pid for _ in range(5) for process in busy_processes()}
        finally:
            child.kill()
            if orphan:
                os.kill(orphan, 9)
    assert orphan in busy
    assert child.pid not in busy
