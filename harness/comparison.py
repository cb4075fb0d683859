"""Compares stored results of two runs or commits: like with like, and no more said than is known.

What was measured apart differs by what the machine did in between as well: on shared machines 1 to
11 % of equal pairs look different. `assay ab` interleaves and decides; this tells where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.discovery import adjusted_p_values
from harness.environment import MEASURING_PACKAGES
from harness.records import Case, Outcome, Result, Status
from harness.statistics import Interval
from harness.verdict import THRESHOLD, Verdict, p_value_of_groups, ratio_of_groups, verdict_of

FALSE_DISCOVERY_RATE = 0.05

KEYS = (
    "version", "inputs", "machine", "cpu", "memory", "kernel", "hypervisor", "python", "packages",
    "settings", "device",
)  # fmt: skip
"""What a pair must share; each may be allowed to differ."""

_DEVICE = ("name", "driver", "cuda_driver", "compute_capability", "partitioned", "power_limit_w")


@dataclass(frozen=True, slots=True)
class Pair:
    """One case on both sides.

    Attributes:
        differs: a line for each key that differs though it was not allowed to.
        reason: why the pair says nothing; empty where it has a ratio.
        p_adjusted: the false discovery rate at which the difference counts (Benjamini-Hochberg).
        drift: candidate over base of the device's canary; None where it was not run.
    """

    case: Case
    base: CaseRun
    candidate: CaseRun
    verdict: str
    differs: tuple[str, ...] = ()
    reason: str = ""
    ratio: Interval | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    drift: float | None = None


def pairs(
    base: Iterable[CaseRun],
    candidate: Iterable[CaseRun],
    *,
    allow: Iterable[str] = (),
    threshold: float = THRESHOLD,
    rate: float = FALSE_DISCOVERY_RATE,
    normalise: bool = False,
) -> list[Pair]:
    """Return every case that both sides have, compared where it is like with like.

    Args:
        base: each case once.
        candidate: likewise.
        allow: keys of `KEYS` that may differ.
        threshold: the smallest change, as a share, that matters.
        rate: the accepted share of false ones among the differences that are told.
        normalise: divide each process by its canary, so that drift of the machine cancels; where
            one has none, the pair is not compared.
    """
    allowed, there = frozenset(allow), list(candidate)
    # Of several versions on a side, the same one pairs; without it, any, to be told as unlike.
    any_version = {_identity(one.case): one for one in there}
    same_version = {(_identity(one.case), one.case.version): one for one in there}
    found = []
    for one in base:
        identity = _identity(one.case)
        other = same_version.get((identity, one.case.version), any_version.get(identity))
        if other is not None:
            found.append(_pair(one, other, allowed, normalise))
    known = [pair.p_value for pair in found if pair.p_value is not None]
    adjusted = iter(adjusted_p_values(known))
    return [
        pair if pair.p_value is None else _judged(pair, next(adjusted), threshold, rate)
        for pair in found
    ]


def differences(base: Result, candidate: Result) -> dict[str, str]:
    """Return what makes two results unlike, by key: what it is on either side."""
    unlike = {}
    for (key, one), (_, other) in zip(_facts(base), _facts(candidate), strict=True):
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            one, other = ({name: side.get(name) for name in names} for side in (one, other))
        unlike[key] = f"{_short(one)} and {_short(other)}"
    return unlike


def _identity(case: Case) -> tuple[object, ...]:
    params = tuple(sorted(case.params.items()))
    return case.workload, case.variant, case.backend, case.device_index, params, case.seed


def _pair(base: CaseRun, candidate: CaseRun, allowed: frozenset[str], normalise: bool) -> Pair:
    pair = Pair(base.case, base, candidate, str(Verdict.UNDECIDED))
    for side, one in (("base", base), ("candidate", candidate)):
        if one.outcome is not Outcome.OK:
            return _without(pair, str(one.outcome), f"{side}: {one.result.reason}")
        if IMPOSSIBLE in one.flags():
            return _without(pair, IMPOSSIBLE, f"{side} lies beyond its ceiling; `assay show`")
        if not one.groups("time"):
            time = one.measurement("time")
            why = "no time was measured" if time is None else time.reason
            known = time is not None and time.status is Status.UNRESOLVABLE
            return _without(
                pair, str(Status.UNRESOLVABLE if known else Verdict.UNDECIDED), f"{side}: {why}"
            )
    unlike = {
        key: values
        for key, values in differences(base.result, candidate.result).items()
        if key not in allowed
    }
    if unlike:
        lines = tuple(f"{key} differs: {values}" for key, values in unlike.items())
        allow = " ".join(f"--allow {key}" for key in unlike)
        return _without(pair, "unlike", f"{'; '.join(lines)}; compare anyway with {allow}", lines)
    drift = _drift(base, candidate)
    below, above = base.groups("time"), candidate.groups("time")
    if normalise:
        below, above = _over_canary(base), _over_canary(candidate)
        if drift is None or not (below and above):
            reason = "a process lacks the canary to be normalised by; compare without --normalise"
            return _without(pair, str(Verdict.UNDECIDED), reason)
    if min(map(min, (*below, *above))) <= 0:
        return _without(pair, str(Verdict.UNDECIDED), "a sample of no time at all")
    return replace(
        pair,
        ratio=ratio_of_groups(below, above),
        p_value=p_value_of_groups(below, above),
        drift=drift,
        reason="" if min(len(below), len(above)) > 1 else "one process a side tells no difference",
    )


def _without(pair: Pair, verdict: str, reason: str, differs: tuple[str, ...] = ()) -> Pair:
    return replace(pair, verdict=verdict, differs=differs, reason=reason)


def _judged(pair: Pair, adjusted: float, threshold: float, rate: float) -> Pair:
    assert pair.ratio is not None
    verdict = verdict_of(pair.ratio, threshold, differs=adjusted <= rate)
    return replace(pair, verdict=str(verdict), p_adjusted=adjusted)


def _over_canary(one: CaseRun) -> list[list[float]]:
    """Return the samples over the canary of their own process; empty where one has none.

    The canary's own noise so becomes a part of the interval.
    """
    found = []
    for result in one.results:
        alone = CaseRun(one.run, (result,))
        canary = alone.canary()
        if canary is None or canary[1] <= 0:
            return []
        found += [[value / canary[1] for value in group] for group in alone.groups("time")]
    return found


def _drift(base: CaseRun, candidate: CaseRun) -> float | None:
    below, above = base.canary(), candidate.canary()
    if below is None or above is None or below[0] != above[0] or below[1] <= 0:
        return None
    return above[1] / below[1]


def _facts(result: Result) -> Iterator[tuple[str, Any]]:
    environment = result.environment
    packages = _mapping(environment.get("packages"))
    device = _mapping(environment.get("device"))
    cpu = _mapping(environment.get("cpu"))
    memory = environment.get("memory_bytes")
    yield "version", result.case.version
    yield "inputs", dict(result.inputs)
    yield "machine", environment.get("machine")
    yield "cpu", {key: cpu.get(key) for key in ("model", "logical_cpus", "governor")}
    yield "memory", round(memory / 2**30) if isinstance(memory, int | float) else None
    yield "kernel", environment.get("kernel")
    yield "hypervisor", environment.get("hypervisor")
    yield "python", environment.get("python")
    yield "packages", {name: packages.get(name) for name in MEASURING_PACKAGES}
    yield "settings", dict(_mapping(environment.get("settings")))
    yield "device", {key: device.get(key) for key in _DEVICE}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        value = " ".join(f"{name}={part}" for name, part in value.items())
    text = str(value)
    return text if len(text) <= 120 else text[:119] + "…"
