"""What the harness itself costs: a step in the sampling loop, a case in its worker, the command.

The promise is under 100 ns a step and under 1 s a case besides imports and work; each benchmark
prints its figure, keeps it in `extra_info`, and fails where the promise is broken.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.isolate import run_isolated
from harness.measure import Sampling, Steps, measure
from harness.meters.wall_clock import WallClock
from harness.protocols import Backend, Device
from harness.records import (
    Case,
    Outcome,
    Parameter,
    Params,
    Result,
    Variant,
    Verification,
    verified,
)
from harness.registry import installed
from harness.task import Task
from harness.warm_up import warm_up
from harness.window import read_window

MAX_STEP_NS = 100
MAX_CASE_S = 1.0
STEPS = 100_000
ROUNDS = 5
Say = Callable[[str, Mapping[str, float]], None]


class Sleeper:
    """A workload whose steps sleep and count how long, so that all else is the harness's."""

    name = "sleeper"
    version = "1"
    parameters: Mapping[str, Parameter] = {}
    variants = (Variant("only", run="time:sleep", baseline=True),)

    def cases(self, size: str) -> Iterable[Params]:
        """Yield the only case."""
        yield {}

    def prepare(
        self, device: Device, variant: Variant, params: Params, seed: int
    ) -> dict[str, float]:
        """Return the seconds slept so far: none."""
        return {"slept_s": 0.0}

    def step(self, state: dict[str, float]) -> None:
        """Sleep 5 ms."""
        began = time.perf_counter()
        time.sleep(0.005)
        state["slept_s"] += time.perf_counter() - began

    def verify(self, state: dict[str, float]) -> Verification:
        """Accept."""
        return verified(0.0, 0.0, "nothing to compare")

    def counters(self, state: dict[str, float]) -> Mapping[str, float]:
        """Return the seconds slept so far."""
        return state


SLEEPER = Sleeper()


def nothing(state: object) -> None:
    """A step that does no work."""


@pytest.fixture
def say(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> Say:
    """Print figures past pytest's capture and keep them with the benchmark."""

    def print_and_keep(what: str, figures: Mapping[str, float]) -> None:
        benchmark.extra_info.update(figures)
        told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        with capsys.disabled():
            print(f"\n{what}: {told}")

    return print_and_keep


def test_a_step_of_the_sampling_loop_costs_under_100_ns(
    benchmark: BenchmarkFixture, say: Say
) -> None:
    """The loop, the call of a step bound to its state as the worker binds it, the end of step."""
    steps = Steps(run=partial(nothing, None), device=_host().open(0))
    seconds = []

    def window() -> None:
        seconds.append(read_window(steps, WallClock(), STEPS))

    benchmark.pedantic(window, rounds=100, warmup_rounds=5)
    ns = [1e9 * window_s / STEPS for window_s in seconds]
    say("the harness's loop", {"ns_per_step": median(ns), "least_ns_per_step": min(ns)})
    assert min(ns) < MAX_STEP_NS


def test_a_case_costs_under_1_s_besides_imports_and_work(
    benchmark: BenchmarkFixture, say: Say
) -> None:
    """A whole case on the host: spawn, meters, warm-up, 50 samples of each quantity, answer."""
    backend = _host()
    task = Task(
        case=Case(SLEEPER.name, SLEEPER.version, "only", backend.name, {}),
        backend=installed().backends[backend.name],
        workload=f"{Path(__file__).stem}:SLEEPER",
        variant=SLEEPER.variants[0],
        sampling=Sampling(),
    )
    env = {"PYTHONPATH": str(Path(__file__).parent)}
    imports_s: list[float] = []
    results: list[Result] = []

    def start_only() -> None:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-c", "import harness.worker"], check=True)
        imports_s.append(time.perf_counter() - began)

    def case() -> None:
        results.append(run_isolated(task, timeout_s=60.0, env=env))

    benchmark.pedantic(case, setup=start_only, rounds=ROUNDS)
    assert all(result.outcome is Outcome.OK for result in results), results[0].reason
    case_s = median(result.duration_s for result in results)
    work_s = median(result.counters["slept_s"] for result in results)
    harness_s = median(
        result.duration_s - result.counters["slept_s"] - start_s - result.spans["import"]
        for result, start_s in zip(results, imports_s, strict=True)
    )
    say(
        "a case",
        {
            "case_s": case_s,
            "start_and_imports_s": case_s - work_s - harness_s,
            "work_s": work_s,
            "harness_s": harness_s,
            "harness_share": harness_s / case_s,
        },
    )
    assert harness_s < MAX_CASE_S


def test_a_warm_up_of_constant_steps(benchmark: BenchmarkFixture) -> None:
    """Some tens of ms: it ends as soon as the windows show that nothing changes."""
    clock = WallClock()
    steps = Steps(run=partial(time.sleep, 1e-4), device=_host().open(0))
    benchmark(warm_up, steps, clock, at_most_s=0.5)


def test_one_sample_with_its_noise(benchmark: BenchmarkFixture) -> None:
    once = Sampling(min_samples=1, max_samples=1, warm_up_s=0.0)
    clock = WallClock()
    steps = Steps(run=partial(time.sleep, 1e-3), device=_host().open(0))
    benchmark(measure, steps, clock, once, timer=clock)


def test_the_command_prints_its_help(benchmark: BenchmarkFixture) -> None:
    command = [str(Path(sys.executable).with_name("assay")), "--help"]
    benchmark.pedantic(
        subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=10
    )


def _host() -> Backend:
    backends = [installed().backend(name) for name in ("cpu", "arm")]
    return next(backend for backend in backends if backend.unavailable() is None)
