"""What the pages ask of every case of a run: small enough that a long history fits in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dashboards.pages.jsonfile import MAX_REASON, text
from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.records import Case, Ceiling, Facts, Outcome, Work
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

    unit: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a case is held against on the page of devices."""

    work: Work | None
    ceilings: tuple[Ceiling, ...]
    inputs: Facts


@dataclass(frozen=True, slots=True)
class Entry:
    """One case in one run.

    Attributes:
        seen: what its history asks of it.
        outcome: how it ended.
        reason: why, where it did not end well.
        impossible: whether it is beyond its ceiling.
        dirty: whether the checkout was, or is not known not to be.
        commit: the commit, be it of a dirty checkout; empty where it is not known.
        model: what the device is, as far as its environment tells.
        processes: how many results there are.
        item: what an item is.
        told: what became of each quantity that was asked for; empty where the case did not end
            well.
        evidence: `Evidence`, still to be read by `evidence_of`: most of it nobody asks for.
    """

    seen: Sighting
    outcome: Outcome
    reason: str
    impossible: bool
    dirty: bool
    commit: str
    model: str
    processes: int
    item: str
    told: Mapping[str, Told]
    evidence: bytes

    @property
    def run(self) -> str:
        """The run's id."""
        return self.seen.run

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
    def placed(self) -> bool:
        """Whether it has a place on an axis of commits: the checkout was clean."""
        return self.seen.commit != ""

    @property
    def device(self) -> Place:
        """The device it ran on."""
        case = self.seen.case
        return self.seen.machine, case.backend, case.device_index

    @property
    def ok(self) -> bool:
        """Whether every process ended well."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True, slots=True)
class Surroundings:
    """An environment in which a variant ran, as flat facts that can be compared with another's."""

    place: Place
    workload: str
    variant: str
    id: str
    at: float
    facts: Mapping[str, str]


def entries_of(cases: Sequence[CaseRun]) -> list[Entry]:
    """Return an entry for each case of a run, in their order."""
    return [_entry(one, seen) for one, seen in zip(cases, sightings_of(cases), strict=True)]


def surroundings_of(cases: Sequence[CaseRun]) -> list[Surroundings]:
    """Return the environments of these cases, each once for each variant and device, the newest."""
    newest: dict[tuple[object, ...], Surroundings] = {}
    found = zip(cases, environments_of(cases), strict=True)
    for one, name in sorted(found, key=lambda each: (each[0].result.started_at, each[0].case.key)):
        case = one.case
        at = (case.backend, case.device_index, case.workload, case.variant, name)
        newest[at] = _surroundings(one, name)
    return list(newest.values())


def evidence_of(entry: Entry) -> Evidence:
    """Return what a case is held against."""
    return msgspec.msgpack.decode(entry.evidence, type=Evidence)


def _entry(one: CaseRun, seen: Sighting) -> Entry:
    result, environment = one.result, one.result.environment
    commit = environment.get("commit")
    good = result.outcome is Outcome.OK
    evidence = Evidence(result.work, result.ceilings, result.inputs)
    return Entry(
        seen=seen,
        outcome=result.outcome,
        reason=text(result.reason, MAX_REASON),
        impossible=IMPOSSIBLE in one.flags(),
        dirty=environment.get("dirty") is not False,
        commit=commit if isinstance(commit, str) else "",
        model=_model(environment),
        processes=len(one.results),
        item=result.work.item if result.work is not None else "step",
        told={
            quantity: Told(measured.unit, str(measured.status), text(measured.reason, MAX_REASON))
            for quantity in QUANTITIES
            if good and (measured := one.measurement(quantity)) is not None
        },
        evidence=msgspec.msgpack.encode(evidence) if good else b"",
    )


def _surroundings(one: CaseRun, name: str) -> Surroundings:
    case, environment = one.case, one.result.environment
    machine = environment.get("machine")
    facts = {name: environment[name] for name in environment if name not in _OF_COMMIT}
    return Surroundings(
        (machine if isinstance(machine, str) else "", case.backend, case.device_index),
        case.workload,
        case.variant,
        name,
        one.result.started_at,
        dict(_flat(facts)),
    )


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
