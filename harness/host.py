"""Reads what the kernel says of this machine's processor and memory, below any root folder."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arm_parts import TRANSLATED, core_name, implementer_name

HOST = Path("/")

X86_64 = "x86_64"
AARCH64 = "aarch64"


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What is known of the processor; None or empty where the kernel does not tell.

    Attributes:
        architecture: "x86_64", "aarch64", or what the machine calls itself.
        vendor: "GenuineIntel", "AuthenticAMD", "ARM", "Ampere", ...
        model: the marketing name on x86, the kinds of core on ARM.
        core_names: how many logical processors there are of each kind of core; ARM only.
        features: the kernel's feature words that every logical processor has.
        logical_cpus: processors that are online.
        physical_cores: cores that are online; fewer than `logical_cpus` with hyper-threading.
        governor: the frequency governor, joined with commas where processors differ.
        max_hz: the highest frequency of any processor, Hz.
        hypervisor: which hypervisor this is a guest of, "unknown" where it has no name.
        caches: bytes of the largest single instance at each level, "L1d", "L2", "L3".
        translated: how it shows that instructions are translated rather than executed by such a
            processor; empty where nothing shows it.
    """

    architecture: str
    vendor: str | None
    model: str | None
    core_names: Mapping[str, int]
    features: frozenset[str]
    logical_cpus: int | None
    physical_cores: int | None
    governor: str | None
    max_hz: float | None
    hypervisor: str | None
    caches: Mapping[str, int]
    translated: str


def read_cpu(root: Path = HOST, machine: str | None = None) -> CpuInfo:
    """Return what the files below `root` say of the processor.

    Args:
        root: the folder that holds `proc` and `sys`.
        machine: what `uname -m` says; that of this machine where None.
    """
    machine = platform.machine() if machine is None else machine
    architecture = _ARCHITECTURES.get(machine.lower(), machine)
    processors = _processors(root)
    cpus = _cpu_folders(root)
    cores = [core for processor in processors if (core := _arm_core(processor))]
    kinds = Counter(core_name(*core) for core in cores)
    features = _common_features(processors)
    return CpuInfo(
        architecture=architecture,
        vendor=_first(processors, "vendor_id") or _joined(implementer_name(i) for i, _ in cores),
        model=_first(processors, "model name") or " + ".join(kinds) or None,
        core_names=dict(kinds),
        features=features,
        logical_cpus=len(processors) or _count_cpu_list(root) or None,
        physical_cores=_physical_cores(cpus) or _physical_cores_by_id(processors),
        governor=_joined(read_text(cpu / "cpufreq/scaling_governor") for cpu in cpus),
        max_hz=_max_hz(cpus),
        hypervisor=_hypervisor(root, architecture, features),
        caches=_caches(cpus),
        translated=_translated(root, architecture, processors, cores),
    )


def memory_bytes(root: Path = HOST) -> int | None:
    """Return the memory the kernel manages, in bytes, whatever limit a container sets."""
    return _meminfo_bytes(root, "MemTotal")


def available_bytes(root: Path = HOST) -> int | None:
    """Return how much memory this process can still take without swapping, in bytes.

    That is the kernel's estimate, or less where a control group (version 2) leaves less.
    """
    limits = [_meminfo_bytes(root, "MemAvailable"), _cgroup_room_bytes(root)]
    return min((limit for limit in limits if limit is not None), default=None)


def kernel(root: Path = HOST) -> str | None:
    """Return the kernel's release, such as "6.8.0-45-generic"."""
    # Some sandboxes hide /proc/sys, but uname always answers for the running machine.
    running = platform.release() if root == HOST else None
    return read_text(root / "proc/sys/kernel/osrelease") or running


def firmware(root: Path = HOST) -> dict[str, str | None]:
    """Return the versions of the board's firmware and of the processor's microcode.

    Both change how fast the same code runs; None where the kernel does not tell, as on most boards
    without DMI and on ARM.

    Returns:
        "bios" and "microcode"; the latter joined with commas where processors differ.
    """
    return {
        "bios": read_text(root / "sys/class/dmi/id/bios_version"),
        "microcode": _joined(processor.get("microcode") for processor in _processors(root)),
    }


def read_text(path: Path) -> str | None:
    """Return the file's text without white space and NUL at its ends; None where there is none.

    At most `_MAX_FILE_BYTES` are read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError):
        return None
    return content.decode("utf-8", "replace").strip("\0 \t\r\n") or None


_ARCHITECTURES = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}

# What one file may make us read: a 4096-processor /proc/cpuinfo is about 8 MiB.
_MAX_FILE_BYTES = 16 << 20

# DMI's sys_vendor or product_name of virtual machines, and the names systemd-detect-virt uses.
_DMI_HYPERVISORS = {
    "KVM": "kvm",
    "OpenStack": "kvm",
    "KubeVirt": "kvm",
    "Amazon EC2": "amazon",
    "Google Compute Engine": "google",
    "Google": "google",
    "Alibaba Cloud": "alibaba",
    "QEMU": "qemu",
    "VMware": "vmware",
    "innotek GmbH": "oracle",
    "VirtualBox": "oracle",
    "Xen": "xen",
    "Virtual Machine": "microsoft",
    "Parallels": "parallels",
    "Apple Virtualization": "apple",
}


def _number(text: str | None) -> int | None:
    # 19 digits hold every 64-bit count; more is garbage.
    return int(text) if text and re.fullmatch(r"[0-9]{1,19}", text) else None


def _joined(values: Iterator[str | None]) -> str | None:
    return ",".join(sorted({value for value in values if value})) or None


def _first(processors: Sequence[Mapping[str, str]], key: str) -> str | None:
    return next((processor[key] for processor in processors if processor.get(key)), None)


def _processors(root: Path) -> list[dict[str, str]]:
    """Return the fields of each processor; lines about the board belong to none of them."""
    found: list[dict[str, str]] = []
    current: dict[str, str] | None = None
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if key == "processor" and _number(value) is not None:
            current = {}
            found.append(current)
        if not line.strip():
            current = None
        elif current is not None and colon:
            current[key] = value
    return found


def _common_features(processors: Sequence[Mapping[str, str]]) -> frozenset[str]:
    sets = [
        frozenset((processor.get("flags") or processor.get("Features") or "").split())
        for processor in processors
    ]
    return frozenset.intersection(*sets) if sets else frozenset()


def _arm_core(processor: Mapping[str, str]) -> tuple[int, int] | None:
    fields = processor.get("CPU implementer", ""), processor.get("CPU part", "")
    if not all(re.fullmatch(r"0x[0-9a-fA-F]{1,4}", field) for field in fields):
        return None
    return int(fields[0], 16), int(fields[1], 16)


def _cpu_folders(root: Path) -> list[Path]:
    try:
        found = list((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    except OSError:
        return []
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _count_cpu_list(root: Path) -> int:
    """Return how many processors a list such as "0-3,8" names."""
    count = 0
    for part in (read_text(root / "sys/devices/system/cpu/online") or "").split(","):
        first, _, last = part.partition("-")
        low, high = _number(first), _number(last or first)
        if low is not None and high is not None:
            count += max(0, high - low + 1)
    return count


def _physical_cores(cpus: Sequence[Path]) -> int | None:
    siblings = set()
    for cpu in cpus:
        topology = cpu / "topology"
        siblings.add(
            read_text(topology / "core_cpus_list") or read_text(topology / "thread_siblings_list")
        )
    return len(siblings - {None}) or None


def _physical_cores_by_id(processors: Sequence[Mapping[str, str]]) -> int | None:
    identifiers = {
        (processor.get("physical id"), processor["core id"])
        for processor in processors
        if "core id" in processor
    }
    return len(identifiers) or None


def _max_hz(cpus: Sequence[Path]) -> float | None:
    khz = [_number(read_text(cpu / "cpufreq/cpuinfo_max_freq")) for cpu in cpus]
    return max((value * 1e3 for value in khz if value), default=None)


def _caches(cpus: Sequence[Path]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for cpu in cpus:
        for index in sorted((cpu / "cache").glob("index[0-9]*")):
            level, kind = _number(read_text(index / "level")), read_text(index / "type")
            size = re.fullmatch(r"([0-9]{1,12})K", read_text(index / "size") or "")
            if level is None or size is None or kind not in ("Data", "Unified"):
                continue
            name = f"L{level}{'d' if kind == 'Data' else ''}"
            sizes[name] = max(sizes.get(name, 0), int(size[1]) * 1024)
    return dict(sorted(sizes.items()))


def _hypervisor(root: Path, architecture: str, features: frozenset[str]) -> str | None:
    """Return the hypervisor's name.

    x86 guests carry a feature bit, and without it a cloud's DMI names mean a bare-metal instance.
    ARM has no such bit: there DMI or the device tree tell, and EC2 calls bare metal "*.metal".
    """
    dmi = root / "sys/class/dmi/id"
    vendor, product = read_text(dmi / "sys_vendor") or "", read_text(dmi / "product_name") or ""
    named = next(
        (name for key, name in _DMI_HYPERVISORS.items() if key in product or key in vendor), None
    )
    told = read_text(root / "sys/hypervisor/type")
    if architecture == X86_64:
        return (told or named or "unknown") if "hypervisor" in features else told
    tree = (read_text(root / "proc/device-tree/hypervisor/compatible") or "").partition("\0")[0]
    return told or tree or (None if ".metal" in product else named)


def _translated(
    root: Path,
    architecture: str,
    processors: Sequence[Mapping[str, str]],
    cores: Sequence[tuple[int, int]],
) -> str:
    """Return what gives away that this is another processor, translating this architecture's code.

    A user-mode translator answers `uname` for the guest and shows the host's own files.
    """
    model = _first(processors, "model name") or ""
    if architecture == AARCH64:
        if any("vendor_id" in processor or "flags" in processor for processor in processors):
            return "/proc/cpuinfo describes an x86 processor"
        if TRANSLATED in cores:
            return "the processor says that it is QEMU's translator"
        if (root / "sys/kernel/boot_params").is_dir():
            return "/sys/kernel/boot_params exists only on x86 kernels"
    if architecture == X86_64:
        if cores:
            return "/proc/cpuinfo describes an ARM processor"
        if "TCG" in model or (_first(processors, "vendor_id") or "") == "VirtualApple":
            return f"the processor calls itself {model!r}"
    return ""


def _meminfo_bytes(root: Path, name: str) -> int | None:
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        match = re.fullmatch(rf"{name}:\s+([0-9]{{1,16}}) kB", line.strip())
        if match:
            return int(match[1]) * 1024
    return None


def _cgroup_room_bytes(root: Path) -> int | None:
    """Return the least that this process's control group or one around it leaves, in bytes.

    File pages that were not used lately do not count as taken: the kernel drops them on demand.
    """
    match = re.search(r"^0::/(.*)$", read_text(root / "proc/self/cgroup") or "", re.MULTILINE)
    if match is None or ".." in match[1]:
        return None
    top = root / "sys/fs/cgroup"
    group = top / match[1]
    rooms = []
    for folder in (group, *group.parents):
        limit = _number(read_text(folder / "memory.max"))
        used = _number(read_text(folder / "memory.current"))
        if limit is not None and used is not None:
            stat = read_text(folder / "memory.stat") or ""
            idle = re.search(r"^inactive_file ([0-9]{1,18})$", stat, re.MULTILINE)
            rooms.append(max(0, limit - used + int(idle[1] if idle else 0)))
        if folder == top:
            break
    return min(rooms, default=None)
