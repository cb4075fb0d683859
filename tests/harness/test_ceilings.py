"""A step that declares more than its device can do is flagged; an honest one is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ceilings import MARGIN, impossible, relevant, shares, upper_end
from harness.records import Case, Ceiling, Measurement, Outcome, Result, Work

LADDER = (
    Ceiling("memory_rate", "L1", "B/s", (400e9, 410e9), 32e3, "read"),
    Ceiling("memory_rate", "L2", "B/s", (200e9, 190e9), 1e6, "read"),
    Ceiling("memory_rate", "DRAM", "B/s", (50e9, 49e9), 64e6, "read"),
    Ceiling("memory_rate", "DRAM", "B/s", (90e9, 89e9), 64e6, "read and write"),
    Ceiling("flop_rate", "float32", "FLOP/s", (100e9,), None, "loop"),
    Ceiling("flop_rate", "float32", "FLOP/s", (80e9,), None, "matmul"),
    Ceiling("flop_rate", "float64", "FLOP/s", (50e9,), None, "loop"),
    Ceiling("disk_rate", "disk", "B/s", (1e9, 1.2e9), 128e6, "O_DIRECT read"),
)


def moving(rate: float, working_set: float | None, times: tuple[float, ...] = (1.0,) * 9) -> Result:
    """A case that moves memory at `rate` in B/s, held against the ladder."""
    work = Work(bytes={"memory": rate}, working_set_bytes=working_set)
    return bounded(work, times)


def bounded(work: Work, times: tuple[float, ...] = (1.0,) * 9) -> Result:
    return Result(
        case=Case("fake", "1", "exact", "fake", {}),
        outcome=Outcome.OK,
        work=work,
        measurements=(Measurement("time", "s", "device", "virtual", values=times),),
        ceilings=relevant(LADDER, work),
    )


@pytest.mark.parametrize(
    ("working_set", "levels"),
    [
        (1.0, ["L1", "DRAM"]),
        (32e3, ["L1", "DRAM"]),
        (999e3, ["L1", "DRAM"]),
        (1e6, ["L2", "DRAM"]),
        (64e6, ["DRAM", "DRAM"]),
        (1e12, ["DRAM", "DRAM"]),
    ],
)
def test_the_size_that_the_working_set_fills_bounds_it(
    working_set: float, levels: list[str]
) -> None:
    work = Work(bytes={"memory": 1.0}, working_set_bytes=working_set)
    assert [ceiling.level for ceiling in relevant(LADDER, work)] == levels


def test_only_what_is_declared_is_bounded() -> None:
    assert relevant(LADDER, Work()) == ()
    assert relevant(LADDER, Work(bytes={"memory": 1.0})) == ()
    assert relevant(LADDER, Work(bytes={"link": 1.0, "disk": 0.0}, flops={"int8": 1.0})) == ()
    [disk] = relevant(LADDER, Work(bytes={"disk": 1.0}))
    assert disk.level == "disk"
    single, double = relevant(LADDER, Work(flops={"float32": 1.0, "float64": 1.0}))
    assert (single.method, double.level) == ("loop", "float64")


@given(
    st.lists(st.floats(1e6, 1e12), min_size=1, max_size=8),
    st.floats(1.0, 1e10),
    st.floats(1.0, 1e10),
)
def test_a_larger_working_set_is_never_bounded_more_loosely(
    rates: list[float], one: float, other: float
) -> None:
    ladder = [
        Ceiling("memory_rate", str(n), "B/s", (rate,), 4.0 ** (n + 5))
        for n, rate in enumerate(rates)
    ]
    small, large = sorted((one, other))
    [near] = relevant(ladder, Work(bytes={"memory": 1.0}, working_set_bytes=small))
    [far] = relevant(ladder, Work(bytes={"memory": 1.0}, working_set_bytes=large))
    assert upper_end(near) >= upper_end(far)


def test_a_size_that_met_a_bad_moment_is_bounded_by_a_faster_larger_one() -> None:
    spoilt = (replace(LADDER[1], values=(20e9,)), LADDER[2])
    [bound] = relevant(spoilt, Work(bytes={"memory": 1.0}, working_set_bytes=2e6))
    assert bound is LADDER[2]


def test_a_share_is_the_declared_rate_over_the_best_repetition() -> None:
    [share] = shares(moving(25e9, 64e6, times=(1.0, 1.0, 1.0, 1.0, 1.0, 2.0)))
    assert (share.ceiling.level, share.ceiling.method) == ("DRAM", "read")
    assert share.share == 0.5
    assert (share.rate.estimate, share.rate.low, share.rate.high) == (25e9, 12.5e9, 25e9)


def test_what_writes_too_is_held_against_reading_and_writing() -> None:
    [share] = shares(moving(80e9, 64e6))
    assert (share.ceiling.method, share.share) == ("read and write", 80 / 90)
    assert impossible(moving(80e9, 64e6)) is None


def test_the_nearest_ceiling_comes_first() -> None:
    work = Work(flops={"float64": 40e9}, bytes={"memory": 5e9}, working_set_bytes=64e6)
    assert [share.ceiling.level for share in shares(bounded(work))] == ["float64", "DRAM"]


@pytest.mark.parametrize(
    "result",
    [
        replace(moving(1e9, 64e6), work=None),
        replace(moving(1e9, 64e6), measurements=()),
        replace(moving(1e9, 64e6), ceilings=()),
        moving(1e9, 64e6, times=()),
        moving(1e9, 64e6, times=(0.0, 1.0)),
    ],
)
def test_without_work_time_or_ceiling_there_is_no_share_and_no_judgement(result: Result) -> None:
    assert shares(result) == []
    assert impossible(result) is None


def test_beyond_every_ceiling_is_impossible_and_names_it() -> None:
    reason = impossible(moving(120e9, 64e6))
    assert reason is not None
    assert "at least 1.2e+11 B/s" in reason
    assert "DRAM at 61.0 MiB (read and write) is at most 9.9e+10 B/s" in reason
    assert "\n" not in reason


def test_an_interval_that_reaches_below_the_ceiling_is_possible() -> None:
    noisy = (0.9, 0.95, 1.0, 1.0, 1.0, 1.3)
    assert impossible(moving(120e9, 64e6, noisy)) is None
    assert impossible(moving(150e9, 64e6, noisy)) is not None


def test_few_samples_are_judged_by_the_slowest() -> None:
    assert impossible(moving(120e9, 64e6, (1.0,))) is not None
    assert impossible(moving(120e9, 64e6, (1.0, 2.0))) is None


@given(st.lists(st.floats(1e6, 1e12), min_size=1, max_size=9))
def test_a_ceilings_interval_is_no_narrower_than_its_spread_or_the_margin(
    values: list[float],
) -> None:
    ceiling = Ceiling("disk_rate", "disk", "B/s", tuple(values))
    middle = sorted(values)[len(values) // 2]
    assert upper_end(ceiling) >= max(values) * (1 + MARGIN) * (1 - 1e-12)
    if len(values) % 2:
        assert upper_end(ceiling) >= (2 * max(values) - middle) * (1 - 1e-12)
