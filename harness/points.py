"""The points of a history, kept as columns: a long one is made of hundreds of thousands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import overload

import numpy as np

from harness.columns import Floats, Indices
from harness.intervals import Intervals
from harness.seen import Places, Sightings
from harness.sighting import Scene
from harness.statistics import Interval


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured of a case at one commit in one environment.

    Attributes:
        commit: 40 hexadecimal digits.
        commit_time: Unix time, s.
        interval: the headline, per item where that applies.
        environment: id of the machine's state and software.
        canary: name and time in s of the device's reference kernel; None where it was not run.
        measured_at: when the newest of its results was started, Unix time in s.
        runs: ids of the runs it was measured in, the oldest first.
        processes: how many processes measured it.
    """

    commit: str
    commit_time: float
    interval: Interval
    environment: str
    canary: tuple[str, float] | None = None
    measured_at: float = 0.0
    runs: tuple[str, ...] = ()
    processes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Points(Sequence[Point]):
    """Many points, each made of the rows `starts` to `ends` of what was seen.

    Attributes:
        seen: the rows of all points, the oldest first, and maybe others.
        places: of these rows.
        starts: each point's first row; [points].
        ends: one beyond its last; [points].
        intervals: the headlines; [points].
        processes: how many processes measured each; [points].
    """

    seen: Sightings
    places: Places
    starts: Indices
    ends: Indices
    intervals: Intervals
    processes: Indices

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Points: ...
    def __getitem__(self, index: int | slice) -> Point | Points:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        scene = self.scene(index)
        rows = range(self.starts[index], self.ends[index])
        return Point(
            commit=scene.commit,
            commit_time=self.places.times[scene.commit],
            interval=self.intervals[index],
            environment=scene.environment,
            canary=self.canary(index),
            measured_at=self.measured_at(index),
            runs=tuple(self.seen.scenes[row].run for row in rows),
            processes=int(self.processes[index]),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and list(self) == list(other)

    def take(self, indices: Indices) -> Points:
        """Return these points, in this order."""
        return Points(
            self.seen,
            self.places,
            self.starts[indices],
            self.ends[indices],
            self.intervals.take(indices),
            self.processes[indices],
        )

    def scaled(self, factors: Floats) -> Points:
        """Return the points with each headline times a positive factor; [points]."""
        return Points(
            self.seen,
            self.places,
            self.starts,
            self.ends,
            self.intervals.scaled(factors),
            self.processes,
        )

    @property
    def newest(self) -> Indices:
        """The newest row of each point; [points]."""
        return self.ends - 1

    def scene(self, index: int) -> Scene:
        """Return where a point was measured last."""
        return self.seen.scenes[self.newest[index]]

    def scenes(self) -> list[Scene]:
        """Return where each point was measured last."""
        return self.seen.scenes.take(self.newest).rows()

    def measured_at(self, index: int) -> float:
        """Return when the newest result of a point was started, Unix time in s."""
        return float(self.seen.measured_at[self.newest[index]])

    def canary(self, index: int) -> tuple[str, float] | None:
        """Return the device's reference kernel and its time in s; None without, or of two kinds."""
        rows = range(self.starts[index], self.ends[index])
        kinds = {kind for row in rows for kind in self.seen.kernels[row]}
        if len(kinds) != 1:
            return None
        return kinds.pop(), median(s for row in rows for s in self.seen.canaries[row].tolist())
