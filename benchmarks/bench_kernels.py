"""One step of every variant of every workload at ci size, without the harness around it."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness import protocols
from harness.plan import PlannedCase, Selection, plan
from harness.registry import installed

REGISTRY = installed()
CASES = [case for case in plan(REGISTRY, Selection(size="ci")).cases if case.skip is None]


@pytest.mark.parametrize("planned", CASES, ids=lambda planned: planned.case.label)
def test_one_step(benchmark: BenchmarkFixture, planned: PlannedCase) -> None:
    benchmark.group = planned.case.label.replace(f"/{planned.case.variant} ", " ")
    workload = REGISTRY.workload(planned.case.workload)
    device = REGISTRY.backend(planned.case.backend).open(0)
    state = workload.prepare(device, planned.variant, planned.case.params, planned.case.seed)

    def step() -> None:
        workload.step(state)
        device.synchronize()

    if isinstance(workload, protocols.ResetsBeforeSample):
        benchmark.pedantic(step, setup=_reset(workload, state), rounds=5)
    else:
        benchmark(step)


def _reset(workload: protocols.ResetsBeforeSample, state: Any) -> Any:
    def reset() -> None:
        workload.before_sample(state)

    return reset
