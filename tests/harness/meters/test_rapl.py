"""Recorded powercap trees, whose counters a test moves by exact amounts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.meters.rapl import RaplEnergy
from harness.protocols import Meter, MeterError
from harness.records import Status

RANGE_UJ = 262_143_328_850
"""Of a Xeon: 2^32 counts of 61 uJ."""


def add_zone(root: Path, zone: str, name: str, energy_uj: int, range_uj: int = RANGE_UJ) -> Path:
    folder = root / "sys/class/powercap" / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def use(zone: Path, used_uj: int) -> None:
    counter = zone / "energy_uj"
    range_uj = int((zone / "max_energy_range_uj").read_text())
    counter.write_text(f"{(int(counter.read_text()) + used_uj) % range_uj}\n")


def test_the_meter_says_what_it_reads(tmp_path: Path) -> None:
    meter: Meter = RaplEnergy(tmp_path)
    assert (meter.quantity, meter.unit, meter.scope, meter.name) == (
        "energy",
        "J",
        "package",
        "rapl",
    )
    assert meter.min_window_s == pytest.approx(0.1)


def test_the_packages_of_two_sockets_are_added(tmp_path: Path) -> None:
    first = add_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = add_zone(tmp_path, "intel-rapl:1", "package-1", 9_000_000)
    meter = RaplEnergy(tmp_path)
    assert meter.unavailable() is None
    window = meter.start()
    use(first, 1_500_000)
    use(second, 250_000)
    assert meter.stop(window) == pytest.approx(1.75)


def test_what_contains_a_package_or_is_contained_in_it_is_not_added(tmp_path: Path) -> None:
    package = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    others = [
        add_zone(tmp_path, "intel-rapl:1", "psys", 0),
        add_zone(tmp_path, "intel-rapl:0:0", "core", 0),
        add_zone(tmp_path, "intel-rapl:0:1", "dram", 0),
        add_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    meter = RaplEnergy(tmp_path)
    window = meter.start()
    use(package, 2_000_000)
    for zone in others:
        use(zone, 5_000_000)
    assert meter.stop(window) == pytest.approx(2.0)


@settings(max_examples=50, deadline=None)
@given(
    range_uj=st.sampled_from([RANGE_UJ, 65_532_610_987]),
    from_the_end_uj=st.integers(1, 50_000_000),
    used_uj=st.integers(1, 90_000_000),
)
def test_a_counter_that_wraps_is_continued(
    range_uj: int, from_the_end_uj: int, used_uj: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        zone = add_zone(
            Path(folder), "intel-rapl:0", "package-0", range_uj - from_the_end_uj, range_uj
        )
        meter = RaplEnergy(Path(folder))
        window = meter.start()
        use(zone, used_uj)
        assert meter.stop(window) == pytest.approx(used_uj / 1e6)


def test_a_gap_in_which_the_counter_may_wrap_twice_is_refused(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=1000)
    meter = RaplEnergy(tmp_path)
    window = meter.start()
    use(zone, 500)
    with pytest.raises(MeterError, match=r"wrap_ambiguous: .* keep a sample under"):
        meter.stop(window)


def test_a_counter_that_was_reset_is_not_taken_for_a_wrap(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000_000)
    meter = RaplEnergy(tmp_path)
    window = meter.start()
    (zone / "energy_uj").write_text("12\n")
    with pytest.raises(MeterError, match="was reset"):
        meter.stop(window)


def test_a_counter_that_stands_still_is_an_error_and_never_zero(tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplEnergy(tmp_path)
    window = meter.start()
    with pytest.raises(MeterError, match="stood still"):
        meter.stop(window)


def test_a_package_that_vanishes_during_the_window_is_an_error(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplEnergy(tmp_path)
    window = meter.start()
    shutil.rmtree(zone)
    with pytest.raises(MeterError, match=r"is gone; load the kernel module"):
        meter.stop(window)
    with pytest.raises(MeterError, match="no RAPL package"):
        meter.start()


def test_a_machine_without_powercap_is_named_with_the_fix(tmp_path: Path) -> None:
    reason = RaplEnergy(tmp_path).unavailable()
    assert reason is not None
    assert "run on bare metal" in reason


def test_powercap_without_a_package_is_named_with_the_fix(tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "psys", 0)
    reason = RaplEnergy(tmp_path).unavailable()
    assert reason is not None
    assert "intel_rapl_msr" in reason


def test_counters_that_only_root_may_read_are_named_with_the_fix() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        add_zone(root, "intel-rapl:0", "package-0", 0).joinpath("energy_uj").chmod(0)
        reason = reason_for_an_ordinary_user(root)
    assert "CVE-2020-8694" in reason
    assert "sudo chmod a+r" in reason


def reason_for_an_ordinary_user(root: Path) -> str:
    """Ask in a process that gives up being root, where this one is."""
    script = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from harness.meters.rapl import RaplEnergy
        if os.geteuid() == 0:
            os.seteuid(int(sys.argv[2]))
        print(RaplEnergy(Path(sys.argv[1])).unavailable())
    """)
    nobody = "65534"
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), nobody],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.stdout


@pytest.mark.parametrize("content", ["", "many\n"])
def test_a_counter_that_holds_no_number_is_named(tmp_path: Path, content: str) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (zone / "energy_uj").write_text(content)
    reason = RaplEnergy(tmp_path).unavailable()
    assert reason is not None
    assert "holds no number" in reason


def test_a_counter_that_fails_to_read_is_named(tmp_path: Path) -> None:
    zone = add_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()
    reason = RaplEnergy(tmp_path).unavailable()
    assert reason is not None
    assert "cannot be read" in reason


def test_a_counter_without_a_range_is_refused(tmp_path: Path) -> None:
    add_zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=0)
    reason = RaplEnergy(tmp_path).unavailable()
    assert reason is not None
    assert "max_energy_range_uj is 0" in reason


@pytest.mark.parametrize(
    ("flags", "status"),
    [("fpu vme hypervisor avx2", Status.MODELLED), ("fpu vme avx2", Status.MEASURED)],
)
def test_under_a_hypervisor_the_energy_is_modelled(
    tmp_path: Path, flags: str, status: Status
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert RaplEnergy(tmp_path).status is status


def test_without_cpuinfo_no_hypervisor_is_known(tmp_path: Path) -> None:
    assert RaplEnergy(tmp_path).status is Status.MEASURED
