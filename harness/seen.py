"""All that runs saw, kept as columns, and where each of it stands on the axis of commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.columns import (
    Coded,
    Floats,
    Indices,
    Ragged,
    coded,
    joined,
    joined_codes,
    joined_rows,
    numbered,
    ragged,
    ranked,
)
from harness.records import Case
from harness.sighting import QUANTITIES, Amount, Identity, Scene, Sighting


@dataclass(frozen=True, slots=True)
class Named:
    """A case and its key."""

    key: str
    case: Case


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit in which a run told a quantity, and what it is per."""

    quantity: str
    unit: str
    item: str


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """Many sightings.

    Attributes:
        cases: what was measured.
        scenes: where.
        started_at: Unix time in s; [rows].
        measured_at: Unix time in s; [rows].
        units: of the quantities that there are numbers of.
        middles: by quantity the median of each process; none where there is no number.
        kernels: of each process that ran a canary, the reference kernel's name.
        canaries: their times in s.
    """

    cases: Coded[Named]
    scenes: Coded[Scene]
    started_at: Floats
    measured_at: Floats
    units: Coded[tuple[Unit, ...]]
    middles: Mapping[str, Ragged]
    kernels: Coded[tuple[str, ...]]
    canaries: Ragged

    def __len__(self) -> int:
        return len(self.started_at)

    def __getitem__(self, row: int) -> Sighting:
        named = self.cases[row]
        return Sighting(
            named.case,
            named.key,
            self.scenes[row],
            float(self.started_at[row]),
            float(self.measured_at[row]),
            {
                one.quantity: Amount(
                    one.unit, one.item, tuple(self.middles[one.quantity][row].tolist())
                )
                for one in self.units[row]
            },
            tuple(zip(self.kernels[row], self.canaries[row].tolist(), strict=True)),
        )

    def take(self, rows: Indices) -> Sightings:
        """Return these rows, in this order."""
        return Sightings(
            self.cases.take(rows),
            self.scenes.take(rows),
            self.started_at[rows],
            self.measured_at[rows],
            self.units.take(rows),
            {quantity: middles.take(rows) for quantity, middles in self.middles.items()},
            self.kernels.take(rows),
            self.canaries.take(rows),
        )

    def identity(self, row: int) -> Identity:
        """Return the series that a row belongs to."""
        scene = self.scenes[row]
        return scene.machine, scene.settings, self.cases[row].key

    def series(self) -> Indices:
        """Return a number for each row: equal for equal machine, settings and case."""
        keys = numbered(named.key for named in self.cases.values)
        places = numbered((scene.machine, scene.settings) for scene in self.scenes.values)
        return places[self.scenes.codes] * len(keys) + keys[self.cases.codes]


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the axis of commits sightings belong; equal for all series of the same sightings.

    Attributes:
        times: when each commit was made, Unix time in s.
        environments: the environments that a machine measured a commit in with some settings, in
            the order in which each came first, by `(machine, settings, commit)`.
        ranks: where the scenes of these sightings stand: the oldest commit first; [values].
    """

    times: Mapping[str, float]
    environments: Mapping[tuple[str, str, str], tuple[str, ...]]
    ranks: Indices

    def of(self, seen: Sightings) -> Indices:
        """Return where rows stand that were taken from the sightings that these places are of."""
        return self.ranks[seen.scenes.codes]


def columns_of(sightings: Iterable[Sighting]) -> Sightings:
    """Return sightings as columns."""
    every = list(sightings)
    return Sightings(
        # Parameters may come in another order under one key.
        coded((Named(one.key, one.case) for one in every), _order_and_key),
        coded(one.scene for one in every),
        np.array([one.started_at for one in every], np.float64),
        np.array([one.measured_at for one in every], np.float64),
        coded(
            tuple(Unit(name, amount.unit, amount.item) for name, amount in one.amounts.items())
            for one in every
        ),
        {
            quantity: ragged(
                one.amounts[quantity].middles if quantity in one.amounts else () for one in every
            )
            for quantity in QUANTITIES
        },
        coded(tuple(name for name, _ in one.canaries) for one in every),
        ragged(tuple(s for _, s in one.canaries) for one in every),
    )


def joined_sightings(parts: Sequence[Sightings]) -> Sightings:
    """Return the sightings of all parts."""
    return Sightings(
        joined_codes([part.cases for part in parts]),
        joined_codes([part.scenes for part in parts]),
        joined([part.started_at for part in parts]),
        joined([part.measured_at for part in parts]),
        joined_codes([part.units for part in parts]),
        {
            quantity: joined_rows([part.middles[quantity] for part in parts])
            for quantity in QUANTITIES
        },
        joined_codes([part.kernels for part in parts]),
        joined_rows([part.canaries for part in parts]),
    )


def places_of(seen: Sightings) -> Places:
    """Return the places of sightings that each have one, whether they ended well or not."""
    scenes = seen.scenes
    started = np.full(len(scenes.values), np.inf)
    np.minimum.at(started, scenes.codes, seen.started_at)
    times: dict[str, float] = {}
    first: dict[tuple[str, str, str], dict[str, float]] = {}
    for code in np.unique(scenes.codes).tolist():
        one = scenes.values[code]
        times[one.commit] = min(one.commit_time, times.get(one.commit, one.commit_time))
        there = first.setdefault((one.machine, one.settings, one.commit), {})
        there[one.environment] = min(started[code], there.get(one.environment, np.inf))
    environments = {
        place: tuple(sorted(found, key=lambda name: (found[name], name)))
        for place, found in first.items()
    }
    return Places(times, environments, _ranks(scenes.values, times, environments))


def by_age(seen: Sightings) -> Indices:
    """Return the order of sightings from the oldest to the newest, whatever theirs."""
    runs = ranked([scene.run for scene in seen.scenes.values])[seen.scenes.codes]
    keys = ranked([named.key for named in seen.cases.values])[seen.cases.codes]
    return np.lexsort((keys, runs, seen.measured_at))


def _ranks(
    scenes: Sequence[Scene],
    times: Mapping[str, float],
    environments: Mapping[tuple[str, str, str], Sequence[str]],
) -> Indices:
    found: dict[int, tuple[float, str, int]] = {}
    for place, one in enumerate(scenes):
        there = environments.get((one.machine, one.settings, one.commit), ())
        if one.environment in there:
            rank = there.index(one.environment)
            found[place] = (times[one.commit], one.commit, rank)
    positions = {position: rank for rank, position in enumerate(sorted({*found.values()}))}
    ranks = np.full(len(scenes), -1)
    for place, position in found.items():
        ranks[place] = positions[position]
    return ranks


def _order_and_key(named: Named) -> tuple[str, ...]:
    return named.key, *named.case.params
