"""Reads the one optional `assay.toml`: where results lie, and suites of `assay run` options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import AssayError, unknown
from harness.units import parse_bytes, parse_duration, parse_share

FILE_NAME = "assay.toml"

MAX_FILE_BYTES = 1 << 20
"""Thousands of suites; anything beyond is not an `assay.toml`."""

MAX_WHOLE = (1 << 63) - 1
"""The largest whole number of TOML; every library takes a seed as large."""

_SUITE_KEYS = {
    "workloads": list,
    "backends": list,
    "variants": list,
    "params": dict,
    "size": str,
    "seed": int,
    "precision": str,
    "processes": int,
    "budget": str,
    "timeout": str,
    "threads": int,
    "pin": str,
    "memory_limit": str,
}
_LEAST = {"seed": 0, "threads": 1, "processes": 1}
_KINDS = {list: "a list of words", dict: "a table", str: "a text in quotes", int: "a whole number"}


@dataclass(frozen=True, slots=True)
class Config:
    """What `assay.toml` says; the defaults where there is none.

    Attributes:
        results: the results folder.
        suites: options of `assay run` by suite name, named as on the command line.
    """

    results: Path = Path("results")
    suites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def suite(self, name: str) -> Mapping[str, Any]:
        """Return the options of one suite.

        Raises:
            AssayError: there is no such suite.
        """
        if name not in self.suites:
            raise unknown("suite", name, self.suites)
        return self.suites[name]


def load(path: Path | None = None) -> Config:
    """Read the configuration at `path`, or the current folder's where there is one.

    Raises:
        AssayError: the file is missing though it was named, or says something that is not known.
    """
    named = path is not None
    path = path or Path(FILE_NAME)
    tables = _read(path, required=named)
    for key in tables:
        if key not in ("results", "suites"):
            raise unknown(f"key in {path}:", key, ("results", "suites"))
    suites = _table(path, "suites", tables.get("suites", {}))
    return Config(
        results=path.parent / _text(path, "results", tables.get("results", "results")),
        suites={name: _suite(path, name, _table(path, name, suites[name])) for name in suites},
    )


def _read(path: Path, required: bool) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        if not required:
            return {}
        raise AssayError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise AssayError(f"cannot read {path}: {error.strerror}") from error
    if len(body) > MAX_FILE_BYTES:
        raise AssayError(f"{path} is over {MAX_FILE_BYTES >> 20} MiB; name an assay.toml")
    try:
        return tomllib.loads(body.decode())
    # ValueError: broken TOML or UTF-8, or a whole number of thousands of digits.
    except ValueError as error:
        raise AssayError(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise AssayError(f"{path} nests too deeply; a suite needs three levels") from error


def _suite(path: Path, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    where = f"{path}, suite {name}"
    for key, value in table.items():
        if key not in _SUITE_KEYS:
            raise unknown(f"key in {where}:", key, _SUITE_KEYS)
        kind = _SUITE_KEYS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise AssayError(f"{where}: {key} must be {_KINDS[kind]}, not {value!r}")
        if isinstance(value, list) and not all(isinstance(word, str) for word in value):
            raise AssayError(f"{where}: {key} must be {_KINDS[list]}, not {value!r}")
        if isinstance(value, int) and not _LEAST[key] <= value <= MAX_WHOLE:
            raise AssayError(
                f"{where}: {key} must be from {_LEAST[key]} to {MAX_WHOLE}, not {value}"
            )
    for param, value in table.get("params", {}).items():
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(one, bool | int | float | str) for one in values):
            raise AssayError(
                f"{where}: params.{param} must be a text, a number, true or false, or a list of "
                f"these, not {value!r}"
            )
    parsers = {
        "precision": parse_share,
        "budget": parse_duration,
        "timeout": parse_duration,
        "memory_limit": parse_bytes,
    }
    return {key: parsers[key](value) if key in parsers else value for key, value in table.items()}


def _table(path: Path, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise AssayError(f"{path}: {name} must be a table, not {value!r}")
    return value


def _text(path: Path, name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise AssayError(f"{path}: {name} must be a text in quotes, not {value!r}")
    return value
