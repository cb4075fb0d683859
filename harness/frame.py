"""The whole store as one tidy pandas DataFrame."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from harness import store
from harness.printable import printable
from harness.records import Measurement, Result
from harness.store import StoredResult

_COLUMNS = (
    "run", "workload", "version", "variant", "backend", "device_index", "seed", "process",
    "outcome", "reason", "quantity", "unit", "scope", "meter", "phase", "status", "sample",
    "value", "items", "value_per_item", "flags", "started_at", "machine", "environment", "commit",
    "dirty",
)  # fmt: skip


class UnreadableWarning(UserWarning):
    """A result or a run that is missing from the frame, because it cannot be read."""


def results_frame(root: Path | str) -> pd.DataFrame:
    """Return a row for each sample of each quantity of each readable result below `root`.

    Columns: the case (`run`, `workload`, `version`, `variant`, `backend`, `device_index`, `seed`,
    `process`, and `param.NAME` for each parameter), how it ended (`outcome`, `reason`), the sample
    (`quantity`, `unit`, `scope`, `meter`, `phase`, `status`, `sample` counting from 0, `value` per
    step in SI units, `items` per step, `value_per_item`, `flags` in one text), and where it comes
    from (`started_at` in UTC, `machine`, `environment`, `commit`, `dirty`). A quantity without
    samples, and a result without quantities, has one row whose `value` is NaN.

    What cannot be read is left out, with an `UnreadableWarning` for each file or folder.

    Raises:
        AssayError: `root` itself cannot be read.
    """
    contents = store.read(Path(root))
    for problem in contents.problems:
        warnings.warn(printable(problem), UnreadableWarning, stacklevel=2)
    frame = pd.DataFrame([row for stored in contents.results for row in _rows(stored)])
    for name in _COLUMNS:
        if name not in frame:
            frame[name] = None
    params = sorted(name for name in frame.columns if name.startswith("param."))
    frame = frame[[*_COLUMNS, *params]]
    frame["started_at"] = pd.to_datetime(frame["started_at"].astype(float), unit="s", utc=True)
    return frame.astype({"value": float, "items": float, "value_per_item": float})


def _rows(stored: StoredResult) -> Iterator[dict[str, Any]]:
    result = stored.result
    base = _base(stored.run, result)
    if not result.measurements:
        yield base | {"value": float("nan")}
    for measurement in result.measurements:
        flags = " ".join((*result.flags, *measurement.flags))
        own = base | {"flags": flags, "reason": measurement.reason or result.reason}
        yield from _samples(own, measurement, result.work.items if result.work else 1.0)


def _samples(
    base: dict[str, Any], measurement: Measurement, items: float
) -> Iterator[dict[str, Any]]:
    shared = base | {
        "quantity": measurement.quantity,
        "unit": measurement.unit,
        "scope": measurement.scope,
        "meter": measurement.meter,
        "phase": measurement.phase,
        "status": str(measurement.status),
        "items": items,
    }
    divisor = items if measurement.quantity in ("time", "energy") else 1.0
    for sample, value in enumerate(measurement.values):
        yield shared | {"sample": sample, "value": value, "value_per_item": value / divisor}
    if not measurement.values:
        yield shared | {"value": float("nan")}


def _base(run: str, result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "run": run,
        "workload": case.workload,
        "version": case.version,
        "variant": case.variant,
        "backend": case.backend,
        "device_index": case.device_index,
        "seed": case.seed,
        "process": result.process,
        "outcome": str(result.outcome),
        "reason": result.reason,
        "flags": " ".join(result.flags),
        "started_at": result.started_at,
        "machine": result.environment.get("machine"),
        "environment": result.environment.get("id"),
        "commit": result.environment.get("commit"),
        "dirty": result.environment.get("dirty"),
        **{f"param.{name}": value for name, value in case.params.items()},
    }
