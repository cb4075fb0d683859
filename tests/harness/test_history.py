"""Stored results become series: a case, machine and settings each, a point a commit."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case_run import CaseRun
from harness.columns import ragged
from harness.errors import AssayError
from harness.history import Series, histories, normalised
from harness.intervals import process_intervals
from harness.records import Case, Measurement, Outcome, Result, Work
from harness.repetition import process_interval
from harness.sighting import environments_of

CASE = Case("spmv", "1", "pcsr", "cpu", {"rows": 10})


def run(
    number: int,
    *seconds: float,
    at: float = 0.0,
    canary_s: float = 0.001,
    kernel: str = "host-1",
    **facts: Any,
) -> CaseRun:
    changes = facts.pop("changes", {})
    environment = {
        "machine": "bench",
        "id": "e1",
        "commit": f"{number:040x}",
        "commit_time": 1000.0 * number,
        "dirty": False,
        **facts,
    }
    return CaseRun(
        f"run-{number}-{at}",
        tuple(
            replace(
                Result(
                    CASE,
                    Outcome.OK,
                    process=process,
                    started_at=at,
                    work=Work(items=2.0, item="product"),
                    measurements=(
                        Measurement("time", "s", "process", "clock", values=(value,)),
                        Measurement("peak_memory", "B", "process", "vmhwm", values=(4096.0,)),
                        Measurement("canary", "s", "device", kernel, values=(canary_s, 9.0)),
                    ),
                    environment=environment,
                ),
                **changes,
            )
            for process, value in enumerate(seconds)
        ),
    )


def estimates(series: Series) -> list[float]:
    return [point.interval.estimate for point in series.points]


def test_a_commit_is_a_point_in_the_order_of_the_commits() -> None:
    [series] = histories([run(3, 6.0), run(1, 2.0), run(2, 4.0)])
    assert estimates(series) == pytest.approx([1.0, 2.0, 3.0])
    assert [int(point.commit, 16) for point in series.points] == [1, 2, 3]
    assert (series.unit, series.item) == ("s", "product")


def test_a_peak_is_not_per_item() -> None:
    [series] = histories([run(1, 2.0)], "peak_memory")
    assert estimates(series) == pytest.approx([4096.0])
    assert (series.unit, series.item) == ("B", "")


def test_runs_of_one_commit_are_taken_together() -> None:
    [series] = histories([run(1, 2.0, 2.2), run(1, 2.1, 2.1, at=9.0)])
    [point] = series.points
    assert point.interval.estimate == pytest.approx(1.05, rel=1e-2)
    assert point.interval.low is not None


def test_another_environment_of_the_same_commit_is_a_point_after_it() -> None:
    newer = run(1, 8.0, at=9.0, id="e2")
    [series] = histories([newer, run(2, 8.0, at=20.0, id="e2"), run(1, 2.0, at=1.0)])
    assert estimates(series) == pytest.approx([1.0, 4.0, 4.0])
    assert [point.environment for point in series.points] == ["e1", "e2", "e2"]
    assert [int(point.commit, 16) for point in series.points] == [1, 1, 2]


def test_a_new_driver_is_another_environment_where_the_driver_counts() -> None:
    old, new = ({"name": "GPU", "driver": version} for version in ("560.1", "570.2"))
    measured = [run(1, 2.0, at=1.0, device=old), run(1, 8.0, at=9.0, device=new)]
    [series] = histories(measured)
    assert estimates(series) == pytest.approx([1.0, 4.0])
    crashed = run(1, 2.0, at=9.0, changes={"outcome": Outcome.CRASHED, "measurements": ()})
    elsewhere = run(1, 2.0, at=9.0, changes={"case": replace(CASE, backend="other")})
    found = environments_of([*measured, crashed, elsewhere])
    assert found == [series.points[0].environment, *[series.points[1].environment] * 2, "e1"]
    renamed = run(1, 2.0, at=9.0, device={**new, "name": "GPU 2", "power_limit_w": 300})
    assert environments_of([renamed]) == [found[1]], "hardware is no software"


def test_environments_of_a_commit_stand_in_one_order_in_all_series() -> None:
    other = replace(CASE, variant="other")
    first = [run(1, 2.0, at=1.0), run(1, 2.0, at=9.0, id="e2")]
    # This case came in the second environment first; the machine did not.
    later = [run(1, 2.0, at=9.0, id="e2"), run(1, 2.0, at=30.0)]
    later = [
        replace(one, results=tuple(replace(r, case=other) for r in one.results)) for one in later
    ]
    for series in histories([*first, *later]):
        assert [point.environment for point in series.points] == ["e1", "e2"]


def test_other_settings_are_another_series() -> None:
    few = run(1, 8.0, settings={"threads": 1, "pin": "0"}, id="e1-few")
    found = histories([run(1, 2.0), few, run(2, 8.0, settings={"threads": 1, "pin": "0"})])
    assert {series.settings: len(series.points) for series in found} == {
        "": 1,
        "pin=0 threads=1": 2,
    }


@pytest.mark.parametrize("where", ["settings", "device"])
def test_facts_that_are_nested_too_deeply_are_told_in_short(where: str) -> None:
    deep: Any = {"threads": 1}
    for _ in range(2_000):
        deep = {"a": deep}
    facts: dict[str, Any] = {where: {"driver": deep}}
    [series] = histories([run(1, 2.0, **facts), run(2, 2.0, **facts)])
    assert len(series.points) == 2
    assert len(series.settings) < 200


def test_a_point_tells_where_it_comes_from() -> None:
    [series] = histories([run(1, 2.0, 2.2, at=5.0), run(1, 2.1, at=9.0)])
    [point] = series.points
    assert point.runs == ("run-1-5.0", "run-1-9.0")
    assert (point.measured_at, point.processes) == (9.0, 3)


@given(order=st.randoms(use_true_random=False))
def test_the_order_of_the_results_changes_nothing(order: random.Random) -> None:
    cases = [run(number, 2.0 + number / 9, at=float(number)) for number in range(6)]
    cases += [run(3, 2.5, 2.6, at=50.0), run(3, 9.0, at=51.0, id="e2"), run(2, 4.0, machine="m")]
    expected = histories(cases)
    order.shuffle(cases)
    assert histories(cases) == expected


@given(
    groups=st.lists(
        st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=24), min_size=1, max_size=12
    )
)
def test_all_intervals_at_once_are_those_of_each(groups: list[list[float]]) -> None:
    every = process_intervals(ragged(groups))
    for row, group in enumerate(groups):
        found = every[row]
        expected = process_interval([[middle] for middle in group])
        assert found.estimate == pytest.approx(expected.estimate, rel=1e-9)
        assert found.confidence == expected.confidence
        for end, other in ((found.low, expected.low), (found.high, expected.high)):
            assert end == (None if other is None else pytest.approx(other, rel=1e-6))


def test_points_can_be_cut_as_a_list_can() -> None:
    [series] = histories([run(number, 2.0 + number, at=float(number)) for number in range(5)])
    every = list(series.points)
    assert series.points[-1] == every[-1]
    for part in (slice(1, 3), slice(-2, None), slice(9, 12)):
        assert list(series.points[part]) == every[part]
    assert series.points != series.points[1:]
    with pytest.raises(IndexError):
        series.points[5]


def test_machines_are_apart() -> None:
    assert len(histories([run(1, 2.0), run(1, 3.0, machine="other")])) == 2


@pytest.mark.parametrize(
    "left_out",
    [
        run(2, 9.0, dirty=True),
        run(2, 9.0, commit=None),
        run(2, 9.0, commit_time=None),
        run(2, 9.0, changes={"outcome": Outcome.FAILED}),
        run(2, 9.0, changes={"flags": ("impossible",)}),
        run(2, 9.0, machine=None),
        run(2, 0.0),
    ],
    ids=["dirty", "no commit", "no date", "failed", "impossible", "no machine", "no time at all"],
)
def test_what_cannot_stand_in_a_history_is_left_out(left_out: CaseRun) -> None:
    [series] = histories([run(1, 2.0), left_out])
    assert estimates(series) == pytest.approx([1.0])


def test_a_slower_machine_cancels_in_a_normalised_history() -> None:
    [series] = histories([run(1, 2.0), run(2, 2.4, canary_s=0.0012), run(3, 2.0)])
    assert estimates(normalised(series)) == pytest.approx([1.0, 1.0, 1.0])


def test_the_median_of_the_canaries_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    [series] = histories([run(number, 2.0) for number in range(5)])
    taken: list[int] = []

    def counted(values: Iterable[float]) -> float:
        found = list(values)
        taken.append(len(found))
        return median(found)

    monkeypatch.setattr("harness.history.median", counted)
    normalised(series)
    assert taken == [5]


def test_a_history_without_a_canary_has_nothing_to_normalise() -> None:
    [series] = histories([run(1, 2.0, canary_s=0.0)])
    assert len(normalised(series).points) == 0


def test_another_kind_of_canary_is_not_compared() -> None:
    [series] = histories([run(1, 4.0, kernel="host-0"), run(2, 2.0), run(3, 2.0)])
    assert estimates(normalised(series)) == pytest.approx([1.0, 1.0])


def test_the_canary_of_a_commit_is_that_of_all_its_runs() -> None:
    [series] = histories([run(1, 2.0, canary_s=0.001), run(1, 2.0, at=9.0, canary_s=0.003)])
    [point] = series.points
    assert point.canary is not None
    assert point.canary[1] == pytest.approx(0.002)


def test_a_peak_with_one_sample_of_0_stays_in_the_history() -> None:
    peak = Measurement("peak_memory", "B", "p", "vmhwm", values=(0.0, 4096.0, 4096.0))
    [series] = histories([run(1, 2.0, changes={"measurements": (peak,)})], "peak_memory")
    assert estimates(series) == pytest.approx([4096.0])


def test_only_times_are_normalised_by_the_canary() -> None:
    [series] = histories([run(1, 2.0)], "peak_memory")
    with pytest.raises(AssayError, match="leave out --normalise"):
        normalised(series)
