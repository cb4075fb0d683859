"""Which cases a round of a run measures once more, in which order, and with how many samples.

After Kalibera & Jones, Rigorous Benchmarking in Reasonable Time (ISMM 2013): a pilot of a few
processes tells how samples and processes vary, then repetitions go where they pay. Each round is
shuffled, so that no case always follows the same other one and drift of the machine meets all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import count as counting
from statistics import mean, median

from harness.case_run import CaseRun
from harness.measure import Sampling
from harness.plan import MAX_PROCESSES, PlannedCase
from harness.records import Outcome, Result
from harness.repetition import PILOT, enough, samples_worth_taking, variance_components

LEAST = 3
"""Processes of a case, however long one takes, where no budget is given: the fewest that an
interval is worth showing for."""


def finished(planned: PlannedCase, results: Sequence[Result]) -> bool:
    """Return whether a case needs no further process.

    A case that did not end well once is not repeated; one without time samples cannot become more
    precise.

    Args:
        planned: the case and how often it is to be repeated.
        results: what its processes found so far.
    """
    if not results:
        return False
    if any(result.outcome is not Outcome.OK for result in results):
        return True
    wanted, count = planned.repetition, len(results)
    if wanted.processes is not None:
        return count >= wanted.processes
    groups = CaseRun("", tuple(results)).groups("time")
    if len(groups) < count or count >= MAX_PROCESSES:
        return True
    # Of a time of 0 there is no logarithm, and so no precision to reach.
    if min(map(min, groups)) <= 0:
        return True
    if count < LEAST:
        return False
    if enough(groups, wanted.precision):
        return True
    spent_s = sum(result.duration_s for result in results)
    return wanted.case_s is not None and spent_s + spent_s / count > wanted.case_s


def next_process(results: Sequence[Result]) -> int:
    """Return the least number that none of a case's processes has.

    That of a result which was lost, where one was: beside the others it would never be missed.
    """
    taken = {result.process for result in results}
    return next(number for number in counting() if number not in taken)


def shuffled(pending: Sequence[PlannedCase], run: str, number: int) -> list[PlannedCase]:
    """Return the cases of a round in random order, the same for the same run and round.

    In the first round baselines go before all others, which may be verified against what they found
    (`heat` holds each variant's recall against the baseline's).
    """
    order = list(pending)
    random.Random(f"{run}/{number}").shuffle(order)
    return order if number else sorted(order, key=lambda planned: not planned.variant.baseline)


def sampling_for(planned: PlannedCase, results: Sequence[Result]) -> Sampling:
    """Return how the next process samples: after the pilot, as many samples as pay."""
    least, most = planned.sampling.min_samples, planned.sampling.max_samples
    times = [time for result in results if (time := result.measurement("time")) and time.values]
    if len(times) < PILOT or min(min(time.values) for time in times) <= 0:
        return planned.sampling
    if all(len(time.values) == 1 for time in times):
        return planned.sampling
    sample_s = mean(median(time.values) * time.steps_per_sample for time in times)
    sampled_s = mean(sum(time.values) * time.steps_per_sample for time in times)
    process_s = mean(result.duration_s for result in results) - sampled_s
    if process_s <= 0:
        return planned.sampling
    components = variance_components([time.values for time in times])
    worth = samples_worth_taking(components, process_s, sample_s)
    return replace(planned.sampling, max_samples=min(max(worth, least), most))
