"""Headline numbers are derived from stored samples, and what is missing stays missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.case_run import CaseRun
from harness.records import Case, Ceiling, Measurement, Outcome, Quality, Result, Status, Work
from harness.rows import Row, as_json, latest_of_each_case, rows

CASE = Case("w", "1", "slow", "cpu", {"n": 1})


def result_of(variant: str, *times: float, items: float = 2.0) -> Result:
    return Result(
        case=replace(CASE, variant=variant),
        outcome=Outcome.OK,
        work=Work(
            items=items,
            item="product",
            flops={"float64": 100.0},
            bytes={"memory": 1000.0},
            working_set_bytes=1000.0,
        ),
        measurements=(
            Measurement("time", "s", "process", "clock", values=times),
            Measurement("peak_memory", "B", "process", "vmhwm", values=(4096.0,)),
            Measurement(
                "energy",
                "J",
                "package",
                "rapl",
                status=Status.UNAVAILABLE,
                reason="no counter; use bare metal",
            ),
        ),
        quality=Quality({"recall": 0.5}),
        ceilings=(
            Ceiling("memory_rate", "L2", "B/s", (900.0, 1000.0), size_bytes=500.0, method="read"),
        ),
        environment={"id": "e", "machine": "m", "commit": "c", "dirty": False},
    )


def rows_of(results: list[Result], baselines: list[tuple[str, str]]) -> list[Row]:
    return rows([CaseRun("run", (result,)) for result in results], baselines)


def repeated(variant: str, *times: float) -> CaseRun:
    results = [replace(result_of(variant, time), process=at) for at, time in enumerate(times)]
    return CaseRun("run", tuple(results))


def test_time_is_per_item_with_the_interval_over_processes() -> None:
    [row] = rows([repeated("slow", 4.0, 4.1, 3.9, 4.0, 4.0)], [])
    assert row.time is not None
    assert row.time.interval is not None
    low, high = row.time.interval.low, row.time.interval.high
    assert low is not None
    assert high is not None
    assert row.time.interval.estimate == pytest.approx(2.0, rel=1e-3)
    assert 1.9 < low < 2.0 < high < 2.1
    assert row.smallest_effect is not None
    assert 0.0 < row.smallest_effect < 0.1


def test_the_samples_of_one_process_give_no_interval() -> None:
    [row] = rows_of([result_of("slow", 4.0, 4.0, 4.0, 4.0, 4.0, 4.2)], [])
    assert row.time is not None
    assert row.time.interval is not None
    assert (row.time.interval.low, row.time.interval.high) == (None, None)
    assert row.time.interval.estimate == pytest.approx(2.0)
    assert row.smallest_effect is None


def test_a_speedup_has_an_interval_over_the_processes_of_both() -> None:
    found = rows(
        [repeated("slow", 4.0, 4.1, 3.9), repeated("fast", 2.0, 2.1, 1.9)], [("w", "slow")]
    )
    speedup = found[1].speedup
    assert speedup is not None
    assert speedup.low is not None
    assert speedup.high is not None
    assert 1.5 < speedup.low < 2.0 < speedup.high < 2.6


def test_one_process_that_failed_speaks_for_the_case() -> None:
    fine, broken = repeated("slow", 4.0, 4.1).results
    [row] = rows([CaseRun("run", (fine, replace(broken, outcome=Outcome.CRASHED)))], [])
    assert as_json(row)["outcome"] == "crashed"


def test_a_result_beyond_its_ceiling_is_not_compared() -> None:
    slow = repeated("slow", 4.0, 4.1, 3.9)
    wrong = CaseRun("run", tuple(replace(r, flags=("impossible",)) for r in slow.results))
    found = rows([wrong, repeated("fast", 2.0, 2.1)], [("w", "slow")])
    assert found[1].speedup is None
    assert "impossible" in as_json(found[0])["flags"]


def test_a_peak_is_not_per_item_and_energy_keeps_its_reason() -> None:
    one = as_json(rows_of([result_of("slow", 4.0)], [])[0])
    assert one["peak_bytes"]["median"] == 4096.0
    assert one["energy"]["median"] is None
    assert one["energy"]["status"] == "unavailable"
    assert one["energy"]["reason"] == "no counter; use bare metal"
    assert one["per"] == "product"


def test_a_speedup_is_taken_per_item_against_the_baseline_of_the_same_case() -> None:
    slow = result_of("slow", 4.0, 4.0, items=2.0)
    fast = result_of("fast", 4.0, 4.0, items=8.0)
    first, second = rows_of([slow, fast], [("w", "slow")])
    assert first.speedup is None
    assert second.speedup is not None
    assert second.speedup.estimate == pytest.approx(4.0)
    assert as_json(second)["speedup"]["baseline"] == "slow"


def test_other_parameters_or_another_machine_are_no_baseline() -> None:
    slow, fast = result_of("slow", 4.0), result_of("fast", 1.0)
    elsewhere = replace(slow, environment={"id": "other", "machine": "m"})
    other = replace(slow, case=replace(slow.case, params={"n": 2}))
    assert all(row.speedup is None for row in rows_of([elsewhere, other, fast], [("w", "slow")]))


def test_a_failed_baseline_gives_no_speedup() -> None:
    failed = replace(result_of("slow", 4.0), outcome=Outcome.FAILED)
    assert rows_of([failed, result_of("fast", 1.0)], [("w", "slow")])[1].speedup is None


def test_the_duration_is_that_of_all_processes() -> None:
    slow = repeated("slow", 4.0, 4.1)
    timed = CaseRun("run", tuple(replace(result, duration_s=1.5) for result in slow.results))
    assert as_json(rows([timed], [])[0])["duration_s"] == 3.0


def test_rates_and_the_share_of_the_ceiling_follow_from_the_declared_work() -> None:
    one = as_json(rows_of([result_of("slow", 4.0)], [])[0])
    assert one["rates"] == {"float64_flop_per_s": 25.0, "memory_byte_per_s": 250.0}
    assert one["ceiling"] == {
        "name": "memory_rate L2",
        "share": 0.25,
        "rate": 250.0,
        "ceiling_rate": 1000.0,
        "unit": "B/s",
        "method": "read",
    }


def test_a_result_without_measurements_has_nulls_not_zeros() -> None:
    skipped = Result(case=CASE, outcome=Outcome.SKIPPED, reason="no device")
    one = as_json(rows_of([skipped], [("w", "slow")])[0])
    for name in ("time_s", "peak_bytes", "energy", "speedup", "quality", "ceiling", "per"):
        assert one[name] is None, name
    assert one["reason"] == "no device"


def test_a_skip_does_not_undo_what_was_measured() -> None:
    measured = result_of("slow", 1.0)
    skipped = replace(measured, outcome=Outcome.SKIPPED, measurements=())
    before, after = CaseRun("1", (measured,)), CaseRun("2", (skipped,))
    assert latest_of_each_case([before, after]) == [before]


def test_the_last_result_of_a_case_wins_within_its_environment() -> None:
    first, second = result_of("slow", 1.0), result_of("slow", 2.0)
    other = replace(first, environment={"id": "other"})
    runs = [CaseRun(f"{at}", (result,)) for at, result in enumerate((first, other, second))]
    assert latest_of_each_case(runs) == [runs[2], runs[1]]


def with_values(quantity: str, processes: list[tuple[float, ...]]) -> Row:
    """A row whose processes measured one quantity; without values it was unresolvable."""
    results = []
    for at, values in enumerate(processes):
        status = Status.MEASURED if values else Status.UNRESOLVABLE
        reason = "" if values else "a step is too short"
        one = Measurement(quantity, "s", "p", "m", values=values, status=status, reason=reason)
        results.append(replace(result_of("slow", 1.0), process=at, measurements=(one,)))
    [row] = rows([CaseRun("run", tuple(results))], [])
    return row


@pytest.mark.parametrize("hidden", [0, 2])
def test_a_time_that_one_process_could_not_resolve_is_no_number(hidden: int) -> None:
    processes: list[tuple[float, ...]] = [(1.0,), (1.0,), (1.0,)]
    processes[hidden] = ()
    one = as_json(with_values("time", processes))
    assert one["time_s"]["median"] is None
    assert (one["time_s"]["status"], one["time_s"]["reason"]) == (
        "unresolvable",
        "a step is too short",
    )
    assert one["ceilings"] == []


def test_a_sample_of_0_takes_no_interval_from_the_processes() -> None:
    one = as_json(with_values("peak_memory", [(0.0, 4096.0, 4096.0), (4096.0,)]))
    assert one["peak_bytes"]["median"] == pytest.approx(4096.0)
    assert one["peak_bytes"]["ci_low"] == pytest.approx(4096.0)


def test_a_time_of_0_has_neither_interval_nor_effect() -> None:
    one = as_json(with_values("time", [(0.0,), (1.0,)]))
    assert (one["time_s"]["ci_low"], one["smallest_effect"]) == (None, None)


def test_energy_that_one_process_could_not_read_is_that_of_the_others() -> None:
    slow = repeated("slow", 4.0, 4.0)
    read = Measurement("energy", "J", "package", "rapl", values=(6.0,))
    second = replace(slow.results[1], measurements=(*slow.results[1].measurements[:2], read))
    [row] = rows([CaseRun("run", (slow.results[0], second))], [])
    one = as_json(row)["energy"]
    assert (one["median"], one["status"], one["reason"]) == (3.0, "measured", "")


def test_the_share_of_the_ceiling_is_that_of_all_processes() -> None:
    one = as_json(rows([repeated("slow", 4.0, 2.0, 2.0, 2.0, 2.0)], [])[0])
    assert one["ceiling"]["rate"] == pytest.approx(one["rates"]["memory_byte_per_s"])
    assert 0.25 < one["ceiling"]["share"] < 0.5
