"""Counters from recorded trees, their deltas, and what counts as large."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.noise import NoiseSnapshot, delta, noisy_flags, snapshot

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

QUIET = NoiseSnapshot(1.0, 10, 2.0, 3.0, 4.0, 0.1)


def record(root: Path, *, steal_ticks: int = 250, cpu_stall_us: int = 1_500_000) -> Path:
    """Write what a virtual machine of two CPUs shows."""
    pressure = root / "proc/pressure"
    pressure.mkdir(parents=True, exist_ok=True)
    (root / "proc/stat").write_text(
        f"cpu  9492 0 3426 198893 681 0 165 {steal_ticks} 0 0\n"
        f"cpu0 2928 0 1495 101503 341 0 19 {steal_ticks} 0 0\nintr 1 2 3\n"
    )
    (root / "proc/loadavg").write_text("0.75 0.50 0.25 1/87 7297\n")
    for name, total in {"cpu": cpu_stall_us, "memory": 250_000, "io": 4_000_000}.items():
        (pressure / name).write_text(
            f"some avg10=0.78 avg60=0.89 avg300=0.64 total={total}\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
        )
    return root


def test_a_snapshot_reads_each_counter_in_si_units(tmp_path: Path) -> None:
    now = snapshot(record(tmp_path))
    assert now.steal_s == pytest.approx(250 / TICKS_A_SECOND)
    assert (now.cpu_stall_s, now.memory_stall_s, now.io_stall_s) == (1.5, 0.25, 4.0)
    assert now.load1 == 0.75


def test_a_delta_is_what_grew_and_the_later_load(tmp_path: Path) -> None:
    before = snapshot(record(tmp_path))
    after = snapshot(record(tmp_path, steal_ticks=250 + TICKS_A_SECOND, cpu_stall_us=1_750_000))
    grown = delta(before, after)
    assert grown.pop("involuntary_switches") >= 0
    assert grown == {
        "steal_s": pytest.approx(1.0),
        "cpu_stall_s": pytest.approx(0.25),
        "memory_stall_s": 0.0,
        "io_stall_s": 0.0,
        "load1": 0.75,
    }


def test_what_cannot_be_read_is_absent_and_not_zero(tmp_path: Path) -> None:
    now = snapshot(tmp_path)
    assert set(delta(now, now)) == {"involuntary_switches"}


def test_what_only_one_snapshot_has_is_absent() -> None:
    assert "io_stall_s" not in delta(replace(QUIET, io_stall_s=None), QUIET)


@pytest.mark.parametrize(
    ("path", "content", "lost"),
    [
        ("stat", "cpu  1 2 3 4\n", "steal_s"),
        ("stat", "", "steal_s"),
        ("pressure/io", "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n", "io_stall_s"),
        ("loadavg", "", "load1"),
    ],
)
def test_a_counter_in_another_form_is_absent(
    tmp_path: Path, path: str, content: str, lost: str
) -> None:
    root = record(tmp_path)
    (root / "proc" / path).write_text(content)
    now = snapshot(root)
    assert lost not in delta(now, now)
    assert len(delta(now, now)) == 5


def test_a_kernel_that_refuses_to_tell_pressure_is_absent(tmp_path: Path) -> None:
    root = record(tmp_path)
    (root / "proc/pressure/cpu").unlink()
    (root / "proc/pressure/cpu").mkdir()
    assert snapshot(root).cpu_stall_s is None


def test_the_running_kernel_yields_deltas_that_never_shrink() -> None:
    before = snapshot()
    sum(range(100_000))
    grown = delta(before, snapshot())
    assert grown
    assert all(value >= 0 for value in grown.values())


def test_a_quiet_measurement_has_no_flags() -> None:
    sample = {"steal_s": 0.0, "involuntary_switches": 1.0, "cpu_stall_s": 0.001, "load1": 9.0}
    assert noisy_flags([sample] * 5, [0.5] * 5, cpus=2) == ()


@pytest.mark.parametrize(
    ("sample", "flags"),
    [
        ({"steal_s": 0.03}, ("steal",)),
        ({"steal_s": 0.01}, ()),
        ({"involuntary_switches": 41.0}, ("preempted",)),
        ({"involuntary_switches": 39.0}, ()),
        ({"cpu_stall_s": 0.11}, ("pressure",)),
        ({"memory_stall_s": 0.02}, ("pressure",)),
        ({"io_stall_s": 0.02}, ("pressure",)),
        ({"steal_s": 0.5, "cpu_stall_s": 0.5}, ("steal", "pressure")),
    ],
)
def test_a_disturbance_over_its_share_of_the_window_is_flagged(
    sample: dict[str, float], flags: tuple[str, ...]
) -> None:
    assert noisy_flags([sample] * 3, [1.0] * 3, cpus=2) == flags


def test_one_tick_of_steal_in_one_short_sample_of_many_is_no_flag() -> None:
    noise = [{"steal_s": 0.01}] + [{"steal_s": 0.0}] * 99
    assert noisy_flags(noise, [0.05] * 100, cpus=1) == ()


def test_without_samples_there_are_no_flags() -> None:
    assert noisy_flags([], [], cpus=2) == ()
