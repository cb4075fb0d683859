"""The number of a case in asv: its value, interval and samples."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_cell import CI_FLOOR, QUANTITIES, cell_of
from harness.case_run import CaseRun
from harness.records import Case, Measurement, Outcome, Result, Work

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


@given(
    samples=st.lists(st.floats(1e-9, 1e6), min_size=2, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_the_median_and_is_never_narrower_than_its_floor(
    samples: list[float],
) -> None:
    time = Measurement("time", "s", "process", "clock", values=tuple(samples))
    case = Case("heat", "1", "torch", "cpu", {})
    cell = cell_of(CaseRun("run", (Result(case, Outcome.OK, measurements=(time,)),)), QUANTITIES[0])
    assert cell.value is not None
    assert cell.stats is not None
    low, high = cell.stats.ci_99_a, cell.stats.ci_99_b
    assert low is not None
    assert high is not None
    assert math.isfinite(low)
    assert math.isfinite(high)
    # Rounding may take the last digit of a floor.
    assert low <= cell.value * (1 - CI_FLOOR) * (1 + 1e-12)
    assert high >= cell.value * (1 + CI_FLOOR) * (1 - 1e-12)


@pytest.mark.parametrize("count", [4, 12])
def test_the_interval_covers_the_median_in_about_99_percent_of_all_cases(count: int) -> None:
    generator = random.Random(5)
    case = Case("heat", "1", "torch", "cpu", {})
    covered = 0
    for _ in range(1000):
        values = tuple(generator.gauss(100.0, 10.0) for _ in range(count))
        time = Measurement("time", "s", "process", "clock", values=values)
        stats = cell_of(
            CaseRun("run", (Result(case, Outcome.OK, measurements=(time,)),)), QUANTITIES[0]
        ).stats
        assert stats is not None
        assert stats.ci_99_a is not None
        assert stats.ci_99_b is not None
        covered += stats.ci_99_a <= 100.0 <= stats.ci_99_b
    # 99 % of 1000 with four standard deviations of the binomial to spare.
    assert covered >= 977


def test_one_sample_has_no_interval(history: Any, measured: Make) -> None:
    stats = cell_of(CaseRun("run", (measured(history, samples=1),)), QUANTITIES[0]).stats
    assert stats is not None
    assert (stats.repeat, stats.ci_99_a, stats.ci_99_b) == (1, None, None)


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
