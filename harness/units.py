"""Reads quantities as people type them and writes them as people read them; records stay in SI."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from harness.errors import AssayError

_NUMBER = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z%]*)\s*")
_CPUS = re.compile(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*")
_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1.0, "b": 1.0} | {
    unit: float(1 << shift)
    for shift, units in ((10, ("k", "kib")), (20, ("m", "mib")), (30, ("g", "gib")))
    for unit in units
}
_SHARES = {"": 1.0, "%": 0.01}
_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
_MAX_SECONDS = 100 * 365 * 86400.0  # the clocks of the system hold more, a user means less
_MAX_BYTES = (1 << 63) - 1  # what a limit of the kernel can say
_QUOTED = 40  # characters of a wrong value that are told; enough to know it again
_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def parse_duration(text: str) -> float:
    """Return seconds from "90", "90s", "10m", "2h", "3d" or "250ms".

    Raises:
        AssayError: it is not a positive duration of at most a century.
    """
    return _parse(text, _SECONDS, "a duration such as 90s, 10m or 2h", most=_MAX_SECONDS)


def parse_bytes(text: str) -> int:
    """Return bytes from "4096", "512M" or "8GiB"; prefixes are binary.

    Raises:
        AssayError: it is not a size of at least one byte and less than 8 EiB.
    """
    wanted = "a size such as 512M or 8G"
    size = int(_parse(text.lower(), _BYTES, wanted, most=_MAX_BYTES))
    if size < 1:
        raise _refused(text, wanted)
    return size


def parse_share(text: str) -> float:
    """Return a share from "2%" or "0.02".

    Raises:
        AssayError: it is not above 0 and at most 100 %.
    """
    share = _parse(text, _SHARES, "a share such as 2%")
    if share > 1:
        raise AssayError(f"{_quoted(text)} is over 100 %; give a share such as 2%")
    return share


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return CPU numbers from "0,2-4", each once, sorted.

    Raises:
        AssayError: it is not a list of CPU numbers and ranges.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        match = _CPUS.fullmatch(part)
        if match is None:
            raise _refused(text, "a list of CPUs such as 0,2-3")
        start, stop = int(match[1]), int(match[2] or match[1])
        if not start <= stop < 1 << 16:
            raise _refused(text, "a list of CPUs such as 0,2-3")
        cpus.update(range(start, stop + 1))
    return tuple(sorted(cpus))


def format_si(value: float, unit: str) -> str:
    """Return three significant digits with the prefix that suits them: "1.23 ms", "45 nJ"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor * 0.9995:
            return f"{_three_digits(value / factor)} {prefix}{unit}"
    return f"{value:.2e} {unit}"


def format_bytes(value: float) -> str:
    """Return three significant digits with a binary prefix: "12.5 MiB"."""
    for factor, unit in _BINARY:
        if abs(value) >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def format_duration(seconds: float) -> str:
    """Return "45 s", "3 min 20 s" or "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.{0 if magnitude >= 99.95 else 1 if magnitude >= 9.995 else 2}f}"


def _parse(text: str, units: Mapping[str, float], wanted: str, most: float = math.inf) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in units:
        raise _refused(text, wanted)
    value = float(match[1]) * units[match[2]]
    if not 0 < value <= most:
        raise _refused(text, wanted)
    return value


def _refused(text: str, wanted: str) -> AssayError:
    return AssayError(f"{_quoted(text)} is not {wanted}")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}...")
