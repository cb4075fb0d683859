"""The names of AArch64 cores by the implementer and part numbers that they report of themselves.

Numbers: MIDR_EL1 fields Implementer (bits 31:24) and PartNum (15:4), Arm Architecture Reference
Manual DDI 0487, as assigned in the cores' technical reference manuals and collected in Linux's
`arch/arm64/include/asm/cputype.h` and util-linux's `lscpu`.
"""

from __future__ import annotations

from collections.abc import Mapping


def core_name(implementer: int, part: int) -> str:
    """Return the core's name, such as "Neoverse-V2"; an unknown one keeps its numbers."""
    known = _PARTS.get(implementer, {}).get(part)
    return known or f"{implementer_name(implementer)} part 0x{part:03x}"


def implementer_name(implementer: int) -> str:
    """Return who designed the core, such as "ARM" or "Apple"; an unknown one keeps its number."""
    return _IMPLEMENTERS.get(implementer, f"implementer 0x{implementer:02x}")


# QEMU's "max" model, which exists only under its translator, reports implementer 0 and the letter
# Q as its part (QEMU, target/arm/tcg/cpu64.c, aarch64_max_tcg_initfn).
TRANSLATED = (0x00, 0x051)

_IMPLEMENTERS: Mapping[int, str] = {
    0x00: "QEMU",
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "APM",
    0x51: "Qualcomm",
    0x61: "Apple",
    0x6D: "Microsoft",
    0x70: "Phytium",
    0xC0: "Ampere",
}

_PARTS: Mapping[int, Mapping[int, str]] = {
    0x00: {0x051: "QEMU-max"},
    0x41: {
        0xD02: "Cortex-A34",
        0xD03: "Cortex-A53",
        0xD04: "Cortex-A35",
        0xD05: "Cortex-A55",
        0xD06: "Cortex-A65",
        0xD07: "Cortex-A57",
        0xD08: "Cortex-A72",
        0xD09: "Cortex-A73",
        0xD0A: "Cortex-A75",
        0xD0B: "Cortex-A76",
        0xD0C: "Neoverse-N1",
        0xD0D: "Cortex-A77",
        0xD0E: "Cortex-A76AE",
        0xD40: "Neoverse-V1",
        0xD41: "Cortex-A78",
        0xD42: "Cortex-A78AE",
        0xD43: "Cortex-A65AE",
        0xD44: "Cortex-X1",
        0xD46: "Cortex-A510",
        0xD47: "Cortex-A710",
        0xD48: "Cortex-X2",
        0xD49: "Neoverse-N2",
        0xD4A: "Neoverse-E1",
        0xD4B: "Cortex-A78C",
        0xD4C: "Cortex-X1C",
        0xD4D: "Cortex-A715",
        0xD4E: "Cortex-X3",
        0xD4F: "Neoverse-V2",
        0xD80: "Cortex-A520",
        0xD81: "Cortex-A720",
        0xD82: "Cortex-X4",
        0xD83: "Neoverse-V3AE",
        0xD84: "Neoverse-V3",
        0xD85: "Cortex-X925",
        0xD87: "Cortex-A725",
        0xD88: "Cortex-A520AE",
        0xD89: "Cortex-A720AE",
        0xD8E: "Neoverse-N3",
    },
    0x42: {0x516: "ThunderX2"},
    0x43: {0x0A1: "ThunderX", 0x0AF: "ThunderX2", 0x0B8: "ThunderX3"},
    0x46: {0x001: "A64FX", 0x003: "MONAKA"},
    0x48: {0xD01: "TaiShan-v110"},
    0x4E: {0x000: "Denver", 0x003: "Denver-2", 0x004: "Carmel", 0x010: "Olympus"},
    0x50: {0x000: "X-Gene"},
    0x51: {
        0x001: "Oryon",
        0x800: "Kryo-2xx-Gold",
        0x801: "Kryo-2xx-Silver",
        0x802: "Kryo-3xx-Gold",
        0x803: "Kryo-3xx-Silver",
        0x804: "Kryo-4xx-Gold",
        0x805: "Kryo-4xx-Silver",
        0xC00: "Falkor",
        0xC01: "Saphira",
    },
    0x61: {
        0x022: "Icestorm-M1",
        0x023: "Firestorm-M1",
        0x024: "Icestorm-M1-Pro",
        0x025: "Firestorm-M1-Pro",
        0x028: "Icestorm-M1-Max",
        0x029: "Firestorm-M1-Max",
        0x032: "Blizzard-M2",
        0x033: "Avalanche-M2",
        0x034: "Blizzard-M2-Pro",
        0x035: "Avalanche-M2-Pro",
        0x038: "Blizzard-M2-Max",
        0x039: "Avalanche-M2-Max",
    },
    0x6D: {0xD49: "Azure-Cobalt-100"},
    0x70: {0x662: "FTC662", 0x663: "FTC663", 0x664: "FTC664"},
    0xC0: {0xAC3: "Ampere-1", 0xAC4: "Ampere-1A"},
}
