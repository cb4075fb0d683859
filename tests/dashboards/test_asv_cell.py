"""The number of a case in asv: its value, interval and samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_cell import CI_FLOOR, QUANTITIES, cell_of
from harness.case_run import CaseRun
from harness.records import Case, Measurement, Outcome, Result, Status, Work

Make = Callable[..., Result]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_a_number_that_cannot_be_is_not_exported(history: Any, measured: Make, bad: float) -> None:
    time = Measurement("time", "s", "process", "clock", values=(1.0, bad))
    result = replace(measured(history), measurements=(time,))
    cell = cell_of(CaseRun("run", (result,)), QUANTITIES[0])
    assert cell.value is not None
    assert math.isnan(cell.value)
    assert cell.samples == ()


@pytest.mark.parametrize("items", [0.0, -1.0, math.nan])
def test_a_value_per_no_items_is_not_exported(history: Any, measured: Make, items: float) -> None:
    cell = cell_of(
        CaseRun("run", (replace(measured(history), work=Work(items=items)),)), QUANTITIES[0]
    )
    assert cell.value is not None
    assert math.isnan(cell.value)


@given(medians=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_the_value_and_is_never_narrower_than_its_floor(
    medians: list[float],
) -> None:
    cell = cell_of(case_of([(median,) for median in medians]), QUANTITIES[0])
    assert cell.value is not None
    assert cell.stats is not None
    low, high = cell.stats.ci_99_a, cell.stats.ci_99_b
    assert low is not None
    assert high is not None
    # Rounding may take the last digit of a floor.
    assert low <= cell.value * (1 - CI_FLOOR) * (1 + 1e-12)
    assert high >= cell.value * (1 + CI_FLOOR) * (1 - 1e-12)


@given(medians=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_quartiles_are_those_of_numpy(medians: list[float]) -> None:
    cell = cell_of(case_of([(median,) for median in medians]), QUANTITIES[0])
    assert cell.stats is not None
    expected = np.quantile(medians, [0.25, 0.75])
    assert [cell.stats.q_25, cell.stats.q_75] == pytest.approx(expected)
    assert cell.samples == tuple(medians)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_process_counts_by_the_median_of_its_samples(samples: list[float]) -> None:
    cell = cell_of(case_of([tuple(samples)]), QUANTITIES[0])
    assert list(cell.samples) == pytest.approx([np.median(samples)])


def test_the_samples_of_one_process_are_one_sample_without_an_interval() -> None:
    cell = cell_of(case_of([(2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6)]), QUANTITIES[0])
    assert (cell.value, cell.samples) == (2.3, (2.3,))
    assert cell.stats is not None
    # asv compares what was repeated once by its factor alone.
    assert (cell.stats.repeat, cell.stats.ci_99_a, cell.stats.ci_99_b) == (1, None, None)


def test_a_counter_that_read_0_in_one_process_has_the_extremes_for_an_interval() -> None:
    cell = cell_of(case_of([(0.0, 0.0, 4.0), (2.0,), (4.0,)]), QUANTITIES[0])
    assert cell.stats is not None
    assert (cell.value, cell.stats.ci_99_a, cell.stats.ci_99_b) == (2.0, 0.0, 4.0)


def test_what_one_process_could_not_resolve_is_not_exported() -> None:
    one = case_of([(1e-6,), (1e-6,)])
    hidden = Measurement("time", "s", "process", "clock", status=Status.UNRESOLVABLE, reason="why")
    last = replace(one.results[0], process=2, measurements=(hidden,))
    cell = cell_of(CaseRun("run", (*one.results, last)), QUANTITIES[0])
    assert cell.value is not None
    assert math.isnan(cell.value)


def test_the_samples_of_several_processes_are_their_medians(history: Any, measured: Make) -> None:
    results = [
        replace(measured(history, seconds=seconds, items=1.0), process=at)
        for at, seconds in enumerate((2.0, 2.2, 2.1))
    ]
    cell = cell_of(CaseRun("run", tuple(results)), QUANTITIES[0])
    assert cell.samples == pytest.approx((2.0, 2.2, 2.1))
    assert cell.value == pytest.approx(2.1, rel=1e-3)
    assert cell.stats is not None
    assert cell.stats.ci_99_a is not None
    assert cell.stats.ci_99_b is not None
    # Student's interval of three processes is far wider than their ten samples each would say.
    assert cell.stats.ci_99_a < 1.9 < 2.3 < cell.stats.ci_99_b


def case_of(processes: list[tuple[float, ...]]) -> CaseRun:
    case = Case("heat", "1", "torch", "cpu", {})
    return CaseRun(
        "run",
        tuple(
            Result(
                case,
                Outcome.OK,
                process=at,
                measurements=(Measurement("time", "s", "process", "clock", values=values),),
            )
            for at, values in enumerate(processes)
        ),
    )
