"""Keeps of a result what pages about many runs need, which is a tenth of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from dashboards.pages.jsonfile import MAX_REASON, text
from harness.case_run import CaseRun
from harness.records import Measurement, Result
from harness.sighting import QUANTITIES

_CANARY = "canary"


def condensed(one: CaseRun) -> CaseRun:
    """Return the case with one value for the samples of each process, and without its records.

    Of a process the median counts and nothing else of its samples, so that headlines, histories
    and what is exported stay as they are. Left out is what only the page of its run shows: noise,
    spans, logs and so on. What the case was held against is told by its first process.
    """
    return CaseRun(
        one.run,
        tuple(_condensed(result, first=result is one.result) for result in one.results),
    )


def _condensed(result: Result, *, first: bool) -> Result:
    return replace(
        result,
        reason=text(result.reason, MAX_REASON),
        measurements=tuple(_measurements(result)),
        verification=None,
        quality=None,
        spans={},
        counters={},
        inputs=result.inputs if first else {},
        ceilings=result.ceilings if first else (),
        traceback="",
        log_tail="",
    )


def _measurements(result: Result) -> Iterator[Measurement]:
    for measured in result.measurements:
        if measured.quantity == _CANARY and measured.values:
            yield replace(measured, values=(min(measured.values),), noise=())
        elif measured.quantity in QUANTITIES:
            values = (median(measured.values),) if measured.values else ()
            yield replace(measured, values=values, noise=())
