"""What one run saw of a case, as far as its history asks, and where that belongs in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.environment import DEVICE_VERSIONS
from harness.records import Case, Outcome, Result, Status
from harness.validity import COMMIT

QUANTITIES = ("time", "peak_memory", "energy")
"""What has a history."""

DIRTY = "the checkout was dirty"
NO_COMMIT = "no commit is known"
NO_DATE = "the commit's date is unknown"
NO_MACHINE = "the machine has no name"
BEYOND = "it is beyond its ceiling, and so impossible"

_MAX_DEPTH = 8
"""Of a setting, which is a word, a number or a list of them; anybody may have written another."""

_WORD = re.compile(r'[^\s="]+')

Identity = tuple[str, str, str]
"""What a series is about: machine, settings and the case's key."""


@dataclass(frozen=True, slots=True)
class Scene:
    """In which run, on which machine and at which commit something was seen.

    Attributes:
        run: the run's id.
        machine: empty where it has no name.
        settings: those that differ from the default, as `settings_of` tells them.
        commit: the commit, be it of a dirty checkout; empty where it is not known.
        commit_time: when the commit was made, Unix time in s; 0 where there is no place.
        environment: id of the machine's state and software, as `environments_of` tells it.
        placed: whether it has a place on an axis of commits.
    """

    run: str
    machine: str
    settings: str
    commit: str
    commit_time: float
    environment: str
    placed: bool


@dataclass(frozen=True, slots=True)
class Amount:
    """What one run found of a quantity of a case.

    Attributes:
        unit: SI unit.
        item: what it is per; empty where it is per step.
        middles: the median of each process.
    """

    unit: str
    item: str
    middles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """All that a history asks of a case in one run.

    Attributes:
        case: what was measured.
        key: the case's.
        scene: where it was.
        started_at: when its first process was started, Unix time in s.
        measured_at: when its last was.
        amounts: by quantity; empty where the case did not end well or cannot have.
        canaries: of each process that ran one, the reference kernel's name and least time in s.
    """

    case: Case
    key: str
    scene: Scene
    started_at: float
    measured_at: float
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    canaries: tuple[tuple[str, float], ...] = ()

    @property
    def identity(self) -> Identity:
        """The series that it belongs to."""
        return self.scene.machine, self.scene.settings, self.key


def unfit(one: CaseRun) -> str | None:
    """Return why a case of a run is no part of any history; None where it is.

    It may have failed all the same, and then be a part without a number.
    """
    return unplaced(one) or (BEYOND if IMPOSSIBLE in one.flags() else None)


def unplaced(one: CaseRun) -> str | None:
    """Return why a case of a run has no place on an axis of commits; None where it has one."""
    return next(filter(None, map(_unplaced, one.results)), None)


def settings_of(result: Result) -> str:
    """Return the settings that differ from the default as text, equal for equal settings.

    It reads like "pin=0-3 threads=1"; empty where all are the default.
    """
    found = result.environment.get("settings")
    if not isinstance(found, Mapping):
        return ""
    return " ".join(f"{_plain(name)}={_plain(found[name])}" for name in sorted(found))


def _plain(value: object) -> str:
    """Return a value as a word, in quotes where it would be read as more than one."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    return json.dumps(_bounded(value), sort_keys=True)


def _bounded(value: object, depth: int = _MAX_DEPTH) -> object:
    """Return a value without what is nested in it too deeply to be written."""
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not depth:
        return "\u2026"
    if isinstance(value, Mapping):
        return {name: _bounded(value[name], depth - 1) for name in value}
    return [_bounded(one, depth - 1) for one in value]


def sightings_of(cases: Iterable[CaseRun]) -> list[Sighting]:
    """Return what a history asks of each case in one run, in their order."""
    cases = list(cases)
    keys: dict[tuple[object, ...], str] = {}
    environments = environments_of(cases)
    return [_sighting(one, at, keys) for one, at in zip(cases, environments, strict=True)]


def environments_of(cases: Sequence[CaseRun]) -> list[str]:
    """Return the id of the machine's state and software, its device's included, for each case.

    A case that failed tells nothing of the device: those of the same run and backend tell it.
    """
    versions: dict[tuple[str, str], set[str]] = {}
    for one in cases:
        for result in one.results:
            device = result.environment.get("device")
            if isinstance(device, Mapping):
                known = [
                    f"{name} {_bounded(device[name])}"
                    for name in DEVICE_VERSIONS
                    if device.get(name)
                ]
                if known:
                    versions.setdefault((one.run, one.case.backend), set()).add(", ".join(known))
    found = []
    for one in cases:
        name = str(one.result.environment.get("id"))
        own = sorted(versions.get((one.run, one.case.backend), ()))
        if own:
            name = hashlib.sha256(json.dumps([name, own]).encode()).hexdigest()[:12]
        found.append(name)
    return found


def _sighting(one: CaseRun, at: str, keys: dict[tuple[object, ...], str]) -> Sighting:
    result, case = one.result, one.case
    # A key takes a digest of JSON, and a long history asks for the same few ones over and over.
    what = (
        case.workload, case.version, case.variant, case.backend, case.seed, case.device_index,
        *((name, type(value), value) for name, value in case.params.items()),
    )  # fmt: skip
    if what not in keys:
        keys[what] = case.key
    environment = result.environment
    machine, commit = environment.get("machine"), environment.get("commit")
    placed = unplaced(one) is None
    good = one.outcome is Outcome.OK and IMPOSSIBLE not in one.flags()
    return Sighting(
        case=case,
        key=keys[what],
        scene=Scene(
            run=one.run,
            machine=machine if isinstance(machine, str) else "",
            settings=settings_of(result),
            commit=commit if isinstance(commit, str) else "",
            commit_time=float(environment["commit_time"]) if placed else 0.0,
            environment=at,
            placed=placed,
        ),
        started_at=min(each.started_at for each in one.results),
        measured_at=max(each.started_at for each in one.results),
        amounts=_amounts(one) if good else {},
        canaries=tuple(_canaries(one)),
    )


def _unplaced(result: Result) -> str | None:
    environment = result.environment
    commit, date = environment.get("commit"), environment.get("commit_time")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        return NO_COMMIT
    if environment.get("dirty") is not False:
        return DIRTY
    if isinstance(date, bool) or not isinstance(date, int | float):
        return NO_DATE
    if not isinstance(environment.get("machine"), str) or not environment["machine"]:
        return NO_MACHINE
    return None


def _amounts(one: CaseRun) -> dict[str, Amount]:
    found = {}
    for quantity in QUANTITIES:
        measured = one.measurement(quantity)
        # One process that could not resolve it leaves the others with the larger half only.
        if measured is None or measured.status is Status.UNRESOLVABLE:
            continue
        per_item = quantity != "peak_memory"
        middles = tuple(
            median(own.values) / (each.work.items if per_item and each.work is not None else 1.0)
            for each in one.results
            if (own := each.measurement(quantity)) is not None and own.values
        )
        if middles:
            work = one.result.work
            item = work.item if per_item and work is not None else ""
            found[quantity] = Amount(measured.unit, item, middles)
    return found


def _canaries(one: CaseRun) -> Iterator[tuple[str, float]]:
    for result in one.results:
        own = CaseRun(one.run, (result,)).canary()
        if own is not None:
            yield own
