"""What the pages ask of every case of a run, as columns: a long history has many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dashboards.pages.jsonfile import MAX_REASON, facts, text
from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.columns import Coded, Indices, coded, joined_codes
from harness.records import Case, Ceiling, Facts, Outcome, Work
from harness.seen import Sightings, columns_of, joined_sightings
from harness.sighting import QUANTITIES, Sighting, environments_of, sightings_of

Place = tuple[str, str, int]
"""Machine, backend and the device's index: what a device is."""

_OF_COMMIT = (
    "commit", "commit_reason", "commit_time", "dirty", "dirty_files", "id", "source_digest",
)  # fmt: skip
"""What an environment's id does not speak of."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a quantity of a case came about, or why it did not."""

    quantity: str
    unit: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a case is held against on the page of devices; of its inputs, bounded facts."""

    work: Work | None
    ceilings: tuple[Ceiling, ...]
    inputs: Facts


@dataclass(frozen=True, slots=True)
class Ending:
    """How a case ended in a run.

    Attributes:
        outcome: how it ended.
        reason: why, where it did not end well.
        impossible: whether it is beyond its ceiling.
        dirty: whether the checkout was, or is not known not to be.
        model: what the device is, as far as its environment tells.
        processes: how many results there are.
        item: what an item is.
        told: what became of each quantity that was asked for; none where the case did not end
            well.
    """

    outcome: Outcome
    reason: str
    impossible: bool
    dirty: bool
    model: str
    processes: int
    item: str
    told: tuple[Told, ...]

    @property
    def ok(self) -> bool:
        """Whether every process ended well."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Entry:
    """One case in one run.

    Attributes:
        seen: what its history asks of it.
        ending: how it ended.
        evidence: `Evidence`, still to be read by `evidence_of`: most of it nobody asks for.
    """

    seen: Sighting
    ending: Ending
    evidence: bytes

    @property
    def run(self) -> str:
        """The run's id."""
        return self.seen.scene.run

    @property
    def key(self) -> str:
        """The case's key."""
        return self.seen.key

    @property
    def case(self) -> Case:
        """What was measured."""
        return self.seen.case

    @property
    def at(self) -> float:
        """When the newest result was started, Unix time in s."""
        return self.seen.measured_at

    @property
    def device(self) -> Place:
        """The device it ran on."""
        case = self.seen.case
        return self.seen.scene.machine, case.backend, case.device_index


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Many cases of runs, as columns."""

    seen: Sightings
    endings: Coded[Ending]
    evidence: Coded[bytes]

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, row: int) -> Entry:
        return Entry(self.seen[row], self.endings[row], self.evidence[row])

    def take(self, rows: Indices) -> Entries:
        """Return these entries, in this order."""
        return Entries(self.seen.take(rows), self.endings.take(rows), self.evidence.take(rows))

    def which(self, holds: Callable[[Ending], bool]) -> NDArray[np.bool_]:
        """Return for each entry whether something holds of how it ended; [rows]."""
        return np.array([holds(one) for one in self.endings.values], np.bool_)[self.endings.codes]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """An environment in which a variant ran, as flat facts that can be compared with another's."""

    place: Place
    workload: str
    variant: str
    id: str
    at: float
    facts: Mapping[str, str]


def entries_of(cases: Sequence[CaseRun]) -> Entries:
    """Return an entry for each case of a run, in their order."""
    return Entries(
        columns_of(sightings_of(cases)), coded(map(_ending, cases)), coded(map(_evidence, cases))
    )


def joined_entries(parts: Sequence[Entries]) -> Entries:
    """Return the entries of all parts."""
    return Entries(
        joined_sightings([part.seen for part in parts]),
        joined_codes([part.endings for part in parts]),
        joined_codes([part.evidence for part in parts]),
    )


def surroundings_of(cases: Sequence[CaseRun]) -> list[Surroundings]:
    """Return the environments of these cases, each once for each variant and device, the newest."""
    newest: dict[tuple[object, ...], Surroundings] = {}
    found = zip(cases, environments_of(cases), strict=True)
    for one, name in sorted(found, key=lambda each: (each[0].result.started_at, each[0].case.key)):
        at = (_place(one), one.case.workload, one.case.variant, name)
        newest[at] = _surroundings(one, name)
    return list(newest.values())


def evidence_of(entry: Entry) -> Evidence:
    """Return what a case is held against."""
    return msgspec.msgpack.decode(entry.evidence, type=Evidence)


def _ending(one: CaseRun) -> Ending:
    result, environment = one.result, one.result.environment
    return Ending(
        outcome=result.outcome,
        reason=text(result.reason, MAX_REASON),
        impossible=IMPOSSIBLE in one.flags(),
        dirty=environment.get("dirty") is not False,
        model=_model(environment),
        processes=len(one.results),
        item=result.work.item if result.work is not None else "step",
        told=tuple(
            Told(quantity, measured.unit, str(measured.status), text(measured.reason, MAX_REASON))
            for quantity in QUANTITIES
            if result.outcome is Outcome.OK and (measured := one.measurement(quantity)) is not None
        ),
    )


def _evidence(one: CaseRun) -> bytes:
    result = one.result
    if result.outcome is not Outcome.OK:
        return b""
    return msgspec.msgpack.encode(Evidence(result.work, result.ceilings, facts(result.inputs)))


def _surroundings(one: CaseRun, name: str) -> Surroundings:
    environment = one.result.environment
    told = {name: environment[name] for name in environment if name not in _OF_COMMIT}
    return Surroundings(
        _place(one),
        one.case.workload,
        one.case.variant,
        name,
        one.result.started_at,
        dict(_flat(told)),
    )


def _place(one: CaseRun) -> Place:
    machine = one.result.environment.get("machine")
    return machine if isinstance(machine, str) else "", one.case.backend, one.case.device_index


def _flat(value: Any, path: str = "", depth: int = 5) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth:
        for name in value:
            yield from _flat(value[name], f"{path} {text(name, 40)}".strip(), depth - 1)
    elif not isinstance(value, list):
        yield path, text(value, 60)


def _model(environment: Facts) -> str:
    for part in ("device", "cpu"):
        found = environment.get(part)
        model = found.get("model") if isinstance(found, Mapping) else None
        if isinstance(model, str) and model:
            return model
    return ""
