"""One case in one run: the results of all the processes that measured it, taken together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from harness.records import Case, Measurement, Outcome, Result, Status


@dataclass(frozen=True, slots=True)
class CaseRun:
    """What one run found out about one case.

    Attributes:
        run: the run's id.
        results: one a process, in the order of the repetitions; at least one.
    """

    run: str
    results: tuple[Result, ...]

    @property
    def case(self) -> Case:
        """What was measured."""
        return self.results[0].case

    @property
    def result(self) -> Result:
        """The result that speaks for all: the first that did not end well, or the first."""
        failed = (result for result in self.results if result.outcome is not Outcome.OK)
        return next(failed, self.results[0])

    @property
    def outcome(self) -> Outcome:
        """How the case ended: well only where every process did."""
        return self.result.outcome

    def measurement(self, quantity: str) -> Measurement | None:
        """Return the measurement whose status and reason hold for a quantity of the case.

        That is an unresolvable one where there is any, or else one with values, or else any.
        """
        own = [one for result in self.results if (one := result.measurement(quantity)) is not None]
        ranks = {Status.UNRESOLVABLE: 0, Status.UNAVAILABLE: 2}
        return min(own, key=lambda one: ranks.get(one.status, 1), default=None)

    def groups(self, quantity: str, *, per_item: bool = True) -> list[list[float]]:
        """Return the samples of a quantity, a list for each process that has any.

        None at all where one process could not resolve it: the others tell the larger half only.

        Args:
            quantity: "time", "energy", "peak_memory", ...
            per_item: whether a step's value is divided by its items; a peak never is.
        """
        groups: list[list[float]] = []
        speaks = self.measurement(quantity)
        if speaks is not None and speaks.status is Status.UNRESOLVABLE:
            return groups
        for result in self.results:
            samples = samples_of(result, quantity, per_item=per_item)
            if result.outcome is Outcome.OK and samples:
                groups.append(samples)
        return groups

    def canary(self) -> tuple[str, float] | None:
        """Return the name of the device's reference kernel and its time in s; None without.

        Of each process its least reading counts, which tells how fast the machine was; the others
        tell what else went on. Of the processes, the median.
        """
        readings: dict[str, list[float]] = {}
        for result in self.results:
            own = [one for one in result.measurements if one.quantity == "canary" and one.values]
            if own:
                least = min(min(one.values) for one in own)
                readings.setdefault(own[0].meter, []).append(least)
        if len(readings) != 1:
            return None
        [(name, seconds)] = readings.items()
        return name, median(seconds)

    def flags(self) -> list[str]:
        """Return the flags of the processes and of their times, each once."""
        found: dict[str, None] = {}
        for result in self.results:
            time = result.measurement("time")
            found |= dict.fromkeys([*result.flags, *(time.flags if time is not None else ())])
        return list(found)


def samples_of(result: Result, quantity: str, *, per_item: bool = True) -> list[float]:
    """Return one process's samples of a quantity, each over a step's items where that is asked."""
    measured = result.measurement(quantity)
    if measured is None:
        return []
    items = result.work.items if per_item and result.work is not None else 1.0
    return [value / items for value in measured.values]


def case_runs(stored: Iterable[tuple[str, Result]]) -> list[CaseRun]:
    """Group results by run and case, in the order in which each case first appears.

    Args:
        stored: pairs of a run's id and a result.
    """
    found: dict[tuple[str, str], list[Result]] = {}
    for run, result in stored:
        found.setdefault((run, result.case.key), []).append(result)
    return [
        CaseRun(run, tuple(sorted(results, key=lambda result: result.process)))
        for (run, _), results in found.items()
    ]
