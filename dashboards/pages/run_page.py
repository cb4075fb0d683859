"""One run in full: every case, every process and its samples.

It tells of nothing but the run, so that its file stays as it is once the run has finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboards.asv_names import safe_name
from dashboards.pages.book import label_of, line_id
from dashboards.pages.jsonfile import (
    MAX_REASON,
    facts,
    interval,
    moment,
    number,
    numbers,
    tail,
    text,
)
from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE, Share
from harness.records import Facts, Measurement, Result
from harness.rows import Quantity, Row, rows
from harness.sighting import Sighting, sightings_of
from harness.tables import split_params
from harness.thinning import thin

_MAX_CASES = 5_000
_MAX_PROCESSES = 200
_MAX_MEASUREMENTS = 50
_MAX_SAMPLES = 400
_MAX_FLAGS = 50
_MAX_NAMES = 500
_NOT_PER_ITEM = ("peak_memory", "first_call", "canary")
_GAUGES = ("load1",)  # a level, of which there is no sum


def run_json(run: str, cases: Iterable[CaseRun], baselines: Mapping[str, str]) -> dict[str, Any]:
    """Return one run in full.

    Args:
        run: its id.
        cases: all of its cases.
        baselines: the baseline variant of each workload, where it is known.
    """
    found = list(cases)
    seen = sightings_of(found)
    shown = rows(found, baselines.items())
    varying = _varying(seen)
    environments = _Environments()
    every = sorted(zip(seen, shown, strict=True), key=lambda one: one[0].key)[:_MAX_CASES]
    return {
        "id": text(run),
        "started_at": moment(min(one.started_at for one in seen)),
        "cases": {
            one.key: _case(one, row, varying[one.case.workload], environments) for one, row in every
        },
        "environments": environments.listed,
        "more": len(found) - len(every),
    }


class _Environments:
    """The environments of a run, each once."""

    def __init__(self) -> None:
        self._found: list[Facts] = []
        self.listed: list[Any] = []

    def place(self, environment: Facts) -> int:
        """Return the place of an environment in the list."""
        for place, found in enumerate(self._found):
            if found is environment or found == environment:
                return place
        self._found.append(environment)
        self.listed.append(facts(environment))
        return len(self._found) - 1


def _varying(seen: Iterable[Sighting]) -> dict[str, list[str]]:
    params: dict[str, list[Any]] = {}
    for one in seen:
        params.setdefault(one.case.workload, []).append(one.case.params)
    return {workload: split_params(found)[1] for workload, found in params.items()}


def _case(
    seen: Sighting, row: Row, varying: Sequence[str], environments: _Environments
) -> dict[str, Any]:
    result, case, flags = row.result, seen.case, row.case_run.flags()
    headlines = (("time", row.time), ("peak_memory", row.peak_memory), ("energy", row.energy))
    return {
        "workload": text(case.workload),
        "slug": safe_name(case.workload),
        "series": line_id(seen.identity) if seen.scene.placed else None,
        "version": text(case.version),
        "variant": text(case.variant),
        "backend": text(case.backend),
        "index": case.device_index,
        "params": facts(case.params),
        "seed": facts(case.seed),
        "label": label_of(case, varying, seen.scene.settings),
        "outcome": str(result.outcome),
        "reason": text(result.reason, MAX_REASON),
        "flags": _flags(flags),
        "item": text(result.work.item) if result.work is not None else "step",
        "headlines": {
            name: _headline(found, IMPOSSIBLE in flags)
            for name, found in headlines
            if found is not None
        },
        "shares": [_share(share) for share in row.shares],
        "speedup": None
        if row.speedup is None
        else {"baseline": text(row.baseline), "ratio": interval(row.speedup)},
        "processes": [
            _process(one, environments.place(one.environment))
            for one in row.case_run.results[:_MAX_PROCESSES]
        ],
    }


def _headline(found: Quantity, impossible: bool) -> dict[str, Any]:
    return {
        "interval": None if impossible else interval(found.interval),
        "unit": text(found.unit),
        "status": IMPOSSIBLE if impossible else str(found.status),
        "reason": text(found.reason, MAX_REASON),
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "name": text(f"{share.ceiling.quantity} {share.ceiling.level}"),
        "share": number(share.share),
        "rate": interval(share.rate),
        "ceiling": number(max(share.ceiling.values)),
        "unit": text(share.ceiling.unit),
        "method": text(share.ceiling.method),
    }


def _process(result: Result, environment: int) -> dict[str, Any]:
    verification, work = result.verification, result.work
    many = any(len(measured.values) > _MAX_SAMPLES for measured in result.measurements)
    thinned = thin(result, _MAX_SAMPLES) if many else result
    profile = getattr(result, "profile", None)
    return {
        "process": result.process,
        "outcome": str(result.outcome),
        "reason": text(result.reason, MAX_REASON),
        "phase": text(result.phase),
        "started_at": round(result.started_at, 3),
        "duration_s": number(result.duration_s),
        "environment": environment,
        "verification": None
        if verification is None
        else {
            "error": number(verification.error),
            "tolerance": number(verification.tolerance),
            "reference": text(verification.reference, MAX_REASON),
            "passed": verification.passed,
            "detail": text(verification.detail, 2_000),
        },
        "spans": _amounts(result.spans),
        "counters": _amounts(result.counters),
        "inputs": facts(result.inputs),
        "quality": None
        if result.quality is None
        else {"values": _amounts(result.quality.values), "detail": text(result.quality.detail)},
        "work": None
        if work is None
        else {
            "items": number(work.items),
            "item": text(work.item),
            "flops": _amounts(work.flops),
            "bytes": _amounts(work.bytes),
            "working_set_bytes": number(work.working_set_bytes),
        },
        "flags": _flags(result.flags),
        "log_tail": tail(result.log_tail),
        "traceback": tail(result.traceback),
        "profile": None if profile is None else facts(profile),
        "measurements": [
            _measurement(measured, len(before.values), result)
            for measured, before in zip(thinned.measurements, result.measurements, strict=True)
        ][:_MAX_MEASUREMENTS],
    }


def _measurement(measured: Measurement, count: int, result: Result) -> dict[str, Any]:
    per_item = measured.quantity not in _NOT_PER_ITEM and result.work is not None
    items = result.work.items if per_item and result.work is not None else 1.0
    totals, disturbed = _noise(measured.noise)
    return {
        "quantity": text(measured.quantity),
        "unit": text(measured.unit),
        "scope": text(measured.scope),
        "meter": text(measured.meter),
        "phase": text(measured.phase),
        "status": str(measured.status),
        "reason": text(measured.reason, MAX_REASON),
        "flags": _flags(measured.flags),
        "steps_per_sample": measured.steps_per_sample,
        "per_item": per_item,
        "values": numbers([value / items for value in measured.values]),
        "thinned": count if count > len(measured.values) else None,
        "noise": totals,
        "disturbed": disturbed,
    }


def _noise(noise: Sequence[Mapping[str, float]]) -> tuple[list[list[Any]], list[int]]:
    """Return what grew over all samples together, and which samples anything grew in.

    Of a gauge the highest reading is told instead of a sum.
    """
    total: dict[str, float] = {}
    disturbed = []
    for place, sample in enumerate(noise):
        grown = False
        for name, value in sample.items():
            if name in _GAUGES:
                total[name] = max(value, total.get(name, value))
            elif value:
                total[name] = total.get(name, 0.0) + value
                grown = True
            else:
                total.setdefault(name, 0.0)
        if grown:
            disturbed.append(place)
    return [[text(name), number(total[name])] for name in sorted(total)[:_MAX_NAMES]], disturbed


def _amounts(amounts: Mapping[str, float]) -> dict[str, float | None]:
    return {text(name): number(amounts[name]) for name in list(amounts)[:_MAX_NAMES]}


def _flags(flags: Sequence[str]) -> list[str]:
    return [text(flag) for flag in flags[:_MAX_FLAGS]]
