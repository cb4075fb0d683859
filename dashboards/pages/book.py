"""Everything that is stored, under the names that the pages call it by, found out once for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from dashboards.pages.entries import Entry, Place, Surroundings
from dashboards.pages.jsonfile import text
from dashboards.pages.names import digest, file_names
from harness.detect import FALSE_ALARMS
from harness.detect_scan import Reading
from harness.findings import Finding, findings
from harness.history import Series, series_of
from harness.records import Case
from harness.sighting import QUANTITIES, Identity, Places, Position, places_of
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
        positions: where each of them stands.
        device: the device's id.
        label: the variant and what else varies, in one line.
        group: the same for other variants of the same parameters, device and settings.
        histories: a series for each quantity that has one.
        findings: what happened to them.
    """

    id: str
    entries: tuple[Entry, ...]
    positions: tuple[Position, ...]
    device: str
    label: str
    group: str
    histories: Mapping[str, Series]
    findings: tuple[Finding, ...]

    @property
    def newest(self) -> Entry:
        """The entry at the newest commit."""
        return self.entries[-1]

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

    entries: Sequence[Entry]
    series: Mapping[Identity, Sequence[Entry]]
    as_of: float
    places: Places
    devices: Mapping[Place, Device]
    workloads: Mapping[str, Workload]
    lines: Mapping[Identity, Line]
    files: Mapping[str, str]
    surroundings: Mapping[Setting, Mapping[str, str]]


def book_of(
    entries: Iterable[Entry],
    surroundings: Iterable[Surroundings],
    readings: MutableMapping[str, Reading] | None = None,
) -> Book:
    """Return what the pages are made of, whatever the order of what is given.

    Args:
        entries: every case of every run.
        surroundings: the environments that they ran in.
        readings: as `harness.findings.findings` takes and leaves them.
    """
    entries = sorted(entries, key=lambda entry: (entry.at, entry.run, entry.key))
    versions = _current_versions(entries)
    current = [entry for entry in entries if versions[entry.case.workload] == entry.case.version]
    placed = [entry for entry in current if entry.placed]
    places = places_of(entry.seen for entry in placed)
    devices = _devices(entries)
    varying = {
        name: split_params([case.params for case in own])[1]
        for name, own in _cases(current).items()
    }
    lines = _lines(placed, places, devices, varying, readings)
    return Book(
        entries=entries,
        series=_by_series(current),
        as_of=entries[-1].at if entries else 0.0,
        places=places,
        devices=devices,
        workloads=_workloads(current, lines.values(), varying),
        lines=lines,
        files=file_names(entry.run for entry in entries),
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


def _current_versions(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the version of each workload's newest entry, a placed one where there is any."""
    placed: dict[str, str] = {}
    newest: dict[str, str] = {}
    for entry in entries:
        case = entry.case
        newest[case.workload] = case.version
        if entry.placed and not entry.impossible:
            placed[case.workload] = case.version
    return newest | placed


def _by_series(entries: Iterable[Entry]) -> dict[Identity, list[Entry]]:
    found: dict[Identity, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.seen.identity, []).append(entry)
    return found


def _newest(surroundings: Iterable[Surroundings]) -> dict[Setting, Mapping[str, str]]:
    newest: dict[Setting, Surroundings] = {}
    for one in surroundings:
        at = (one.place, one.workload, one.variant, one.id)
        if at not in newest or _rank(newest[at]) < _rank(one):
            newest[at] = one
    return {at: one.facts for at, one in newest.items()}


def _rank(one: Surroundings) -> tuple[float, list[tuple[str, str]]]:
    return one.at, sorted(one.facts.items())


def _cases(entries: Iterable[Entry]) -> dict[str, list[Case]]:
    """Return the cases of each workload, each once, in an order of their own."""
    found: dict[str, dict[str, Case]] = {}
    for entry in entries:
        found.setdefault(entry.case.workload, {})[entry.key] = entry.case
    return {name: [own[key] for key in sorted(own)] for name, own in sorted(found.items())}


def _devices(entries: Iterable[Entry]) -> dict[Place, Device]:
    newest = {entry.device: entry for entry in entries}
    return {
        place: Device(str(number), place, newest[place].model, newest[place])
        for number, place in enumerate(sorted(newest))
    }


def _lines(
    placed: Sequence[Entry],
    places: Places,
    devices: Mapping[Place, Device],
    varying: Mapping[str, Sequence[str]],
    readings: MutableMapping[str, Reading] | None,
) -> dict[Identity, Line]:
    groups = {
        identity: sorted(
            ((places.of(entry.seen), entry) for entry in own), key=lambda placed: placed[0]
        )
        for identity, own in sorted(_by_series(placed).items())
    }
    series = {
        identity: {
            quantity: found
            for quantity in QUANTITIES
            if (found := series_of([(at, one.seen) for at, one in own], quantity)) is not None
        }
        for identity, own in groups.items()
    }
    happened = _findings(series, readings)
    lines: dict[Identity, Line] = {}
    for identity, own in groups.items():
        newest, settings = own[-1][1], identity[1]
        case, device = newest.case, newest.device
        lines[identity] = Line(
            id=line_id(identity),
            entries=tuple(entry for _, entry in own),
            positions=tuple(at for at, _ in own),
            device=devices[device].id,
            label=label_of(case, varying[case.workload], settings),
            group=digest(*device, dict(case.params), case.seed, settings),
            histories=series[identity],
            findings=tuple(happened.get(identity, ())),
        )
    return lines


def _workloads(
    current: Sequence[Entry], lines: Iterable[Line], varying: Mapping[str, Sequence[str]]
) -> dict[str, Workload]:
    items = {entry.case.workload: entry.item for entry in current if entry.ok}
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
