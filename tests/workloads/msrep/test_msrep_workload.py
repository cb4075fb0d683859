from __future__ import annotations

import dataclasses
import gzip
import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends._host_device import HostDevice
from harness import protocols
from harness.errors import AssayError
from harness.host import read_cpu
from harness.protocols import SIZES
from harness.records import Params, Variant
from workloads.msrep import WORKLOAD
from workloads.msrep.partition import partition
from workloads.msrep.workload import State

ENTRY = "%%MatrixMarket matrix coordinate real general\n3 2 2\n1 2 1.5\n3 1 -2\n"
SAMPLING_S = 1.5


@dataclass
class Spoilt:
    """A product that spoils y after each multiplication."""

    product: Any
    spoil: Callable[[np.ndarray], None]
    spans: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)

    def multiply(self) -> None:
        self.product.multiply()
        self.spoil(self.product.result())

    def result(self) -> np.ndarray:
        return self.product.result()  # type: ignore[no-any-return]

    def poison(self) -> None:
        self.product.poison()


def variant(name: str) -> Variant:
    return next(variant for variant in WORKLOAD.variants if variant.name == name)


def params(matrix: str = "rmat", rows: int = 1024, partitions: int = 0) -> Params:
    return WORKLOAD.check({"matrix": matrix, "rows": rows, "partitions": partitions})


def prepared(name: str, chosen: Params, seed: int = 0) -> State:
    if "torch" in variant(name).packages:
        pytest.importorskip("torch", reason="torch is not installed")
    return WORKLOAD.prepare(HostDevice("cpu", read_cpu()), variant(name), chosen, seed)


def verdict_on_spoilt(state: State, spoil: Callable[[np.ndarray], None]) -> Any:
    return WORKLOAD.verify(dataclasses.replace(state, product=Spoilt(state.product, spoil)))


def test_importing_the_workload_loads_neither_torch_nor_numba_nor_scipy() -> None:
    program = (
        "import sys, workloads.msrep\n"
        "print([name for name in ('torch', 'numba', 'scipy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


def test_the_workload_takes_part_in_what_it_should() -> None:
    for protocol in (
        protocols.ChecksParams,
        protocols.EstimatesTime,
        protocols.DeclaresWork,
        protocols.ReportsSpans,
        protocols.ReportsCounters,
        protocols.DescribesInputs,
    ):
        assert isinstance(WORKLOAD, protocol)
    assert [each.name for each in WORKLOAD.variants if each.baseline] == ["scipy"]


def test_the_ci_size_is_at_most_12_cases_and_60_seconds() -> None:
    cases = [(each, case) for case in WORKLOAD.cases("ci") for each in WORKLOAD.variants]
    estimates = [
        WORKLOAD.estimate_s(each, WORKLOAD.check({**case, "partitions": 0})) + SAMPLING_S
        for each, case in cases
    ]
    assert len(cases) <= 12
    assert sum(estimates) < 60


@pytest.mark.parametrize("size", SIZES)
def test_the_cases_of_a_size_are_already_in_normal_form(size: str) -> None:
    cases = list(WORKLOAD.cases(size))
    assert cases
    for case in cases:
        assert set(case) <= set(WORKLOAD.parameters)
        full = {name: each.default for name, each in WORKLOAD.parameters.items()} | dict(case)
        assert WORKLOAD.check(full) == full


@pytest.mark.parametrize("each", WORKLOAD.variants, ids=lambda each: each.name)
def test_a_variant_is_verified_on_the_cases_of_ci(each: Variant) -> None:
    for case in WORKLOAD.cases("ci"):
        state = prepared(each.name, WORKLOAD.check({**case, "partitions": 0}), seed=11)
        verdict = WORKLOAD.verify(state)
        assert verdict.passed, verdict
        assert verdict.error is not None
        assert 0 < verdict.error <= verdict.tolerance == 1.0


def test_the_seed_decides_the_matrix_and_the_vector() -> None:
    one, same, other = (prepared("scipy", params(), seed).problem for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x, same.x)
    np.testing.assert_array_equal(one.matrix.data, same.matrix.data)
    assert one.x[0] != other.x[0]
    assert one.matrix.data[0] != other.matrix.data[0]
    assert len(np.unique(one.x)) == len(one.x)


@pytest.mark.parametrize("name", ["pcsr", "pcsc", "pcoo"])
def test_one_row_off_by_a_little_is_rejected_and_named(name: str) -> None:
    def nudge(y: np.ndarray) -> None:
        y[0] *= 1 + 1e-9

    verdict = verdict_on_spoilt(prepared(name, params()), nudge)
    assert not verdict.passed
    assert "row 0:" in verdict.detail


def test_a_row_taken_for_its_neighbour_is_rejected() -> None:
    def shift(y: np.ndarray) -> None:
        y[:] = np.roll(y, 1)

    assert not verdict_on_spoilt(prepared("pcsr", params()), shift).passed


def test_a_forgotten_carry_is_rejected() -> None:
    state = prepared("pcsr", params("outlier", 2000, partitions=6))
    (carry,) = state.product.scratch  # type: ignore[attr-defined]
    parts = partition(state.problem.matrix.indptr, 6)

    def forget(y: np.ndarray) -> None:
        np.subtract.at(y, parts.first[parts.first_shared], carry[parts.first_shared])

    assert parts.first_shared.any()
    assert WORKLOAD.verify(state).passed
    assert not verdict_on_spoilt(state, forget).passed


def test_nan_in_one_row_is_rejected() -> None:
    def spoil(y: np.ndarray) -> None:
        y[17] = np.nan

    verdict = verdict_on_spoilt(prepared("pcoo", params()), spoil)
    assert not verdict.passed
    assert "row 17:" in verdict.detail


@pytest.mark.parametrize("name", [each.name for each in WORKLOAD.variants])
def test_a_product_that_writes_nothing_is_rejected(name: str) -> None:
    state = prepared(name, params())
    WORKLOAD.step(state)

    @dataclass
    class Idle(Spoilt):
        def multiply(self) -> None:
            pass

    idle = Idle(state.product, lambda y: None)
    assert not WORKLOAD.verify(dataclasses.replace(state, product=idle)).passed


def test_a_product_of_another_shape_is_rejected() -> None:
    @dataclass
    class Short(Spoilt):
        def result(self) -> np.ndarray:
            return self.product.result()[:-1]  # type: ignore[no-any-return]

    state = prepared("pcsr", params())
    short = Short(state.product, lambda y: None)
    verdict = WORKLOAD.verify(dataclasses.replace(state, product=short))
    assert not verdict.passed
    assert "shape" in verdict.detail


def test_work_counts_every_array_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(ENTRY)
    work = WORKLOAD.work(prepared("scipy", params(str(path))))
    assert (work.items, work.item) == (1.0, "product")
    assert work.flops == {"float64": 4.0}
    assert work.bytes == {"memory": (3 + 1 + 2) * 4 + (3 + 2) * 8 + 2 * 8}
    assert work.working_set_bytes == work.bytes["memory"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_described_by_shape_and_digest(tmp_path: Path, packed: bool) -> None:
    content = gzip.compress(ENTRY.encode()) if packed else ENTRY.encode()
    path = tmp_path / ("a.mtx.gz" if packed else "a.mtx")
    path.write_bytes(content)
    chosen = params(str(path), rows=99)
    assert chosen["rows"] == 0
    assert WORKLOAD.inputs(prepared("pcsc", chosen)) == {
        "rows": 3,
        "columns": 2,
        "nnz": 2,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_spans_and_counters_say_what_preparing_cost() -> None:
    state = prepared("pcsr", params(partitions=4))
    assert set(WORKLOAD.spans(state)) == {"load", "compile", "convert", "partition"}
    assert WORKLOAD.counters(state)["partitions"] == 4
    baseline = prepared("scipy", params())
    assert set(WORKLOAD.spans(baseline)) == {"load"}
    assert WORKLOAD.counters(baseline) == {}


def test_rows_are_brought_to_what_the_generator_makes() -> None:
    assert params("stencil27", 1001)["rows"] == 1000
    assert params("rmat", 1000)["rows"] == 1024
    assert params("outlier", 1000)["rows"] == 1000


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"matrix": "stencil72"}, "did you mean stencil27"),
        ({"matrix": "rmta"}, "did you mean rmat"),
        ({"matrix": "no/such.mtx"}, "no file or folder 'no/such.mtx'"),
        ({"matrix": "."}, "not a regular file"),
        ({"matrix": ""}, "not a regular file"),
        ({"rows": 0}, "rows=0"),
        ({"rows": 10**12}, "rows=1000000000000"),
        ({"partitions": -1}, "partitions=-1"),
        ({"partitions": 100_000}, "choose 0 to 1024"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(AssayError, match=message) as caught:
        params(**{"matrix": "rmat", "rows": 64, **chosen})
    assert "\n" not in str(caught.value)


def test_a_bad_header_is_refused_before_anything_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(ENTRY.replace("3 2 2", "3 2 1000000000000"))
    with pytest.raises(AssayError, match="its size cannot hold"):
        params(str(path))


def test_a_file_longer_to_read_is_estimated_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    path.write_text(ENTRY)
    chosen = params(str(path))
    assert WORKLOAD.estimate_s(variant("pcsr"), chosen) > 0
    larger = WORKLOAD.estimate_s(variant("pcsr"), params("rmat", 1 << 20))
    assert larger > WORKLOAD.estimate_s(variant("pcsr"), chosen) + 1


@pytest.mark.parametrize("name", [each.name for each in WORKLOAD.variants])
@pytest.mark.parametrize("file", ["1138_bus.mtx", "qh768.mtx", "ani4.mtx"])
@pytest.mark.usefixtures("data_folder")
def test_a_real_matrix_named_below_the_data_folder_is_multiplied(name: str, file: str) -> None:
    state = prepared(name, params(f"matrices/{file}", partitions=5))
    verdict = WORKLOAD.verify(state)
    assert verdict.passed, verdict


def test_cold_caches_are_emptied_before_each_product_and_warm_ones_are_left() -> None:
    warm, cold = (prepared("pcsr", {**params(), "cache": cache}) for cache in ("warm", "cold"))
    assert not WORKLOAD.resets(warm)
    assert WORKLOAD.resets(cold)
    assert cold.ballast is not None
    before = cold.ballast.sum()
    WORKLOAD.before_sample(warm)
    WORKLOAD.before_sample(cold)
    assert cold.ballast.sum() == before + cold.ballast.size
    assert cold.ballast.nbytes >= 4 * max(read_cpu().caches.values(), default=0)


def test_caches_are_emptied_on_one_host_only() -> None:
    cold = {**params(), "cache": "cold"}
    assert WORKLOAD.unsupported(variant("pcsr"), frozenset({"host"}), cold) is None
    for chosen, features in ((cold, set()), ({**cold, "world_size": 2}, {"host"})):
        told = WORKLOAD.unsupported(variant("torch"), frozenset(features), chosen)
        assert "use cache=warm" in str(told)
