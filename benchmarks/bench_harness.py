"""What the harness itself costs: a step in the sampling loop, a case in its worker, the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from harness import measure as measuring
from harness.isolate import run_isolated
from harness.measure import Sampling, Steps, measure
from harness.meters.wall_clock import WallClock
from harness.records import Case
from harness.task import Task
from harness.testing import FAKE_WORKLOAD, FakeDevice

STEPS = 100_000


def nothing() -> None:
    """A step that does no work."""


def test_sampling_100_000_empty_steps(benchmark: BenchmarkFixture) -> None:
    """Divide by 100,000 for the loop's own cost a step."""
    device = FakeDevice()
    steps = Steps(run=nothing, device=device)
    clock = WallClock()
    benchmark(measuring._window, steps, clock, STEPS)


def test_one_sample_with_its_noise(benchmark: BenchmarkFixture) -> None:
    once = Sampling(min_samples=1, max_samples=1, warm_up_s=0.0)
    clock = WallClock()
    benchmark(measure, Steps(run=nothing, device=FakeDevice()), clock, once, timer=clock)


def test_one_case_in_a_fresh_worker(benchmark: BenchmarkFixture) -> None:
    """A case that does nothing: spawn, imports, meters, answer."""
    task = Task(
        case=Case("fake", "1", "exact", "fake", {"step_s": 0.5, "real_s": 0.0, "hoard_bytes": 0}),
        backend="harness.testing:FAKE_BACKEND",
        workload="harness.testing:FAKE_WORKLOAD",
        variant=FAKE_WORKLOAD.variants[0],
        sampling=Sampling(min_samples=1, max_samples=1, warm_up_s=0.0),
    )
    benchmark.pedantic(run_isolated, (task,), {"timeout_s": 60.0, "env": {}}, rounds=5)


def test_the_command_prints_its_help(benchmark: BenchmarkFixture) -> None:
    command = [str(Path(sys.executable).with_name("assay")), "--help"]
    benchmark.pedantic(
        subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=10
    )
