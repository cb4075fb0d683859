"""Products over real ranks that talk over gloo: every merge, every layout of x, one launch."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from harness.isolate import run_isolated
from harness.measure import Sampling
from harness.records import Case, Outcome, Params, Variant
from harness.task import Task

RANKED = """
from dataclasses import dataclass, replace
from itertools import product as pairs
from typing import cast

from harness.records import verified
from harness.registry import resolve
from workloads.msrep import ranks, scipy_csr, torch_csr
from workloads.msrep.problem import load
from workloads.msrep.product import Prepare
from workloads.msrep.ranks_cut import MERGES, X_LAYOUTS
from workloads.msrep.reference import reference, worst_ratio
from workloads.msrep.workload import Msrep, State


@dataclass(frozen=True)
class Ranked(Msrep):
    def prepare_rank(self, device, variant, params, seed, group):
        kernel = cast(Prepare, resolve(variant.run))
        problem, product = ranks.prepare(load(params, seed), kernel, device, params, group)
        state = State(problem, product)
        self.others.append((load(params, seed), device, params, group))
        return state

    def verify(self, state):
        errors = [super().verify(state).error]
        problem, device, params, group = self.others.pop()
        layouts = list(pairs(MERGES, X_LAYOUTS, (torch_csr,)))
        for merge, layout, kernel in [*layouts, ("carry", "replicated", scipy_csr)]:
            params = {**params, "merge": merge, "x_layout": layout}
            own, product = ranks.prepare(problem, kernel.prepare, device, params, group)
            product.poison()
            product.multiply()
            error, _ = worst_ratio(product.result(), reference(own.matrix, own.x))
            errors.append(error)
            if merge == "allgather":
                told = group.gather(product.result().tobytes())
                errors.append(float(len(set(told)) > 1) * 2)
        return verified(max(errors), 1.0, f"{len(errors)} products")

    others = []


WORKLOAD = Ranked()
"""


def test_three_ranks_merge_in_every_way_within_the_bound_and_report_their_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ranked_msrep.py").write_text(RANKED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    params: Params = {
        "matrix": "outlier",
        "rows": 3000,
        "partitions": 0,
        "world_size": 3,
        "merge": "carry",
        "x_layout": "partitioned",
    }
    task = Task(
        case=Case("msrep", "1", "torch", "cpu", params),
        backend="backends.cpu:BACKEND",
        workload="ranked_msrep:WORKLOAD",
        variant=Variant("torch", "workloads.msrep.torch_csr:prepare"),
        sampling=Sampling(min_samples=2, max_samples=2, budget_s=0.05, warm_up_s=0.0),
        quantities=("time",),
    )
    result = run_isolated(task, timeout_s=120.0, env={})
    assert (result.outcome, result.reason) == (Outcome.OK, "")
    assert result.verification is not None
    assert result.verification.reference == "10 products"
    spans, counters = result.spans, result.counters
    stages = ("partition", "convert", "gather_x", "compute_max", "merge")
    assert spans["end_to_end"] == pytest.approx(sum(spans[name] for name in stages))
    assert counters["ranks"] == 3
    # A cut by entries falls inside a row.
    assert counters["shared_lines"] >= 1
    assert counters["largest_partition_nnz"] - counters["smallest_partition_nnz"] <= 1
    assert result.measurement("skew") is not None
