"""Everything that is stored, under the names that the pages call it by, found out once for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dashboards.pages.entries import Entries, Entry, Place, Surroundings
from dashboards.pages.jsonfile import text
from dashboards.pages.names import digest, file_names
from harness.columns import Indices, grouped, newest_rows, numbered
from harness.detect import FALSE_ALARMS
from harness.detect_scan import Reading
from harness.findings import Finding, findings
from harness.history import Series, rows_of_series, series_of
from harness.records import Case
from harness.seen import Places, by_age, places_of
from harness.sighting import QUANTITIES, Identity
from harness.tables import split_params

_MAX_LABEL = 300


Setting = tuple[Place, str, str, str]
"""Device, workload, variant and the environment's id."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of one machine.

    Attributes:
        id: its position among all devices, as text.
        model: what it is, as its newest result tells.
        newest: its newest entry.
    """

    id: str
    place: Place
    model: str
    newest: Entry


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: a case on a machine with settings, at the workload's current version.

    Attributes:
        id: safe in a path, and equal in every publishing.
        entries: those with a place on the axis of commits, in its order; at least one.
        newest: the last of them.
        device: the device's id.
        label: the variant and what else varies, in one line.
        group: the same for other variants of the same parameters, device and settings.
        histories: a series for each quantity that has one.
        findings: what happened to them.
    """

    id: str
    entries: Entries
    newest: Entry
    device: str
    label: str
    group: str
    histories: Mapping[str, Series]
    findings: tuple[Finding, ...]

    @property
    def case(self) -> Case:
        """What is measured."""
        return self.newest.case


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload at its current version.

    Attributes:
        slug: its name, safe in a path.
        item: what an item is, as its newest result tells.
        params: the names of its parameters.
        varying: those whose values differ.
        lines: those of its cases, in order of their ids.
    """

    name: str
    slug: str
    version: str
    item: str
    params: tuple[str, ...]
    varying: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Book:
    """What the pages are made of.

    Attributes:
        entries: every case of every run, the oldest first.
        series: those of the workloads' current versions by series, each the oldest first.
        as_of: when the newest result was started, Unix time in s.
        places: of everything that has a place on the axis of commits.
        devices: by place.
        workloads: by name, in their order.
        lines: by series; those without any place on the axis of commits have none.
        files: the file name of each run.
        surroundings: by device, workload, variant and environment.
    """

    entries: Entries
    series: Mapping[Identity, Entries]
    as_of: float
    places: Places
    devices: Mapping[Place, Device]
    workloads: Mapping[str, Workload]
    lines: Mapping[Identity, Line]
    files: Mapping[str, str]
    surroundings: Mapping[Setting, Mapping[str, str]]


def book_of(
    entries: Entries,
    surroundings: Iterable[Surroundings],
    readings: MutableMapping[str, Reading] | None = None,
) -> Book:
    """Return what the pages are made of, whatever the order of what is given.

    Args:
        entries: every case of every run.
        surroundings: the environments that they ran in.
        readings: as `harness.findings.findings` takes and leaves them.
    """
    entries = entries.take(by_age(entries.seen))
    current = entries.take(_current(entries))
    placed = current.take(np.flatnonzero(_placed(current)))
    places = places_of(placed.seen)
    devices = _devices(entries)
    varying = {
        name: split_params([case.params for case in own])[1]
        for name, own in _cases(current).items()
    }
    lines = _lines(placed, places, devices, varying, readings)
    return Book(
        entries=entries,
        series={
            current.seen.identity(rows[0]): current.take(rows)
            for rows in grouped(current.seen.series())
        },
        as_of=float(entries.seen.measured_at[-1]) if len(entries) else 0.0,
        places=places,
        devices=devices,
        workloads=_workloads(current, lines.values(), varying),
        lines=lines,
        files=file_names(scene.run for scene in entries.seen.scenes.values),
        surroundings=_newest(surroundings),
    )


def line_id(identity: Identity) -> str:
    """Return the id of a line, which is safe in a path and the same in every publishing."""
    return digest(*identity)


def label_of(case: Case, varying: Sequence[str], settings: str = "") -> str:
    """Return a case in a few words: the variant, and what `group_label` tells."""
    return text(f"{case.variant} {group_label(case, varying, settings)}".rstrip(), _MAX_LABEL)


def group_label(case: Case, varying: Sequence[str], settings: str = "") -> str:
    """Return what variants are compared at: the parameters that vary, seed and settings."""
    words = [f"{name}={case.params[name]}" for name in varying if name in case.params]
    words += [f"seed={case.seed}"] if case.seed else []
    words += [settings] if settings else []
    return text(" ".join(words), _MAX_LABEL)


def _current(entries: Entries) -> Indices:
    """Return the rows of each workload's version of its newest entry, a placed one if there is."""
    possible = _placed(entries) & ~entries.which(lambda one: one.impossible)
    cases = entries.seen.cases
    versions = {
        case.workload: case.version
        for rows in (np.arange(len(entries)), np.flatnonzero(possible))
        for case in _newest_cases(entries, rows)
    }
    current = [versions[one.case.workload] == one.case.version for one in cases.values]
    return np.flatnonzero(np.array(current, np.bool_)[cases.codes])


def _placed(entries: Entries) -> NDArray[np.bool_]:
    scenes = entries.seen.scenes
    return np.array([scene.placed for scene in scenes.values], np.bool_)[scenes.codes]


def _newest_cases(entries: Entries, rows: Indices) -> list[Case]:
    """Return each case of some rows as its newest row tells it, those of older rows first."""
    cases = entries.seen.cases
    return [cases[row].case for row in newest_rows(cases.codes, rows)]


def _newest(surroundings: Iterable[Surroundings]) -> dict[Setting, Mapping[str, str]]:
    newest: dict[Setting, Surroundings] = {}
    for one in surroundings:
        at = (one.place, one.workload, one.variant, one.id)
        if at not in newest or _rank(newest[at]) < _rank(one):
            newest[at] = one
    return {at: one.facts for at, one in newest.items()}


def _rank(one: Surroundings) -> tuple[float, list[tuple[str, str]]]:
    return one.at, sorted(one.facts.items())


def _cases(entries: Entries) -> dict[str, list[Case]]:
    """Return the cases of each workload, each once, in an order of their own."""
    found: dict[str, dict[str, Case]] = {}
    cases = entries.seen.cases
    for row in newest_rows(cases.codes, np.arange(len(entries))):
        found.setdefault(cases[row].case.workload, {})[cases[row].key] = cases[row].case
    return {name: [own[key] for key in sorted(own)] for name, own in sorted(found.items())}


def _devices(entries: Entries) -> dict[Place, Device]:
    scenes, cases = entries.seen.scenes, entries.seen.cases
    machines = numbered(scene.machine for scene in scenes.values)
    kinds = numbered((one.case.backend, one.case.device_index) for one in cases.values)
    numbers = machines[scenes.codes] * len(kinds) + kinds[cases.codes]
    newest = {
        entry.device: entry
        for entry in map(entries.__getitem__, newest_rows(numbers, np.arange(len(entries))))
    }
    return {
        place: Device(str(number), place, newest[place].ending.model, newest[place])
        for number, place in enumerate(sorted(newest))
    }


def _lines(
    placed: Entries,
    places: Places,
    devices: Mapping[Place, Device],
    varying: Mapping[str, Sequence[str]],
    readings: MutableMapping[str, Reading] | None,
) -> dict[Identity, Line]:
    groups = {
        identity: placed.take(rows)
        for identity, rows in rows_of_series(placed.seen, places).items()
    }
    series = {
        identity: {
            quantity: found
            for quantity in QUANTITIES
            if (found := series_of(own.seen, places, quantity)) is not None
        }
        for identity, own in groups.items()
    }
    happened = _findings(series, readings)
    lines: dict[Identity, Line] = {}
    for identity, own in groups.items():
        newest, settings = own[-1], identity[1]
        case, device = newest.case, newest.device
        lines[identity] = Line(
            id=line_id(identity),
            entries=own,
            newest=newest,
            device=devices[device].id,
            label=label_of(case, varying[case.workload], settings),
            group=digest(*device, dict(case.params), case.seed, settings),
            histories=series[identity],
            findings=tuple(happened.get(identity, ())),
        )
    return lines


def _workloads(
    current: Entries, lines: Iterable[Line], varying: Mapping[str, Sequence[str]]
) -> dict[str, Workload]:
    good = np.flatnonzero(current.which(lambda one: one.ok))
    items = {
        current.seen.cases[row].case.workload: current.endings[row].item
        for row in newest_rows(current.seen.cases.codes, good)
    }
    lines_of: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda line: line.id):
        lines_of.setdefault(line.case.workload, []).append(line)
    cases = _cases(current)
    slugs = file_names(cases)
    return {
        name: Workload(
            name=name,
            slug=slugs[name],
            version=own[0].version,
            item=items.get(name, "step"),
            params=tuple(dict.fromkeys(param for case in own for param in case.params)),
            varying=tuple(varying[name]),
            lines=tuple(lines_of.get(name, ())),
        )
        for name, own in cases.items()
    }


def _findings(
    series: Mapping[Identity, Mapping[str, Series]], readings: MutableMapping[str, Reading] | None
) -> dict[Identity, list[Finding]]:
    every = [one for own in series.values() for one in own.values()]
    found: dict[Identity, list[Finding]] = {}
    for finding in findings(every, false_alarms=FALSE_ALARMS, min_change=0.0, readings=readings):
        found.setdefault(_identity(finding.series), []).append(finding)
    return found


def _identity(series: Series) -> Identity:
    return series.machine, series.settings, series.case.key
