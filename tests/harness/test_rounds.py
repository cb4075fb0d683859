"""Repetitions go where they pay: a case ends when it is precise, hopeless or too dear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.plan import MAX_PROCESSES, PlannedCase, Repetition, Selection, plan
from harness.records import Measurement, Outcome, Result, Work
from harness.registry import Registry
from harness.repetition import PILOT
from harness.rounds import LEAST, finished, next_process, sampling_for, shuffled


@pytest.fixture
def planned(fakes: Registry) -> PlannedCase:
    return plan(fakes, Selection(variants=("exact",), size="small")).cases[0]


def results(
    planned: PlannedCase, *seconds: float, samples: int = 20, spread: float = 0.0, took_s: float = 2
) -> list[Result]:
    found = []
    for number, value in enumerate(seconds):
        values = tuple(value * (1 + spread * (-1) ** at) for at in range(samples))
        found.append(
            Result(
                planned.case,
                Outcome.OK,
                process=number,
                duration_s=took_s,
                work=Work(items=2.0),
                measurements=(Measurement("time", "s", "process", "clock", values=values),),
            )
        )
    return found


def test_a_precise_case_ends_with_its_pilot(planned: PlannedCase) -> None:
    alike = [1.0 + 0.001 * number for number in range(PILOT)]
    assert not finished(planned, results(planned, *alike[:-1]))
    assert finished(planned, results(planned, *alike))


def test_an_imprecise_case_goes_on_until_its_time_is_up(planned: PlannedCase) -> None:
    apart = [1.0, 1.3] * 10
    limit_s = planned.repetition.case_s
    assert limit_s is not None
    assert not finished(planned, results(planned, *apart[:8]))
    assert finished(planned, results(planned, *apart[:8], took_s=limit_s / 8))


def test_a_slow_case_ends_before_its_pilot_but_has_an_interval(planned: PlannedCase) -> None:
    slow = results(planned, 1.0, 1.3, 1.1, took_s=1e4)
    assert [finished(planned, slow[:count]) for count in range(4)] == [False, False, False, True]
    assert LEAST == 3


def test_no_case_is_repeated_for_ever(planned: PlannedCase) -> None:
    endless = replace(planned, repetition=Repetition(precision=1e-9))
    apart = [1.0, 1.3] * MAX_PROCESSES
    assert not finished(endless, results(planned, *apart[: MAX_PROCESSES - 1]))
    assert finished(endless, results(planned, *apart[:MAX_PROCESSES]))


def test_so_many_processes_as_were_asked_for(planned: PlannedCase) -> None:
    asked = replace(planned, repetition=Repetition(processes=7))
    assert not finished(asked, results(planned, *[1.0] * 6))
    assert finished(asked, results(planned, *[1.0] * 7))


def test_a_case_without_time_is_not_repeated(planned: PlannedCase) -> None:
    [one] = results(planned, 1.0)
    assert finished(planned, [replace(one, measurements=())])
    assert finished(planned, [replace(one, outcome=Outcome.CRASHED)])


def test_a_time_of_0_is_not_repeated_in_search_of_precision(planned: PlannedCase) -> None:
    seconds = [1.0, 1.3, 0.0]
    assert not finished(planned, results(planned, *seconds[:2]))
    assert finished(planned, results(planned, *seconds))


def test_a_process_that_was_lost_is_the_next_one(planned: PlannedCase) -> None:
    first, second, third = results(planned, 1.0, 1.0, 1.0)
    assert next_process([]) == 0
    assert next_process([first, second, third]) == 3
    assert next_process([second, third]) == 0


def test_a_round_is_shuffled_alike_for_the_same_run_and_otherwise_for_another(
    fakes: Registry,
) -> None:
    cases = plan(fakes, Selection(size="ci")).cases
    first = shuffled(cases, "run", 0)
    assert first == shuffled(cases, "run", 0)
    assert sorted(one.case.key for one in first) == sorted(one.case.key for one in cases)
    assert len({tuple(c.case.key for c in shuffled(cases, "run", at)) for at in range(5)}) == 5


def test_in_the_first_round_baselines_go_first_and_later_in_no_order(fakes: Registry) -> None:
    cases = plan(fakes, Selection(size="ci")).cases

    def baselines(run: int, number: int) -> list[bool]:
        return [one.variant.baseline for one in shuffled(cases, str(run), number)]

    for run in range(5):
        assert baselines(run, 0) == sorted(baselines(run, 0), reverse=True)
    assert any(baselines(run, 1) != baselines(run, 0) for run in range(5))
    assert len({tuple(c.case.key for c in shuffled(cases, str(run), 0)) for run in range(5)}) == 5


def test_a_pilot_samples_as_planned(planned: PlannedCase) -> None:
    assert sampling_for(planned, results(planned, 1.0, 1.1)) == planned.sampling


def test_where_processes_differ_most_fewer_samples_are_taken(planned: PlannedCase) -> None:
    seconds = [0.0010, 0.0014, 0.0011, 0.0013, 0.0012]
    few = sampling_for(planned, results(planned, *seconds, spread=0.0001))
    assert few.max_samples == planned.sampling.min_samples
    alike = [0.0010, 0.0010001, 0.0010, 0.0010001, 0.0010]
    many = sampling_for(planned, results(planned, *alike, spread=0.2))
    assert many.max_samples == planned.sampling.max_samples
