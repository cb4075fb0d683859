"""Holds a result against the most that its device was seen to do, from what its step declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from harness.records import Ceiling, Result, Work
from harness.statistics import Interval, median_interval
from harness.units import format_bytes

IMPOSSIBLE = "impossible"
"""Flag of a result beyond a ceiling's own interval; it does not enter comparisons."""

MARGIN = 0.10
"""How far above its best repetition a ceiling may lie at least, as a share.

A busy machine reads too low, never too high: what is seen at best is not yet the most there is.
"""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a ceiling a case reaches.

    Attributes:
        ceiling: what bounds it.
        rate: declared work over the time of a step, with that time's interval, in the ceiling's
            unit; without an interval where the time has none.
        share: the rate over the ceiling's best repetition.
    """

    ceiling: Ceiling
    rate: Interval
    share: float


def relevant(ceilings: Iterable[Ceiling], work: Work) -> tuple[Ceiling, ...]:
    """Return what bounds a step of this work: of memory one ceiling a method, of each dtype one.

    Rates of memory fall with size, so what is moved at the largest measured size that the working
    set still fills bounds it from above; a smaller working set is bounded by the smallest size.
    Where a larger size was faster all the same, the smaller one met a bad moment and the larger one
    bounds. Without a declared working set no ceiling of memory can be chosen.
    """
    measured = [ceiling for ceiling in ceilings if ceiling.values]
    found = []
    if work.bytes.get("memory", 0) > 0 and work.working_set_bytes is not None:
        rates = list(_memory_from(measured, work.working_set_bytes))
        for method in dict.fromkeys(ceiling.method for ceiling in rates):
            found.append(_highest(c for c in rates if c.method == method))
    if work.bytes.get("disk", 0) > 0:
        found.append(_highest(c for c in measured if c.quantity == "disk_rate"))
    for dtype, count in work.flops.items():
        if count > 0:
            of_dtype = (c for c in measured if (c.quantity, c.level) == ("flop_rate", dtype))
            found.append(_highest(of_dtype))
    return tuple(ceiling for ceiling in found if ceiling is not None)


def shares(result: Result) -> list[Share]:
    """Return how much of its ceilings one process reaches, as `shares_at` does.

    Empty where it declares no work, was not timed, or is bounded by nothing that was measured.
    """
    time = result.measurement("time")
    if result.work is None or time is None or min(time.values, default=0.0) <= 0:
        return []
    return shares_at(result.ceilings, result.work, median_interval(time.values))


def shares_at(ceilings: Iterable[Ceiling], work: Work, step_s: Interval) -> list[Share]:
    """Return how much of each kind of ceiling a step of that time reaches, the nearest first.

    Of several ceilings of one kind the lowest counts that the rate does not exceed: what only reads
    stays below the rate of reading, and what also writes is held against reading and writing.
    """
    found = []
    for same in _by_kind(ceilings):
        amount = _declared(work, same[0])
        if amount > 0:
            rate = _rate(amount, step_s)
            ceiling = next((c for c in same if rate.estimate <= upper_end(c)), same[-1])
            found.append(Share(ceiling, rate, rate.estimate / max(ceiling.values)))
    return sorted(found, key=lambda share: share.share, reverse=True)


def impossible(result: Result) -> str | None:
    """Return why the result cannot be true, in one line; None where it may be.

    It cannot where the whole interval of its rate lies above `upper_end` of every ceiling of a
    kind: then the step does not do what it declares, is not waited for, or works on nearer data
    than it says. A rate without an interval is taken from the slowest sample.
    """
    time = result.measurement("time")
    for share in shares(result):
        ceiling, top = share.ceiling, upper_end(share.ceiling)
        low = share.rate.low
        if low is None and time is not None:
            low = _declared(result.work or Work(), ceiling) / max(time.values)
        if low is not None and low > top:
            return (
                f"declares at least {low:.3g} {ceiling.unit}, but {_described(ceiling)} is at most "
                f"{top:.3g} {ceiling.unit} here; correct work() or what step() leaves undone"
            )
    return None


def upper_end(ceiling: Ceiling) -> float:
    """Return the upper end of a ceiling's interval, in its unit.

    That is the best repetition and, above it, the larger of `MARGIN` and the distance by which the
    best lies above the median: what one more lucky repetition might add.
    """
    best = max(ceiling.values)
    return best + max(MARGIN * best, best - median(ceiling.values))


def _memory_from(measured: Iterable[Ceiling], working_set_bytes: float) -> Iterator[Ceiling]:
    rates = [(c.size_bytes, c) for c in measured if c.quantity == "memory_rate"]
    sizes = sorted(size for size, _ in rates if size is not None)
    if not sizes:
        return
    least = max((size for size in sizes if size <= working_set_bytes), default=sizes[0])
    for size, ceiling in rates:
        if size is not None and size >= least:
            yield ceiling


def _highest(ceilings: Iterable[Ceiling]) -> Ceiling | None:
    return max(ceilings, key=upper_end, default=None)


def _by_kind(ceilings: Iterable[Ceiling]) -> list[list[Ceiling]]:
    """Return the ceilings of one quantity, and of one dtype, together, the lowest first."""
    kinds: dict[tuple[str, str], list[Ceiling]] = {}
    for ceiling in ceilings:
        if ceiling.values and max(ceiling.values) > 0:
            dtype = ceiling.level if ceiling.quantity == "flop_rate" else ""
            kinds.setdefault((ceiling.quantity, dtype), []).append(ceiling)
    return [sorted(same, key=upper_end) for same in kinds.values()]


def _rate(amount: float, step_s: Interval) -> Interval:
    return Interval(
        amount / step_s.estimate,
        None if step_s.high is None else amount / step_s.high,
        None if step_s.low is None else amount / step_s.low,
        step_s.confidence,
    )


def _declared(work: Work, ceiling: Ceiling) -> float:
    read = _AMOUNTS.get(ceiling.quantity)
    return 0.0 if read is None else read(work, ceiling)


_AMOUNTS: dict[str, Callable[[Work, Ceiling], float]] = {
    "memory_rate": lambda work, ceiling: work.bytes.get("memory", 0.0),
    "disk_rate": lambda work, ceiling: work.bytes.get("disk", 0.0),
    "flop_rate": lambda work, ceiling: work.flops.get(ceiling.level, 0.0),
}


def _described(ceiling: Ceiling) -> str:
    size = "" if ceiling.size_bytes is None else f" at {format_bytes(ceiling.size_bytes)}"
    return f"{ceiling.level}{size} ({ceiling.method})" if ceiling.method else ceiling.level + size
