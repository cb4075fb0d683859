"""Headline numbers are derived from stored samples, and what is missing stays missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Case, Measurement, Outcome, Quality, Result, Status, Work
from harness.rows import as_json, latest_of_each_case, rows

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
            Measurement("stream_rate", "B/s", "device", "stream", values=(1000.0, 1000.0)),
        ),
        quality=Quality({"recall": 0.5}),
        environment={"id": "e", "machine": "m", "commit": "c", "dirty": False},
    )


def test_time_is_per_item_with_its_interval() -> None:
    [row] = rows([result_of("slow", 4.0, 4.0, 4.0, 4.0, 4.0, 4.2)], [])
    assert row.time is not None
    assert row.time.interval is not None
    assert (row.time.interval.low, row.time.interval.estimate, row.time.interval.high) == (
        2.0,
        2.0,
        2.1,
    )


def test_a_peak_is_not_per_item_and_energy_keeps_its_reason() -> None:
    one = as_json(rows([result_of("slow", 4.0)], [])[0])
    assert one["peak_bytes"]["median"] == 4096.0
    assert one["energy"]["median"] is None
    assert one["energy"]["status"] == "unavailable"
    assert one["energy"]["reason"] == "no counter; use bare metal"
    assert one["per"] == "product"


def test_a_speedup_is_taken_per_item_against_the_baseline_of_the_same_case() -> None:
    slow = result_of("slow", 4.0, 4.0, items=2.0)
    fast = result_of("fast", 4.0, 4.0, items=8.0)
    first, second = rows([slow, fast], [("w", "slow")])
    assert first.speedup is None
    assert second.speedup is not None
    assert second.speedup.estimate == pytest.approx(4.0)
    assert as_json(second)["speedup"]["baseline"] == "slow"


def test_other_parameters_or_another_machine_are_no_baseline() -> None:
    slow, fast = result_of("slow", 4.0), result_of("fast", 1.0)
    elsewhere = replace(slow, environment={"id": "other", "machine": "m"})
    other = replace(slow, case=replace(slow.case, params={"n": 2}))
    assert all(row.speedup is None for row in rows([elsewhere, other, fast], [("w", "slow")]))


def test_a_failed_baseline_gives_no_speedup() -> None:
    failed = replace(result_of("slow", 4.0), outcome=Outcome.FAILED)
    assert rows([failed, result_of("fast", 1.0)], [("w", "slow")])[1].speedup is None


def test_rates_and_the_share_of_the_ceiling_follow_from_the_declared_work() -> None:
    one = as_json(rows([result_of("slow", 4.0)], [])[0])
    assert one["rates"] == {"float64_flop_per_s": 25.0, "memory_byte_per_s": 250.0}
    assert one["ceiling"] == {
        "name": "memory stream",
        "share": 0.25,
        "rate": 1000.0,
        "unit": "B/s",
    }


def test_a_result_without_measurements_has_nulls_not_zeros() -> None:
    skipped = Result(case=CASE, outcome=Outcome.SKIPPED, reason="no device")
    one = as_json(rows([skipped], [("w", "slow")])[0])
    for name in ("time_s", "peak_bytes", "energy", "speedup", "quality", "ceiling", "per"):
        assert one[name] is None, name
    assert one["reason"] == "no device"


def test_a_skip_does_not_undo_what_was_measured() -> None:
    measured = result_of("slow", 1.0)
    skipped = replace(measured, outcome=Outcome.SKIPPED, measurements=())
    assert latest_of_each_case([measured, skipped]) == [measured]


def test_the_last_result_of_a_case_wins_within_its_environment() -> None:
    first, second = result_of("slow", 1.0), result_of("slow", 2.0)
    other = replace(first, environment={"id": "other"})
    assert latest_of_each_case([first, other, second]) == [second, other]
