"""What measuring itself costs: meters, noise snapshots, and the look before a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.meters.host_memory import HostMemory, resident_bytes
from harness.meters.rapl import RaplEnergy
from harness.meters.wall_clock import WallClock
from harness.noise import delta, noisy_flags, snapshot
from harness.preflight import look
from harness.protocols import Meter


@pytest.mark.parametrize("meter", [WallClock(), HostMemory(), RaplEnergy()], ids=lambda m: m.name)
def test_cost_of_a_meters_start_and_stop(benchmark: BenchmarkFixture, meter: Meter) -> None:
    if reason := meter.unavailable():
        pytest.skip(reason)
    if meter.quantity == "energy":
        benchmark(meter.start)
    else:
        benchmark(lambda: meter.stop(meter.start()))


def test_cost_of_a_noise_snapshot(benchmark: BenchmarkFixture) -> None:
    assert benchmark(snapshot).involuntary_switches >= 0


def test_cost_of_a_noise_delta(benchmark: BenchmarkFixture) -> None:
    before, after = snapshot(), snapshot()
    assert benchmark(delta, before, after)


def test_cost_of_the_noise_flags_of_a_hundred_samples(benchmark: BenchmarkFixture) -> None:
    sample = delta(snapshot(), snapshot())
    benchmark(noisy_flags, [sample] * 100, [0.1] * 100, cpus=2)


def test_cost_of_resident_bytes(benchmark: BenchmarkFixture) -> None:
    assert benchmark(resident_bytes) > 0


def test_cost_of_the_look_at_the_machine_without_its_processes(benchmark: BenchmarkFixture) -> None:
    benchmark(look, Path("/"), lambda: ())
