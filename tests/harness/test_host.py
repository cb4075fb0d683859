from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.host import available_bytes, firmware, kernel, memory_bytes, read_cpu

RECORDED = Path(__file__).parents[1] / "recorded"
MACHINES = {
    "graviton3": "aarch64",
    "grace": "aarch64",
    "altra": "aarch64",
    "ampereone": "aarch64",
    "raspberry-pi-4": "aarch64",
    "raspberry-pi-5": "aarch64",
    "rk3588": "aarch64",
    "epyc-9654": "x86_64",
    "xeon-8480": "x86_64",
    "xeon-e5-kvm": "x86_64",
}


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "vendor", "model", "cores"),
    [
        ("graviton3", "ARM", "Neoverse-V1", {"Neoverse-V1": 2}),
        ("grace", "ARM", "Neoverse-V2", {"Neoverse-V2": 2}),
        ("altra", "ARM", "Neoverse-N1", {"Neoverse-N1": 2}),
        ("ampereone", "Ampere", "Ampere-1", {"Ampere-1": 2}),
        ("raspberry-pi-4", "ARM", "Cortex-A72", {"Cortex-A72": 4}),
        ("raspberry-pi-5", "ARM", "Cortex-A76", {"Cortex-A76": 4}),
        ("rk3588", "ARM", "Cortex-A55 + Cortex-A76", {"Cortex-A55": 2, "Cortex-A76": 2}),
        ("epyc-9654", "AuthenticAMD", "AMD EPYC 9654 96-Core Processor", {}),
        ("xeon-8480", "GenuineIntel", "Intel(R) Xeon(R) Platinum 8480+", {}),
    ],
)
def test_a_recorded_machine_is_named(
    name: str, vendor: str, model: str, cores: dict[str, int]
) -> None:
    cpu = read_cpu(RECORDED / name, MACHINES[name])
    assert (cpu.vendor, cpu.model, cpu.core_names) == (vendor, model, cores)
    assert cpu.architecture == MACHINES[name]
    assert cpu.translated == ""


def test_threads_of_a_core_are_counted_once() -> None:
    cpu = read_cpu(RECORDED / "epyc-9654", "x86_64")
    assert (cpu.logical_cpus, cpu.physical_cores) == (4, 2)


def test_without_topology_files_cores_are_told_by_their_ids() -> None:
    cpu = read_cpu(RECORDED / "xeon-e5-kvm", "x86_64")
    assert (cpu.logical_cpus, cpu.physical_cores) == (2, 1)


def test_without_any_sign_of_cores_their_number_is_unknown() -> None:
    cpu = read_cpu(RECORDED / "raspberry-pi-4", "aarch64")
    assert (cpu.logical_cpus, cpu.physical_cores) == (4, None)


def test_caches_are_one_instance_each_and_of_the_big_cores() -> None:
    assert read_cpu(RECORDED / "epyc-9654", "x86_64").caches == {
        "L1d": 32 << 10,
        "L2": 1 << 20,
        "L3": 32 << 20,
    }
    assert read_cpu(RECORDED / "rk3588", "aarch64").caches == {
        "L1d": 64 << 10,
        "L2": 512 << 10,
        "L3": 3 << 20,
    }


def test_governor_and_highest_frequency_are_read() -> None:
    cpu = read_cpu(RECORDED / "rk3588", "aarch64")
    assert (cpu.governor, cpu.max_hz) == ("schedutil", 2.4e9)
    cpu = read_cpu(RECORDED / "graviton3", "aarch64")
    assert (cpu.governor, cpu.max_hz) == (None, None)


def test_processors_with_different_governors_name_them_all(tmp_path: Path) -> None:
    for index, governor in enumerate(["powersave", "performance", "powersave"]):
        path = f"sys/devices/system/cpu/cpu{index}/cpufreq/scaling_governor"
        write(tmp_path, path, f"{governor}\n")
    assert read_cpu(tmp_path, "x86_64").governor == "performance,powersave"


def test_only_features_of_every_core_count(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/cpuinfo",
        "processor : 0\nFeatures : fp asimd sve\n\nprocessor : 1\nFeatures : fp asimd\n\n",
    )
    assert read_cpu(tmp_path, "aarch64").features == {"fp", "asimd"}


@pytest.mark.parametrize(
    ("name", "hypervisor"),
    [
        ("graviton3", "amazon"),
        ("xeon-e5-kvm", "google"),
        ("grace", None),
        ("altra", None),
        ("epyc-9654", None),
    ],
)
def test_a_virtual_machine_is_told_from_a_real_one(name: str, hypervisor: str | None) -> None:
    assert read_cpu(RECORDED / name, MACHINES[name]).hypervisor == hypervisor


def test_a_bare_metal_instance_of_a_cloud_is_no_virtual_machine(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    write(tmp_path, "sys/class/dmi/id/product_name", "c7g.metal\n")
    assert read_cpu(tmp_path, "aarch64").hypervisor is None
    # On x86 the processor itself would say so.
    write(tmp_path, "proc/cpuinfo", "processor : 0\nflags : fpu avx2\n")
    assert read_cpu(tmp_path, "x86_64").hypervisor is None


def test_a_hypervisor_without_a_name_is_unknown_but_there(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "processor : 0\nflags : fpu hypervisor\n")
    assert read_cpu(tmp_path, "x86_64").hypervisor == "unknown"
    write(tmp_path, "sys/hypervisor/type", "xen\n")
    assert read_cpu(tmp_path, "x86_64").hypervisor == "xen"


def test_an_arm_guest_is_told_by_its_device_tree(tmp_path: Path) -> None:
    path = tmp_path / "proc/device-tree/hypervisor/compatible"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"linux,kvm\0")
    assert read_cpu(tmp_path, "aarch64").hypervisor == "linux,kvm"


def test_an_unknown_arm_core_keeps_its_numbers(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/cpuinfo",
        "processor : 0\nCPU implementer : 0x41\nCPU part : 0xfff\n\n"
        "processor : 1\nCPU implementer : 0x99\nCPU part : 0x001\n\n",
    )
    cpu = read_cpu(tmp_path, "aarch64")
    assert cpu.core_names == {"ARM part 0xfff": 1, "implementer 0x99 part 0x001": 1}
    assert cpu.vendor == "ARM,implementer 0x99"


def test_an_x86_kernel_under_an_arm_process_is_translation(tmp_path: Path) -> None:
    assert "x86" in read_cpu(RECORDED / "xeon-8480", "aarch64").translated
    write(tmp_path, "sys/kernel/boot_params/version", "0x020f\n")
    assert "boot_params" in read_cpu(tmp_path, "aarch64").translated


def test_qemus_own_processor_is_translation(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "processor : 0\nCPU implementer : 0x00\nCPU part : 0x051\n\n")
    assert "QEMU" in read_cpu(tmp_path, "aarch64").translated
    write(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name : QEMU TCG CPU version 2.5+\n")
    assert "TCG" in read_cpu(tmp_path, "x86_64").translated


def test_an_arm_processor_under_an_x86_process_is_translation() -> None:
    assert "ARM" in read_cpu(RECORDED / "grace", "x86_64").translated


def test_memory_is_in_bytes() -> None:
    root = RECORDED / "graviton3"
    assert memory_bytes(root) == 3922284 * 1024
    assert available_bytes(root) == 3327112 * 1024


def test_a_control_group_leaves_less_memory(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/jobs/one\n")
    write(tmp_path, "sys/fs/cgroup/jobs/memory.max", "5000000\n")
    write(tmp_path, "sys/fs/cgroup/jobs/memory.current", "3000000\n")
    write(tmp_path, "sys/fs/cgroup/jobs/memory.stat", "anon 7\ninactive_file 1000\n")
    write(tmp_path, "sys/fs/cgroup/jobs/one/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/jobs/one/memory.current", "3000000\n")
    assert available_bytes(tmp_path) == 2001000
    assert memory_bytes(tmp_path) == 9000 * 1024


def test_an_empty_machine_tells_nothing(tmp_path: Path) -> None:
    cpu = read_cpu(tmp_path, "riscv64")
    assert cpu.architecture == "riscv64"
    assert (cpu.vendor, cpu.model, cpu.hypervisor, cpu.translated) == (None, None, None, "")
    assert (cpu.logical_cpus, cpu.physical_cores, cpu.governor, cpu.max_hz) == (None,) * 4
    assert (cpu.core_names, cpu.features, cpu.caches) == ({}, frozenset(), {})
    assert (memory_bytes(tmp_path), available_bytes(tmp_path), kernel(tmp_path)) == (None,) * 3


def test_without_cpuinfo_the_online_list_counts_processors(tmp_path: Path) -> None:
    write(tmp_path, "sys/devices/system/cpu/online", "0-3,8,10-11\n")
    assert read_cpu(tmp_path, "x86_64").logical_cpus == 7


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("garbage")
    for name in FILES:
        write(root, name, "")
    return root


FILES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/self/cgroup",
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/cpu0/topology/core_cpus_list",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
    "sys/devices/system/cpu/cpu0/cache/index0/level",
    "sys/devices/system/cpu/cpu0/cache/index0/type",
    "sys/devices/system/cpu/cpu0/cache/index0/size",
    "sys/class/dmi/id/sys_vendor",
)


@given(content=st.binary(max_size=300), machine=st.sampled_from(["x86_64", "aarch64"]))
@settings(max_examples=60, deadline=None)
def test_garbage_in_every_file_never_crashes(scratch: Path, content: bytes, machine: str) -> None:
    for name in FILES:
        (scratch / name).write_bytes(content)
    read_cpu(scratch, machine)
    memory_bytes(scratch)
    available_bytes(scratch)


@given(cut=st.integers(0, 3000), name=st.sampled_from(sorted(MACHINES)))
@settings(max_examples=60, deadline=None)
def test_a_truncated_cpuinfo_tells_what_is_left(scratch: Path, cut: int, name: str) -> None:
    whole = (RECORDED / name / "proc/cpuinfo").read_bytes()
    for file in FILES:
        (scratch / file).write_bytes(b"")
    (scratch / "proc/cpuinfo").write_bytes(whole[:cut])
    left = whole[:cut].count(b"processor\t: ")
    counted = read_cpu(scratch, MACHINES[name]).logical_cpus or 0
    # The number of the last processor may be cut off.
    assert left - 1 <= counted <= left


def test_a_folder_in_place_of_a_file_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "proc/cpuinfo").mkdir(parents=True)
    assert read_cpu(tmp_path, "x86_64").model is None


def test_this_machine_is_read() -> None:
    cpu = read_cpu()
    assert cpu.architecture in (platform.machine(), "aarch64", "x86_64")
    assert cpu.logical_cpus is not None
    assert cpu.logical_cpus >= len(os.sched_getaffinity(0))
    total, available = memory_bytes(), available_bytes()
    assert total is not None
    assert available is not None
    assert 0 < available <= total
    assert kernel() == platform.release()


def test_firmware_is_what_dmi_and_the_processors_say(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/dmi/id/bios_version", "2.19.1\n")
    write(
        tmp_path,
        "proc/cpuinfo",
        "processor : 0\nmicrocode : 0xb000\n\nprocessor : 1\nmicrocode : 0xa000\n",
    )
    assert firmware(tmp_path) == {"bios": "2.19.1", "microcode": "0xa000,0xb000"}


def test_a_board_that_tells_nothing_of_its_firmware_has_none() -> None:
    assert firmware(RECORDED / "raspberry-pi-4") == {"bios": None, "microcode": None}
    assert firmware(RECORDED / "xeon-8480")["microcode"]
