"""Runs the detector over every series and words what it finds, for tables and JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any

from loky import ProcessPoolExecutor

from harness import units
from harness.detect import LEAST_POINTS, Detection, Drift, EnvironmentChange, Step, detect, ratio_of
from harness.detect_scan import Reading
from harness.errors import AssayError
from harness.history import Series
from harness.printable import printable
from harness.statistics import Interval
from harness.tables import Sheet, split_params
from harness.verdict_rows import change_text

_HASH_DIGITS = 8
_WORTH_A_POOL = 20_000
"""Points; they take some two seconds, and a worker process half a second to start."""

_CHUNK = 4  # series a worker is given at once

_Task = tuple[list[float], list[str], Reading | None]
"""The values of a series, the environment of each, and what was found in the first of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that happened to one series.

    Attributes:
        kind: "step", "drift", "environment" or "spike".
        verdict: "regression" or "improvement" where the code is the cause, "" elsewhere.
        before: the last commit that was as before.
        commit: the commit at which it shows, or the last that a drift moved.
        index: that commit's place in the series.
        ratio: level after over level before; of a drift, over its whole length.
        note: in words what the numbers do not say.
        start: the place in the series of the last point that was as before.
        known: that of the point that made it known, which for a step may be some after `index`.
    """

    series: Series
    kind: str
    verdict: str
    before: str
    commit: str
    index: int
    ratio: Interval | None
    note: str = ""
    start: int = 0
    known: int = 0

    @property
    def known_at(self) -> float:
        """When what made it known was measured, Unix time in s."""
        return self.series.points.measured_at(self.known)


def findings(
    series: Iterable[Series],
    *,
    false_alarms: float,
    min_change: float,
    processes: int | None = None,
    readings: MutableMapping[str, Reading] | None = None,
) -> list[Finding]:
    """Return what happened to each series, code before environment before spikes.

    Args:
        series: histories; those shorter than `LEAST_POINTS` points show nothing.
        false_alarms: steps per 1,000 points that may be reported where there are none.
        min_change: the smallest change of level, as a share, that is told.
        processes: how many search at once, which changes nothing of what is found; None for one
            a processor where there is much to search.
        readings: what former searches have read, which only spares time; left as this one's.

    Raises:
        AssayError: a process that searches was killed.
    """
    every = list(series)
    known = {} if readings is None else readings
    former = [known.get(_name(one)) for one in every]
    search = partial(_detection, false_alarms=false_alarms, min_change=min_change)
    if processes is None:
        unread = sum(
            max(0, len(one.points) - (reading.points if reading is not None else 0))
            for one, reading in zip(every, former, strict=True)
        )
        processes = len(os.sched_getaffinity(0)) if unread >= _WORTH_A_POOL else 1
    detections = _searched(search, every, former, processes)
    known.clear()
    known.update(
        (_name(one), detection.reading) for one, detection in zip(every, detections, strict=True)
    )
    return [
        finding
        for one, detection in zip(every, detections, strict=True)
        for finding in _of(one, detection)
    ]


def too_short(series: Iterable[Series]) -> int:
    """Return how many series have too few points to tell anything of."""
    return sum(len(one.points) < LEAST_POINTS for one in series)


def as_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values."""
    series, ratio = finding.series, finding.ratio
    return {
        "workload": series.case.workload,
        "variant": series.case.variant,
        "backend": series.case.backend,
        "params": dict(series.case.params),
        "machine": series.machine,
        "quantity": series.quantity,
        "kind": finding.kind,
        "verdict": finding.verdict or None,
        "before": finding.before,
        "commit": finding.commit,
        "ratio": None
        if ratio is None
        else {"estimate": ratio.estimate, "ci_low": ratio.low, "ci_high": ratio.high},
        "points": len(series.points),
        "note": finding.note,
    }


def finding_sheets(found: Sequence[Finding]) -> list[Sheet]:
    """Return one sheet a workload."""
    workloads = dict.fromkeys(finding.series.case.workload for finding in found)
    return [
        _sheet([one for one in found if one.series.case.workload == name]) for name in workloads
    ]


def _searched(
    search: Callable[[_Task], Detection],
    every: Sequence[Series],
    former: Sequence[Reading | None],
    processes: int,
) -> list[Detection]:
    tasks = (
        (
            one.points.intervals.estimates.tolist(),
            [scene.environment for scene in one.points.scenes()],
            reading,
        )
        for one, reading in zip(every, former, strict=True)
    )
    if processes < 2:
        return [search(task) for task in tasks]
    try:
        # The standard library's pool hangs where a worker is killed while another starts.
        with ProcessPoolExecutor(processes) as pool:
            return list(pool.map(search, tasks, chunksize=_CHUNK))
    except BrokenProcessPool as error:
        raise AssayError(
            "a worker that searches histories was killed, for want of memory perhaps; "
            "free some and try again"
        ) from error


def _detection(task: _Task, *, false_alarms: float, min_change: float) -> Detection:
    values, environments, earlier = task
    return detect(
        values,
        environments=environments,
        false_alarms=false_alarms,
        min_change=min_change,
        earlier=earlier,
    )


def _name(series: Series) -> str:
    """What tells a series from all others, in every search."""
    return "\0".join((series.machine, series.settings, series.case.key, series.quantity))


def _of(series: Series, detection: Detection) -> Iterator[Finding]:
    for step in detection.steps:
        yield _step(series, step)
    for drift in detection.drifts:
        yield _drift(series, drift)
    for change in detection.environment_changes:
        yield _environment(series, change)
    for spike in detection.spikes:
        yield Finding(
            series,
            "spike",
            "",
            before=series.points.scene(max(spike.index - 1, 0)).commit,
            commit=series.points.scene(spike.index).commit,
            index=spike.index,
            ratio=Interval(spike.ratio, None, None, 0.0),
            note="one point; the next is back",
            start=max(spike.index - 1, 0),
            known=min(spike.index + 1, len(series.points) - 1),
        )


def _step(series: Series, step: Step) -> Finding:
    return Finding(
        series,
        "step",
        _verdict(step.regression),
        before=series.points.scene(step.index - 1).commit,
        commit=series.points.scene(step.index).commit,
        index=step.index,
        ratio=step.ratio,
        start=step.index - 1,
        known=max(step.index, step.found_at - 1),
    )


def _drift(series: Series, drift: Drift) -> Finding:
    commits = drift.last - drift.first
    ends = (drift.ratio.estimate, drift.ratio.low, drift.ratio.high)
    estimate, low, high = (None if end is None else ratio_of(commits * log(end)) for end in ends)
    return Finding(
        series,
        "drift",
        _verdict(drift.regression),
        before=series.points.scene(drift.first).commit,
        commit=series.points.scene(drift.last).commit,
        index=drift.last,
        ratio=Interval(estimate or 1.0, low, high, drift.ratio.confidence),
        note=f"{drift.ratio.estimate - 1:+.2%} a commit over {commits} commits",
        start=drift.first,
        known=drift.last,
    )


def _environment(series: Series, change: EnvironmentChange) -> Finding:
    return Finding(
        series,
        "environment",
        "",
        before=series.points.scene(change.index - 1).commit,
        commit=series.points.scene(change.index).commit,
        index=change.index,
        ratio=change.ratio,
        note=f"environment, not code: {change.before} became {change.after}",
        start=change.index - 1,
        known=change.index,
    )


def _verdict(regression: bool) -> str:
    return "regression" if regression else "improvement"


def _sheet(found: Sequence[Finding]) -> Sheet:
    first = found[0].series
    constant, varying = split_params([one.series.case.params for one in found])
    machines = dict.fromkeys(one.series.machine for one in found)
    per = f" per {first.item}" if first.item else ""
    title = [f"{first.case.workload} (version {first.case.version}), {first.quantity}{per}"]
    title += [f"{name}={value}" for name, value in constant.items()]
    lines = [
        [
            one.series.case.variant,
            one.series.case.backend,
            *([one.series.machine] if len(machines) > 1 else []),
            *(str(one.series.case.params.get(name, "")) for name in varying),
            f"{one.before[:_HASH_DIGITS]}..{one.commit[:_HASH_DIGITS]}",
            f"{one.kind}: {one.verdict}" if one.verdict else one.kind,
            change_text(one.ratio),
            units.format_si(one.series.points[-1].interval.estimate, one.series.unit),
            one.note,
        ]
        for one in found
    ]
    columns = ["variant", "backend", *(["machine"] if len(machines) > 1 else []), *varying]
    columns += ["commits", "what", "change", "now", "note"]
    return Sheet(
        title=printable(" ".join(title)),
        columns=[printable(column) for column in columns],
        cells=[[printable(cell) for cell in line] for line in lines],
        notes=(),
    )
