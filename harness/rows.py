"""Turns stored results into the rows of `assay show`: headline numbers with their doubt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE, Share, shares_at
from harness.records import Facts, Outcome, Params, Result, Status
from harness.repetition import process_interval, smallest_detectable_effect
from harness.statistics import Interval
from harness.verdict import ratio_of_groups


@dataclass(frozen=True, slots=True)
class Quantity:
    """One headline number, or why there is none.

    Attributes:
        unit: SI unit, per item for time and energy.
        interval: None where the quantity is unavailable.
        status: how it came about.
        reason: why it is unavailable, and the fix.
    """

    unit: str
    interval: Interval | None
    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One case as it is shown: all processes of one run together.

    Attributes:
        result: the result that speaks for the case.
        processes: how many processes measured it.
        first_call: time of the first step of a process.
        shares: what it reached of each ceiling, the nearest first.
        smallest_effect: the change, as a share, that another such run would be likely to show.
    """

    case_run: CaseRun
    time: Quantity | None
    peak_memory: Quantity | None
    energy: Quantity | None
    first_call: Quantity | None = None
    baseline: str | None = None
    speedup: Interval | None = None
    shares: tuple[Share, ...] = ()
    rates: Facts = field(default_factory=dict)
    smallest_effect: float | None = None

    @property
    def result(self) -> Result:
        """The result that speaks for the case."""
        return self.case_run.result

    @property
    def params(self) -> Params:
        """The case's parameters."""
        return self.result.case.params


def rows(cases: Iterable[CaseRun], baselines: Iterable[tuple[str, str]]) -> list[Row]:
    """Return a row for each case, in their order.

    Args:
        cases: each case once.
        baselines: pairs of a workload's name and its baseline variant's.
    """
    found = list(cases)
    baseline_of = dict(baselines)
    places = {_place(one.result): one for one in found if one.outcome is Outcome.OK}
    return [_row(one, baseline_of.get(one.case.workload), places) for one in found]


def latest_of_each_case(cases: Iterable[CaseRun]) -> list[CaseRun]:
    """Return the last run of every case in every environment, in order of first appearance."""
    latest: dict[tuple[object, ...], CaseRun] = {}
    for one in cases:
        environment = one.result.environment
        place = (environment.get("machine"), environment.get("id"), one.case.key)
        if supersedes(one, latest.get(place)):
            latest[place] = one
    return list(latest.values())


def supersedes(later: CaseRun, earlier: CaseRun | None) -> bool:
    """Return whether the later run stands for the case: a skip does not undo a measurement."""
    return earlier is None or later.outcome is not Outcome.SKIPPED


def as_json(row: Row) -> dict[str, Any]:
    """Return the row as JSON values; what is not known is null."""
    result = row.result
    work = result.work
    ceilings = [_share_json(share) for share in row.shares]
    return {
        "run": row.case_run.run,
        "workload": result.case.workload,
        "version": result.case.version,
        "variant": result.case.variant,
        "backend": result.case.backend,
        "params": dict(result.case.params),
        "seed": result.case.seed,
        "outcome": str(result.outcome),
        "reason": result.reason,
        "per": work.item if work is not None else None,
        "time_s": _quantity_json(row.time),
        "peak_bytes": _quantity_json(row.peak_memory),
        "energy": _quantity_json(row.energy),
        "speedup": None
        if row.speedup is None
        else {
            "baseline": row.baseline,
            "ratio": row.speedup.estimate,
            "ci_low": row.speedup.low,
            "ci_high": row.speedup.high,
        },
        "ceiling": ceilings[0] if ceilings else None,
        "ceilings": ceilings,
        "processes": len(row.case_run.results),
        "smallest_effect": row.smallest_effect,
        "first_call_s": _quantity_json(row.first_call),
        "rates": dict(row.rates),
        "quality": None if result.quality is None else dict(result.quality.values),
        "verification": None
        if result.verification is None
        else {
            "error": result.verification.error,
            "tolerance": result.verification.tolerance,
            "reference": result.verification.reference,
            "passed": result.verification.passed,
        },
        "spans": dict(result.spans),
        "counters": dict(result.counters),
        "inputs": dict(result.inputs),
        "flags": row.case_run.flags(),
        "started_at": result.started_at,
        "duration_s": sum(one.duration_s for one in row.case_run.results),
        "commit": result.environment.get("commit"),
        "dirty": result.environment.get("dirty"),
        "machine": result.environment.get("machine"),
        "environment": result.environment.get("id"),
    }


def _row(one: CaseRun, baseline: str | None, places: dict[tuple[object, ...], CaseRun]) -> Row:
    speedup = None
    if one.outcome is Outcome.OK and baseline is not None and baseline != one.case.variant:
        speedup = _speedup(places.get(_place(one.result, variant=baseline)), one)
    middles = [median(group) for group in one.groups("time")]
    known = len(middles) > 1 and min(middles) > 0
    time = _quantity(one, "time")
    return Row(
        case_run=one,
        time=time,
        peak_memory=_quantity(one, "peak_memory", per_item=False),
        energy=_quantity(one, "energy"),
        first_call=_quantity(one, "first_call", per_item=False),
        baseline=baseline,
        speedup=speedup,
        shares=_shares(one.result, time),
        rates=_rates(one.result, time),
        smallest_effect=smallest_detectable_effect([[m] for m in middles]) if known else None,
    )


def _place(result: Result, variant: str | None = None) -> tuple[object, ...]:
    case = result.case
    return (
        result.environment.get("machine"),
        result.environment.get("id"),
        result.environment.get("commit"),
        case.workload,
        case.version,
        variant or case.variant,
        case.backend,
        case.device_index,
        tuple(case.params.items()),
        case.seed,
    )


def _quantity(one: CaseRun, name: str, *, per_item: bool = True) -> Quantity | None:
    measured = one.measurement(name)
    if measured is None or one.outcome is not Outcome.OK:
        return None
    middles = [median(group) for group in one.groups(name, per_item=per_item)]
    if not middles:
        return Quantity(measured.unit, None, measured.status, measured.reason)
    # Some counters read 0, of which there is no logarithm and so no interval.
    if len(middles) == 1 or min(middles) <= 0:
        interval = Interval(median(middles), None, None, 0.0)
    else:
        interval = process_interval([[middle] for middle in middles])
    return Quantity(measured.unit, interval, measured.status)


def _speedup(baseline: CaseRun | None, one: CaseRun) -> Interval | None:
    if baseline is None or baseline.result.inputs != one.result.inputs:
        return None
    if IMPOSSIBLE in (*baseline.flags(), *one.flags()):
        return None
    above, below = baseline.groups("time"), one.groups("time")
    if not (above and below) or min(map(min, (*above, *below))) <= 0:
        return None
    # Not paired by round: one of the two may have been precise sooner.
    return ratio_of_groups(base=below, candidate=above)


def _shares(result: Result, time: Quantity | None) -> tuple[Share, ...]:
    """Return what the case reaches of each ceiling at its headline time, the nearest first."""
    if result.work is None or time is None or time.interval is None or time.interval.estimate <= 0:
        return ()
    return tuple(shares_at(result.ceilings, result.work, time.interval.scaled(result.work.items)))


def _share_json(share: Share) -> dict[str, Any]:
    return {
        "name": f"{share.ceiling.quantity} {share.ceiling.level}",
        "share": share.share,
        "rate": share.rate.estimate,
        "ceiling_rate": max(share.ceiling.values),
        "unit": share.ceiling.unit,
        "method": share.ceiling.method,
    }


def _rates(result: Result, time: Quantity | None) -> dict[str, float]:
    """FLOP/s and bytes/s of the declared work at the headline time."""
    work = result.work
    if work is None or time is None or time.interval is None or time.interval.estimate <= 0:
        return {}
    step_s = time.interval.estimate * work.items
    flops = {f"{dtype}_flop_per_s": n / step_s for dtype, n in work.flops.items()}
    moved = {f"{level}_byte_per_s": n / step_s for level, n in work.bytes.items()}
    return {**flops, **moved}


def _quantity_json(quantity: Quantity | None) -> dict[str, Any] | None:
    if quantity is None:
        return None
    interval = quantity.interval
    return {
        "median": None if interval is None else interval.estimate,
        "ci_low": None if interval is None else interval.low,
        "ci_high": None if interval is None else interval.high,
        "confidence": None if interval is None else interval.confidence,
        "unit": quantity.unit,
        "status": str(quantity.status),
        "reason": quantity.reason,
    }
