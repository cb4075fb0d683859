"""The GPU's loads are real work of the declared size; their rates need a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import _cuda_ceilings
from backends.cuda import BACKEND

torch = pytest.importorskip("torch")

NO_GPU = BACKEND.unavailable()


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time by the wall clock what else CUDA events time, so that loads run on the processor."""

    def seconds(call: Callable[[], object], repeats: int) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        return time.perf_counter() - started

    monkeypatch.setattr(_cuda_ceilings, "_seconds", seconds)


@given(st.integers(0, 256 << 20), st.integers(64 << 20, 200 << 30))
def test_sizes_rise_from_within_the_cache_to_memory_proper(l2_bytes: int, free: int) -> None:
    sizes = _cuda_ceilings.read_sizes(l2_bytes, free)
    assert sizes == sorted(set(sizes))
    assert all(size % 1024 == 0 for size in sizes)
    assert sizes[-1] <= min(1 << 30, free // 4)
    if l2_bytes >= 2 << 20 and free >= 8 << 30:
        assert sizes[0] < l2_bytes


def test_memory_is_read_as_often_as_it_is_said(on_cpu: None) -> None:
    *reads, copy = _cuda_ceilings._memory(torch.device("cpu"), [1 << 20, 1 << 22], 2 << 20)
    assert [load.amount for load in reads] == [1 << 22, 1 << 22]
    assert [load.ceiling.level for load in reads] == ["L2", "device"]
    assert copy.amount == 2 << 22
    for load in (*reads, copy):
        seconds, whole = load.run(2)
        assert seconds > 0
        assert whole


def test_each_row_of_the_view_sums_the_whole_buffer(
    on_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums = []
    plain = torch.sum

    def kept(*arguments: object, **options: object) -> object:
        sums.append(plain(*arguments, **options))
        return sums[-1]

    monkeypatch.setattr(torch, "sum", kept)
    near, _, _ = _cuda_ceilings._memory(torch.device("cpu"), [1 << 20, 1 << 22], 2 << 20)
    near.run(1)
    assert sums[0].tolist() == [float(1 << 18)] * 4


@pytest.mark.parametrize("dtype", ["float64", "float32", "tf32", "bfloat16"])
def test_products_are_as_large_as_is_needed(
    on_cpu: None, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(_cuda_ceilings, "_MIN_ORDER", 32)
    monkeypatch.setattr(_cuda_ceilings, "_MAX_ORDER", 64)
    before = torch.get_float32_matmul_precision()
    load = _cuda_ceilings._product(torch.device("cpu"), dtype)
    assert load.amount in (2.0 * 32**3, 2.0 * 64**3)
    assert load.run(1)[0] > 0
    assert torch.get_float32_matmul_precision() == before


def test_a_dtype_that_is_not_known_is_refused_in_a_way_that_is_left_out(on_cpu: None) -> None:
    with pytest.raises(_cuda_ceilings._REFUSALS):
        _cuda_ceilings._product(torch.device("cpu"), "float3")


def test_the_canary_does_the_same_work_for_every_reading(on_cpu: None) -> None:
    readings = _cuda_ceilings._canary_readings(torch.device("cpu"))
    assert len(readings) == _cuda_ceilings.READINGS
    assert min(readings) > 0


def gpu_test(function: Callable[[], None]) -> Callable[[], None]:
    skip = pytest.mark.skipif(NO_GPU is not None, reason=f"backend cuda: {NO_GPU}")
    marked: Callable[[], None] = pytest.mark.gpu(skip(function))
    return marked


@gpu_test
def test_ceilings_rise_with_nearer_memory_and_narrower_dtypes() -> None:
    found = BACKEND.open(0).ceilings()
    rates = {(c.level, c.method): max(c.values) for c in found}
    assert rates["L2", "torch sum"] > rates["device", "torch sum"] > 1e10
    assert rates["device", "torch copy"] > 1e10
    assert rates["float32", "torch matmul"] < rates["float16", "torch matmul"]
    assert all(max(c.values) < 1.5 * min(c.values) for c in found if c.level == "device")


@gpu_test
def test_the_canary_leaves_no_memory_taken() -> None:
    device = BACKEND.open(0)
    before = torch.cuda.memory_reserved(0)
    readings = device.canary()
    assert torch.cuda.memory_reserved(0) == before
    assert max(readings[1:]) < 2 * min(readings)
