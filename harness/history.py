"""Turns stored results into histories: one series a case, machine and settings.

A point is a commit in one environment, so that a new driver or torch is a point of its own, and
what changes there is never taken for the commit's doing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from statistics import median

import numpy as np

from harness.case_run import CaseRun
from harness.columns import Indices, Ragged, grouped
from harness.errors import AssayError
from harness.intervals import process_intervals
from harness.points import Points
from harness.records import Case
from harness.seen import Places, Sightings, by_age, columns_of, places_of
from harness.sighting import Identity, sightings_of


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one quantity of one case on one machine, the oldest commit first.

    `settings` is what `settings_of` tells of the results: other threads are another series.
    """

    machine: str
    case: Case
    quantity: str
    unit: str
    item: str
    points: Points
    settings: str = ""


def histories(cases: Iterable[CaseRun], quantity: str = "time") -> list[Series]:
    """Return a series for each case on each machine with each settings; order does not matter.

    Results of a dirty or unknown commit, of cases that did not end well, and of those beyond their
    ceiling are left out. Runs of one commit in one environment are pooled; each environment of a
    commit is a point, in the order in which the machine was first in it.

    Args:
        cases: stored cases of runs.
        quantity: one of `QUANTITIES`.
    """
    seen = columns_of(one for one in sightings_of(cases) if one.scene.placed)
    seen = seen.take(by_age(seen))
    places = places_of(seen)
    found = [
        series_of(seen.take(rows), places, quantity)
        for rows in rows_of_series(seen, places).values()
    ]
    return [series for series in found if series is not None]


def rows_of_series(seen: Sightings, places: Places) -> dict[Identity, Indices]:
    """Return the rows of each series, in order of the commits and at each from old to new.

    Args:
        seen: what has a place, the oldest first.
        places: of it.
    """
    order = np.argsort(places.of(seen), kind="stable")
    groups = [order[rows] for rows in grouped(seen.series()[order])]
    return dict(sorted(((seen.identity(rows[0]), rows) for rows in groups), key=itemgetter(0)))


def series_of(seen: Sightings, places: Places, quantity: str) -> Series | None:
    """Return the history of one case on one machine with one kind of settings.

    Args:
        seen: what was seen of it, in the order of `rows_of_series`.
        places: of it.
        quantity: one of `QUANTITIES`.

    Returns:
        None where nothing was measured.
    """
    found = seen.take(np.flatnonzero(seen.middles[quantity].counts))
    if not len(found):
        return None
    starts = np.flatnonzero(np.diff(places.of(found), prepend=-1))
    ends = np.append(starts[1:], len(found))
    middles = _pooled(found.middles[quantity], starts)
    # Some counters read 0, of which there is no logarithm and so no interval.
    known = np.flatnonzero(np.minimum.reduceat(middles.flat, middles.starts) > 0)
    middles = middles.take(known)
    last = found[_newest(found)]
    return Series(
        machine=last.scene.machine,
        case=last.case,
        quantity=quantity,
        unit=last.amounts[quantity].unit,
        item=last.amounts[quantity].item,
        points=Points(
            found, places, starts[known], ends[known], process_intervals(middles), middles.counts
        ),
        settings=last.scene.settings,
    )


def normalised(series: Series) -> Series:
    """Return the series as it would read had the machine always been as fast as in the middle.

    Each value is divided by its canary, in units of the median canary. Points without the newest
    point's kind of canary are left out: beside others they would be a step of their own.

    Raises:
        AssayError: the series is not one of times.
    """
    if series.quantity != "time":
        raise AssayError(
            f"{series.quantity} does not follow the machine's speed as time does; "
            "leave out --normalise"
        )
    canaries = [point.canary for point in series.points]
    name = next((canary[0] for canary in reversed(canaries) if canary), None)
    known = {
        place: canary[1]
        for place, canary in enumerate(canaries)
        if canary and canary[0] == name and canary[1] > 0
    }
    points = series.points.take(np.array([*known], np.intp))
    if not known:
        return replace(series, points=points)
    usual_s = median(known.values())
    factors = [usual_s / canary_s for canary_s in known.values()]
    return replace(series, points=points.scaled(np.array(factors)))


def _pooled(middles: Ragged, starts: Indices) -> Ragged:
    """Return the rows from each start to the next as one."""
    counts = np.add.reduceat(middles.counts, starts)
    return Ragged(middles.all(), np.cumsum(counts) - counts, counts)


def _newest(seen: Sightings) -> int:
    rows = np.flatnonzero(seen.measured_at == seen.measured_at.max())
    return max(rows.tolist(), key=lambda row: seen.scenes[row].run)
