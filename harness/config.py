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

_SUITE_KEYS = {
    "workloads": list,
    "backends": list,
    "variants": list,
    "params": dict,
    "size": str,
    "seed": int,
    "precision": str,
    "budget": str,
    "timeout": str,
    "threads": int,
    "pin": str,
    "memory_limit": str,
}
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
    if path is None:
        path = Path(FILE_NAME)
        if not path.exists():
            return Config()
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise AssayError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AssayError(f"{path} is not valid TOML: {error}") from error
    for key in tables:
        if key not in ("results", "suites"):
            raise unknown(f"key in {path}:", key, ("results", "suites"))
    suites = _table(path, "suites", tables.get("suites", {}))
    return Config(
        results=path.parent / _text(path, "results", tables.get("results", "results")),
        suites={name: _suite(path, name, _table(path, name, suites[name])) for name in suites},
    )


def _suite(path: Path, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in table.items():
        where = f"{path}, suite {name}"
        if key not in _SUITE_KEYS:
            raise unknown(f"key in {where}:", key, _SUITE_KEYS)
        kind = _SUITE_KEYS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise AssayError(f"{where}: {key} must be {_KINDS[kind]}, not {value!r}")
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
    if not isinstance(value, str):
        raise AssayError(f"{path}: {name} must be a text in quotes, not {value!r}")
    return value
