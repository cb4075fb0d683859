"""Keeps the results that asv itself has measured, and unites their benchmarks with the exported."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboards.asv_grid import MAX_CELLS
from harness.errors import AssayError

_BENCHMARKS = "benchmarks.json"
_MACHINE = "machine.json"

Axes = dict[tuple[str, object], list[Sequence[Sequence[str]]]]
"""The axes of each result, by the benchmark's name and version."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What asv has written into the folder of an export.

    Attributes:
        folder: that folder.
        files: asv's files in it, `<machine>/<name>.json`, with their content.
        benchmarks: what asv's benchmarks.json says, by benchmark.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    benchmarks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def results_of_asv(folder: Path, ours: Collection[str]) -> Kept:
    """Return what asv has written into the folder of an export.

    Args:
        folder: where asv's results are; need not exist.
        ours: the names of the files that an export wrote.

    Raises:
        AssayError: there is a file that neither wrote.
    """
    if not folder.exists():
        return Kept(folder)
    files = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        name = path.relative_to(folder).as_posix()
        known = name == _BENCHMARKS or (name in ours and path.name != _MACHINE)
        if known or (path.is_dir() and not path.is_symlink()):
            continue
        content = None if path.is_symlink() else _content(path)
        wanted = "machine" if path.name == _MACHINE else "result_columns"
        if content is None or wanted not in content or len(path.relative_to(folder).parts) != 2:
            raise AssayError(
                f"{path} was not written by `assay publish`, which would delete it; "
                "move it away or choose another folder"
            )
        files[name] = content
    # asv reads no result without its machine, be it one that the former export has described.
    machines = {Path(name).parent for name in files if Path(name).name != _MACHINE}
    kept = {
        name: content
        for name, content in files.items()
        if name not in ours or Path(name).parent in machines
    }
    described = _content(folder / _BENCHMARKS) or {}
    benchmarks = {name: one for name, one in described.items() if isinstance(one, dict)}
    return Kept(folder, kept, benchmarks)


def keep(kept: Kept, fresh: Path) -> None:
    """Copy asv's files to a new export, which has the last word where both have one."""
    for name in kept.files:
        target = fresh / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(kept.folder / name, target)


def axes_of_asv(kept: Kept) -> Axes:
    """Return the parameters' values in each of asv's files, by benchmark and version."""
    found: Axes = {}
    for content in kept.files.values():
        columns = content.get("result_columns", ())
        for name, row in content.get("results", {}).items():
            told = dict(zip(columns, row, strict=False))
            found.setdefault((name, told.get("version")), []).append(told.get("params") or [])
    return found


def united(
    axes: Sequence[Sequence[str]], others: Iterable[Sequence[Sequence[str]]]
) -> tuple[tuple[str, ...], ...]:
    """Return the axes with the values that others have besides, numbers in numerical order.

    asv draws the values that its benchmarks.json names. Others with another number of axes, and
    those that make more cells than a dashboard holds, add nothing.
    """
    found = tuple(map(tuple, axes))
    for other in others:
        if len(other) == len(found):
            wider = tuple(map(_with, found, other))
            found = wider if math.prod(map(len, wider)) <= MAX_CELLS else found
    return found


def only_by_asv(kept: Kept, measured: Axes, ours: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the benchmarks, as asv describes them, of which it has results and the export none."""
    return {
        name: {**told, "params": united(told.get("params") or (), measured[name, told["version"]])}
        for name, told in kept.benchmarks.items()
        if name not in ours and (name, told.get("version")) in measured
    }


def _with(values: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    found = dict.fromkeys([*values, *more])
    if len(found) == len(values):
        return tuple(values)
    with contextlib.suppress(ValueError):
        return tuple(sorted(found, key=float))
    return tuple(found)


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
