"""Turns stored values, which anybody may have written, into bounded JSON for the pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.statistics import Interval

MAX_NAME = 200
MAX_REASON = 300
MAX_LOG = 20_000
_MAX_FACT = 2_000
_MAX_ENTRIES = 500
_MAX_DEPTH = 6
_EXACT = 2**53  # a whole number beyond it is another one in JavaScript

_TENS = np.array([float(f"1e{power}") for power in range(23)])  # exact, all of them
_NEXT_TO_A_TIE = 1e-6  # of a number below a million, whose own error is below 1e-9


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, compact and with sorted keys: equal values give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # It may be a second name of a file in the cache, whose bytes must stay.
    path.unlink(missing_ok=True)
    path.write_bytes(msgspec.json.encode(value, order="deterministic"))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of which a reader sees the former or the new content, never a part."""
    part = path.with_name(f".{path.name}.{token_hex(4)}")
    part.write_bytes(content)
    part.replace(path)


def text(value: object, limit: int = MAX_NAME) -> str:
    """Return a value as text of at most `limit` characters that UTF-8 can hold."""
    found = value if isinstance(value, str) else str(value)
    if len(found) > limit:
        found = found[: limit - 1] + "\u2026"
    return found if found.isascii() else found.encode("utf-8", "replace").decode()


def tail(value: str, limit: int = MAX_LOG) -> str:
    """Return the end of a text, of at most `limit` characters, where its news are."""
    return text(value if len(value) <= limit else "\u2026" + value[1 - limit :], limit)


def number(value: float | None) -> float | None:
    """Return a number with six significant digits; None for what is none, NaN or infinite."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < _EXACT else rounded


def moment(unix_s: float) -> int:
    """Return a time as whole seconds, which is what pages show."""
    return round(unix_s)


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """Return each of the values with six significant digits, as `number` does."""
    return [
        None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
        for value in values
    ]


def column(values: NDArray[np.float64]) -> list[float | None]:
    """Return what `numbers` does of many values; [rows].

    A number of six digits is a whole one times a power of ten. Both are exact up to 10**22, so
    that the one product or quotient is the nearest number to the decimal (Clinger, How to Read
    Floating Point Numbers Accurately, PLDI 1990, sec. 4). Where the whole number is not certain,
    next to a tie and beyond those powers, the value is formatted and read.
    """
    with np.errstate(all="ignore"):
        powers = 5.0 - np.floor(np.log10(np.abs(values)))
        near = np.abs(powers) < len(_TENS)
        powers[~near] = 0.0
        tens, grows = _TENS[np.abs(powers).astype(np.intp)], powers >= 0.0
        whole = np.where(grows, values * tens, values / tens)
        digits = np.rint(whole)
        certain = near & (np.abs(whole) < 1e6) & (np.abs(whole) >= 1e5)
        certain &= np.abs(np.abs(whole - digits) - 0.5) > _NEXT_TO_A_TIE
        found: list[float | None] = np.where(grows, digits / tens, digits * tens).tolist()
    for place in np.flatnonzero(~certain).tolist():
        [found[place]] = numbers([float(values[place])])
    return found


def interval(value: Interval | None) -> list[float | None] | None:
    """Return `[estimate, low, high]`; None where there is no number."""
    if value is None or not math.isfinite(value.estimate):
        return None
    return [number(value.estimate), number(value.low), number(value.high)]


def facts(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return any JSON value with its texts, its lists and its depth bounded."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return text(value, _MAX_FACT)
    if depth == 0:
        return "\u2026"
    if isinstance(value, Mapping):
        names = list(value)[:_MAX_ENTRIES]
        return {text(name): facts(value[name], depth - 1) for name in names}
    if isinstance(value, Sequence):
        return [facts(one, depth - 1) for one in value[:_MAX_ENTRIES]]
    return text(value, _MAX_FACT)
