"""What ranks agree on: meters, clocks, verifications; simulated by threads or by told readings."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pytest

from harness import ranks
from harness.errors import AssayError
from harness.measure import Sampling, Steps, measure
from harness.protocols import Meter, MeterError
from harness.records import (
    Case,
    Ceiling,
    Facts,
    Measurement,
    Outcome,
    Parameter,
    Result,
    Work,
    verified,
)
from harness.session import bounded
from harness.testing import (
    FakeDevice,
    FakeMeter,
    FakeWorkload,
    VirtualClock,
    workload_checks,
)


@dataclass
class ToldGroup:
    """This is rank 0; what the other ranks say is given, a value for each gathering."""

    others: list[list[Any]]
    hosts: Sequence[int] = (0, 0)
    rank: int = 0

    @property
    def size(self) -> int:
        return len(self.hosts)

    def barrier(self) -> None:
        return None

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> Sequence[Any]:
        return [value, *self.others.pop(0)]

    def environment(self) -> Facts:
        return {}


@dataclass
class ThreadGroup:
    """One of several ranks that are threads."""

    rank: int
    meeting: threading.Barrier
    held: list[Any]
    hosts: Sequence[int] = field(default=())

    @property
    def size(self) -> int:
        return len(self.held)

    def barrier(self) -> None:
        self.meeting.wait()

    def broadcast(self, value: Any) -> Any:
        return self.gather(value)[0]

    def gather(self, value: Any) -> Sequence[Any]:
        self.held[self.rank] = value
        self.barrier()
        found = list(self.held)
        self.barrier()
        return found

    def environment(self) -> Facts:
        return {}


def agreed(meter: Meter, group: ToldGroup, barrier_s: float = 0.0) -> Meter:
    return ranks.agreed_meter(meter, group, barrier_s)


def read(meter: Meter, clock: VirtualClock, seconds: float) -> float:
    token = meter.start()
    clock.advance(seconds)
    return meter.stop(token)


def test_a_sample_of_time_is_the_slowest_ranks_and_its_skew_is_kept() -> None:
    clock = VirtualClock()
    meter = agreed(FakeMeter(clock), ToldGroup([[(2.0, None), (0.5, None)]], hosts=(0, 0, 1)))
    assert read(meter, clock, 1.0) == 2.0
    assert getattr(meter, "skew", None) == 1.5


@pytest.mark.parametrize(
    ("scope", "joules"), [("device", 10.0 + 30.0 + 7.0), ("package", 30.0 + 7.0)]
)
def test_energy_counts_each_device_once_and_what_ranks_of_a_host_share_once_a_host(
    scope: str, joules: float
) -> None:
    clock = VirtualClock()
    inner = FakeMeter(clock, quantity="energy", unit="J", scope=scope)
    group = ToldGroup([[(30.0, None), (7.0, None)]], hosts=(0, 0, 1))
    assert read(agreed(inner, group), clock, 1.0) == joules


def test_a_meter_that_one_rank_cannot_read_is_read_by_none() -> None:
    clock = VirtualClock()
    group = ToldGroup([["no counter here; plug one in"], [(0.0, "the counter wrapped")]])
    meter = agreed(FakeMeter(clock), group)
    assert meter.unavailable() == "rank 1: no counter here; plug one in"
    with pytest.raises(MeterError, match="rank 1: the counter wrapped"):
        read(meter, clock, 1.0)


def test_a_meter_that_does_not_start_on_one_rank_still_answers_when_the_window_closes() -> None:
    class Dead(FakeMeter):
        def start(self) -> float:
            raise MeterError("the counter is gone")

    clock = VirtualClock()
    group = ToldGroup([[(1.0, None)]])
    meter = agreed(Dead(clock), group)
    token = meter.start()
    assert group.others, "nobody is asked before the window closes"
    with pytest.raises(MeterError, match="rank 0: the counter is gone"):
        meter.stop(token)


def test_a_window_hides_the_barrier_before_it_and_a_peak_needs_none() -> None:
    clock = VirtualClock()
    assert agreed(FakeMeter(clock, min_window_s=1e-3), ToldGroup([]), 2e-4).min_window_s == 0.02
    assert agreed(FakeMeter(clock, min_window_s=1e-3), ToldGroup([]), 9.0).min_window_s == 0.1
    assert agreed(FakeMeter(clock, quantity="peak_memory"), ToldGroup([]), 9.0).min_window_s == 0


def test_one_rank_alone_keeps_its_own_meter_and_clock() -> None:
    meter = FakeMeter(VirtualClock())
    assert ranks.agreed_meter(meter, ranks.Alone(), 1.0) is meter
    assert ranks.Alone().gather(3) == [ranks.Alone().broadcast(3)] == [3]


def test_the_one_sampling_loop_takes_the_same_samples_on_ranks_of_unlike_speed() -> None:
    size = 3
    meeting, held = threading.Barrier(size, timeout=20), [None] * size

    def one(rank: int) -> Measurement:
        group = ThreadGroup(rank, meeting, held)
        device = FakeDevice()
        # Clocks that stand at unlike times must not part the ranks either.
        device.clock.advance(1000.0 * rank)
        meter = ranks.agreed_meter(FakeMeter(device.clock, min_window_s=2.0), group, 0.0)
        return measure(
            Steps(run=lambda: device.clock.advance(0.25 * (1 + rank)), device=device),
            meter,
            Sampling(min_samples=3, max_samples=50, budget_s=20.0, warm_up_s=4.0),
            timer=meter,
            now=lambda: group.broadcast(device.clock.now_s),
        )

    with ThreadPoolExecutor(size) as pool:
        found = list(pool.map(one, range(size)))
    assert {len(one.values) for one in found} == {len(found[0].values)}
    assert {one.steps_per_sample for one in found} == {3}
    assert {value for one in found for value in one.values} == {0.75}
    time_, skew = ranks.apart(found[0])
    assert (skew.quantity, skew.unit, skew.scope) == ("skew", "s", "ranks")
    assert skew.values == (0.5,) * len(time_.values)
    assert not any(ranks.SKEW in sample for sample in time_.noise)


def test_of_the_verifications_the_worst_counts_and_a_rejection_names_its_rank() -> None:
    good, better = verified(0.5, 1.0, "it"), verified(0.1, 1.0, "it")
    nan = verified(float("nan"), 1.0, "it")
    bad = verified(2.0, 1.0, "it", "row 3")
    assert ranks.worst([better, good]) == good
    assert ranks.worst([good, bad]).detail == "rank 1 of 2: row 3"
    assert ranks.worst([bad, nan, good]).detail == "rank 1 of 3"
    assert ranks.worst([bad]) == bad


def test_a_rank_is_read_from_what_torchs_launchers_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(AssayError, match="start this with torchrun"):
        ranks.Place.from_environment()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert ranks.Place.from_environment() == ranks.Place(5, 8, 1, 4)
    assert ranks.device_index(frozenset({"host", "fp64"}), 3) == 0
    assert ranks.device_index(frozenset({"fp64"}), 3) == 3


def test_ranks_of_a_host_share_its_processors_and_have_one_each_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(7)))
    assert ranks.thread_share(2)["OMP_NUM_THREADS"] == "3"
    assert ranks.thread_share(16)["NUMBA_NUM_THREADS"] == "1"


def test_ranks_with_a_device_each_are_held_against_all_of_them() -> None:
    case = Case("w", "1", "v", "gpu", {"world_size": 2})
    result = Result(
        case=case,
        outcome=Outcome.OK,
        work=Work(bytes={"memory": 150.0}, working_set_bytes=100.0),
        measurements=(Measurement("time", "s", "device", "m", values=(1.0,) * 9),),
        environment={"ranks": {"devices": [0, 1]}},
    )
    rate = Ceiling("memory_rate", "device", "B/s", (100.0, 100.0), 1000.0, "read")
    [held] = bounded(result, {case.key: (rate,)}).ceilings
    assert (held.values, held.size_bytes) == ((200.0, 200.0), 2000.0)
    assert held.method == "read, x 2 devices"
    on_one = replace(result, environment={"ranks": {"devices": [0, 0]}})
    assert "impossible" in bounded(on_one, {case.key: (rate,)}).flags
    assert "impossible" not in bounded(result, {case.key: (rate,)}).flags


def test_a_workload_with_a_world_size_must_prepare_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    lone = ModuleType("lone")
    parameters = {"world_size": Parameter(1, "ranks")}
    lone.WORKLOAD = FakeWorkload(parameters=parameters)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lone", lone)
    for path, met in (("harness.testing:FAKE_WORKLOAD", True), ("lone:WORKLOAD", False)):
        checks = {one.name: one for one in workload_checks(path, "harness.testing:FAKE_BACKEND")}
        with contextlib.nullcontext() if met else pytest.raises(AssertionError, match="no prepare"):
            checks["a_world_size_comes_with_prepare_rank"]()
