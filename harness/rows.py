"""Turns stored results into the rows of `assay show`: headline numbers with their doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records import Facts, Measurement, Outcome, Params, Result, Status
from harness.statistics import Interval, median_interval, ratio_interval


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
class Ceiling:
    """The most the device could do, and how much of it was reached.

    Attributes:
        name: what bounds the case.
        rate: the bound as it was measured in the same worker, in `unit`.
        unit: "B/s".
        share: the case's own rate over the bound.
    """

    name: str
    rate: Interval
    unit: str
    share: float


@dataclass(frozen=True, slots=True)
class Row:
    """One case as it is shown."""

    result: Result
    time: Quantity | None
    peak_memory: Quantity | None
    energy: Quantity | None
    baseline: str | None = None
    speedup: Interval | None = None
    ceiling: Ceiling | None = None
    rates: Facts = field(default_factory=dict)

    @property
    def params(self) -> Params:
        """The case's parameters."""
        return self.result.case.params


def rows(results: Iterable[Result], baselines: Iterable[tuple[str, str]]) -> list[Row]:
    """Return a row for each result, in their order.

    Args:
        results: at most one result a case.
        baselines: pairs of a workload's name and its baseline variant's.
    """
    found = list(results)
    baseline_of = dict(baselines)
    times = {_place(result): result for result in found if result.outcome is Outcome.OK}
    return [_row(result, baseline_of.get(result.case.workload), times) for result in found]


def latest_of_each_case(results: Iterable[Result]) -> list[Result]:
    """Return the last result of every case in every environment, in order of first appearance."""
    latest: dict[tuple[object, ...], Result] = {}
    for result in results:
        environment = result.environment
        place = (environment.get("machine"), environment.get("id"), result.case.key)
        if supersedes(result, latest.get(place)):
            latest[place] = result
    return list(latest.values())


def supersedes(later: Result, earlier: Result | None) -> bool:
    """Return whether the later result stands for the case: a skip does not undo a measurement."""
    return earlier is None or later.outcome is not Outcome.SKIPPED


def as_json(row: Row) -> dict[str, Any]:
    """Return the row as JSON values; what is not known is null."""
    result = row.result
    work = result.work
    return {
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
        "ceiling": None
        if row.ceiling is None
        else {
            "name": row.ceiling.name,
            "share": row.ceiling.share,
            "rate": row.ceiling.rate.estimate,
            "unit": row.ceiling.unit,
        },
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
        "flags": flags(result),
        "started_at": result.started_at,
        "duration_s": result.duration_s,
        "commit": result.environment.get("commit"),
        "dirty": result.environment.get("dirty"),
        "machine": result.environment.get("machine"),
        "environment": result.environment.get("id"),
    }


def flags(result: Result) -> list[str]:
    """Return the result's own flags and those of its time, each once."""
    time = result.measurement("time")
    return list(dict.fromkeys([*result.flags, *(time.flags if time is not None else ())]))


def _row(result: Result, baseline: str | None, times: dict[tuple[object, ...], Result]) -> Row:
    time = result.measurement("time")
    items = result.work.items if result.work is not None else 1.0
    speedup = None
    if result.outcome is Outcome.OK and baseline is not None and baseline != result.case.variant:
        speedup = _speedup(times.get(_place(result, variant=baseline)), result)
    return Row(
        result=result,
        time=_quantity(time, per=items),
        peak_memory=_quantity(result.measurement("peak_memory"), per=1.0),
        energy=_quantity(result.measurement("energy"), per=items),
        baseline=baseline,
        speedup=speedup,
        ceiling=_ceiling(result, time),
        rates=_rates(result, time),
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


def _quantity(measurement: Measurement | None, per: float) -> Quantity | None:
    if measurement is None:
        return None
    if not measurement.values:
        return Quantity(measurement.unit, None, measurement.status, measurement.reason)
    interval = median_interval([value / per for value in measurement.values])
    return Quantity(measurement.unit, interval, measurement.status)


def _speedup(baseline: Result | None, result: Result) -> Interval | None:
    if baseline is None or baseline.inputs != result.inputs:
        return None
    above, below = _times(baseline), _times(result)
    return ratio_interval(above, below) if above and below else None


def _times(result: Result) -> Sequence[float]:
    """Seconds per item, so that variants with steps of different length compare."""
    time = result.measurement("time")
    if time is None or result.work is None or min(time.values, default=0.0) <= 0:
        return ()
    return [value / result.work.items for value in time.values]


def _rates(result: Result, time: Measurement | None) -> dict[str, float]:
    """FLOP/s and bytes/s of the declared work at the median time."""
    if result.work is None or time is None or not time.values:
        return {}
    step_s = median_interval(time.values).estimate
    if step_s <= 0:
        return {}
    flops = {f"{dtype}_flop_per_s": n / step_s for dtype, n in result.work.flops.items()}
    moved = {f"{level}_byte_per_s": n / step_s for level, n in result.work.bytes.items()}
    return {**flops, **moved}


def _ceiling(result: Result, time: Measurement | None) -> Ceiling | None:
    """Declared memory traffic at the median time, over the rate of a plain read of as much data."""
    stream = result.measurement("stream_rate")
    rate = _rates(result, time).get("memory_byte_per_s")
    if stream is None or not stream.values or rate is None:
        return None
    bound = median_interval(stream.values)
    return Ceiling("memory stream", bound, stream.unit, rate / bound.estimate)


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
