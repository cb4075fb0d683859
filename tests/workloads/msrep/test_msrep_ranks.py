"""Products over several ranks, simulated by threads of one process, against one whole product."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from scipy.sparse import csr_array

from backends.cpu import BACKEND
from harness.errors import AssayError
from harness.protocols import Device
from harness.records import Facts, Params, Variant
from workloads.msrep import numba_pcsc, numba_pcsr, ranks, scipy_csr, torch_csr
from workloads.msrep.partition import partition
from workloads.msrep.problem import Problem
from workloads.msrep.product import HostProduct, Prepare
from workloads.msrep.ranks_cut import MERGES, X_LAYOUTS, cut_rows, even_slices, owners, refusal
from workloads.msrep.reference import reference, worst_ratio

Matrix = Any  # scipy's stubs know no csr_array of a given dtype
DEVICE = BACKEND.open(0)


@dataclass
class Bench:
    """Where simulated ranks meet."""

    size: int
    barrier: threading.Barrier = field(init=False)
    held: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size, timeout=20)
        self.held = [None] * self.size


@dataclass
class SimulatedRank:
    """One rank of a group, and its exchange, among threads."""

    rank: int
    bench: Bench
    sent_bytes: int = 0

    @property
    def size(self) -> int:
        return self.bench.size

    @property
    def hosts(self) -> Sequence[int]:
        return [0] * self.size

    def barrier(self) -> None:
        self.bench.barrier.wait()

    def broadcast(self, value: Any) -> Any:
        return self.gather_values(value)[0]

    def environment(self) -> Facts:
        return {}

    def gather_values(self, value: Any) -> list[Any]:
        self.bench.held[self.rank] = value
        self.barrier()
        found = list(self.bench.held)
        self.barrier()
        return found


class SimulatedGroup(SimulatedRank):
    def gather(self, value: Any) -> Sequence[Any]:
        return self.gather_values(value)


class SimulatedExchange(SimulatedRank):
    def gather(self, parts: Sequence[torch.Tensor], rank: int) -> None:
        for part, own in zip(parts, self.gather_values(parts[rank].clone()), strict=True):
            part.copy_(own)

    def gather_scalars(self, out: torch.Tensor, own: torch.Tensor) -> None:
        out.copy_(torch.cat(self.gather_values(own.clone())))

    def reduce_scatter(self, out: torch.Tensor, whole: torch.Tensor) -> None:
        total = torch.stack(self.gather_values(whole.clone())).sum(0)
        out.copy_(total[self.rank * len(out) : (self.rank + 1) * len(out)])


def on_ranks(
    matrix: Matrix,
    x: NDArray[np.float64],
    size: int,
    kernel: Prepare,
    merge: str,
    layout: str = "replicated",
    look: Callable[[ranks.RankProduct], Any] = lambda product: None,
) -> list[tuple[slice, NDArray[np.float64], Any]]:
    """What each rank ends with: which rows, and y there."""
    params: Params = {"partitions": 1, "merge": merge, "x_layout": layout}
    bench, talk = Bench(size), Bench(size)

    def one(rank: int) -> tuple[slice, NDArray[np.float64], Any]:
        _, product = ranks.prepare(
            Problem(matrix, x, {}, 0.0),
            kernel,
            DEVICE,
            params,
            SimulatedGroup(rank, bench),
            SimulatedExchange(rank, talk),
        )
        product.multiply()
        product.poison()
        product.multiply()
        return product.rows, product.result().copy(), look(product)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def whole(found: list[tuple[slice, NDArray[np.float64], Any]], rows: int) -> NDArray[np.float64]:
    """The one y that the ranks hold together; each row is there, and nowhere is it different."""
    y = np.full(rows, np.nan)
    for place, values, _ in found:
        assert values.shape == (place.stop - place.start,)
        known = ~np.isnan(y[place])
        assert (y[place][known] == values[known]).all()
        y[place] = values
    return y


def of_lengths(lengths: Sequence[int], columns: int, seed: int = 0) -> Matrix:
    """A matrix with so many entries in each row, small whole numbers, whose sums are exact."""
    rng = np.random.default_rng(seed)
    pointer = np.concatenate([[0], np.cumsum(lengths)])
    chosen = [np.sort(rng.choice(columns, n, replace=False)) for n in lengths]
    indices = np.concatenate([np.empty(0, dtype=np.int64), *chosen])
    data = rng.integers(-8, 9, len(indices)).astype(np.float64)
    return csr_array((data, indices.astype(np.int32), pointer), shape=(len(lengths), columns))


def numbers(columns: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).integers(-8, 9, columns).astype(np.float64)


def one_at_a_time(kernel: Prepare) -> Prepare:
    """The kernel for threads: not every threading layer of numba runs two kernels at once."""
    lock = threading.Lock()

    def prepare(
        matrix: Matrix, x: NDArray[np.float64], device: Device, partitions: int
    ) -> HostProduct:
        with lock:
            product = kernel(matrix, x, device, partitions)
        assert isinstance(product, HostProduct)
        run = product.kernel

        def locked() -> None:
            with lock:
                run()

        return replace(product, kernel=locked)

    return prepare


LENGTHS = st.lists(st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 12)), max_size=14)


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(2, 8), st.sampled_from(MERGES), st.sampled_from(X_LAYOUTS))
def test_every_merge_gives_the_y_of_one_process_bit_by_bit_where_sums_are_exact(
    lengths: list[int], size: int, merge: str, layout: str
) -> None:
    matrix, x = of_lengths(lengths, 13), numbers(13)
    found = on_ranks(matrix, x, size, torch_csr.prepare, merge, layout)
    np.testing.assert_array_equal(whole(found, len(lengths)), matrix @ x)


@pytest.mark.parametrize(
    ("kernel", "merge"),
    [
        (one_at_a_time(numba_pcsr.prepare), "carry"),
        (one_at_a_time(numba_pcsr.prepare), "allgather"),
        (one_at_a_time(numba_pcsc.prepare), "reduce_scatter"),
        (scipy_csr.prepare, "carry"),
    ],
)
@pytest.mark.parametrize("size", [2, 3, 8])
def test_real_values_stay_within_the_bound_of_the_reference(
    kernel: Prepare, merge: str, size: int
) -> None:
    lengths = [0, 0, 3, 90, 1, 0, *range(40), 0]
    matrix = of_lengths(lengths, 100)
    rng = np.random.default_rng(2)
    matrix.data[:] = rng.standard_normal(matrix.nnz)
    x = rng.standard_normal(100)
    found = on_ranks(matrix, x, size, kernel, merge)
    error, _ = worst_ratio(whole(found, len(lengths)), reference(matrix, x))
    assert error <= 1.0


def test_a_row_over_many_ranks_sums_in_the_order_of_the_ranks() -> None:
    matrix = of_lengths([1, 200, 1], 210)
    matrix.data[:] = np.random.default_rng(3).standard_normal(matrix.nnz)
    x = np.random.default_rng(4).standard_normal(210)
    parts = partition(matrix.indptr, 8)
    assert owners(parts).tolist() == [-1, 0, 0, 0, 0, 0, 0, 0]
    shares = [cut_rows(matrix, parts, rank).matrix @ x for rank in range(8)]
    total = shares[0][1]
    for share in shares[1:]:
        total += share[0]
    found = on_ranks(matrix, x, 8, scipy_csr.prepare, "carry")
    assert whole(found, 3)[1] == total
    assert [place.stop - place.start for place, _, _ in found] == [2, 0, 0, 0, 0, 0, 0, 1]


@settings(deadline=None, max_examples=200)
@given(LENGTHS, st.integers(1, 20))
def test_the_cuts_hold_every_entry_once_and_own_every_row_once(
    lengths: list[int], size: int
) -> None:
    matrix = of_lengths(lengths, 13)
    parts = partition(matrix.indptr, size)
    cuts = [cut_rows(matrix, parts, rank) for rank in range(size)]
    assert [row for cut in cuts for row in range(cut.begin, cut.end)] == list(range(len(lengths)))
    assert np.concatenate([cut.matrix.data for cut in cuts]).tolist() == matrix.data.tolist()
    assert all(cut.matrix.indptr[0] == 0 for cut in cuts)
    sizes = [cut.matrix.nnz for cut in cuts]
    assert max(sizes) - min(sizes) <= 1
    carried = sorted(rank for cut in cuts for rank in cut.carriers)
    assert carried == [rank for rank, cut in enumerate(cuts) if cut.shared]


@given(st.integers(0, 50), st.integers(1, 12))
def test_even_slices_cover_a_vector_once(length: int, count: int) -> None:
    slices = even_slices(length, count)
    assert len(slices) == count
    assert [i for one in slices for i in range(length)[one]] == list(range(length))
    assert len({one.stop - one.start for one in slices} - {0}) <= 2


def test_a_carry_that_is_lost_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(self: SimulatedExchange, out: torch.Tensor, own: torch.Tensor) -> None:
        out.zero_()

    monkeypatch.setattr(SimulatedExchange, "gather_scalars", lose)
    matrix, x = of_lengths([0, 12, 0], 13), np.ones(13)
    matrix.data[:] = 1.0
    found = on_ranks(matrix, x, 4, scipy_csr.prepare, "carry")
    error, row = worst_ratio(whole(found, 3), reference(matrix, x))
    assert (error > 1.0, row) == (True, 1)


def test_an_x_that_is_not_gathered_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedExchange, "gather", lambda self, parts, rank: None)
    matrix, x = of_lengths([5, 5, 5], 13), numbers(13)
    found = on_ranks(matrix, x, 2, torch_csr.prepare, "carry", "partitioned")
    assert np.isnan(np.concatenate([values for _, values, _ in found])).any()


@pytest.mark.parametrize(
    "kernel", [scipy_csr.prepare, torch_csr.prepare, one_at_a_time(numba_pcsr.prepare)]
)
def test_an_x_that_is_gathered_wrong_is_rejected(
    kernel: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    rightly = SimulatedExchange.gather

    def doubled(self: SimulatedExchange, parts: Sequence[torch.Tensor], rank: int) -> None:
        rightly(self, parts, rank)
        for other, part in enumerate(parts):
            part *= 1.0 if other == rank else 2.0

    monkeypatch.setattr(SimulatedExchange, "gather", doubled)
    matrix, x = of_lengths([13, 13, 13], 13), numbers(13)
    before = x.copy()
    found = on_ranks(matrix, x, 2, kernel, "carry", "partitioned")
    np.testing.assert_array_equal(x, before)
    assert not worst_ratio(whole(found, 3), reference(matrix, x))[0] <= 1.0


def test_the_stages_are_reported_apart_and_add_up_to_end_to_end() -> None:
    matrix, x = of_lengths([12] * 40, 13), numbers(13)
    found = on_ranks(
        matrix, x, 3, torch_csr.prepare, "allgather", "partitioned", lambda p: (p.spans, p.counters)
    )
    told = [look for _, _, look in found]
    spans, counters = told[0]
    assert all((other["merge"], other["end_to_end"]) == (spans["merge"], spans["end_to_end"])
               for other, _ in told)  # fmt: skip
    parts = ("partition", "convert", "gather_x", "compute_max", "merge")
    assert spans["end_to_end"] == pytest.approx(sum(spans[name] for name in parts))
    assert set(spans) == {*parts, "compute_mean", "end_to_end"}
    assert 0 < spans["compute_mean"] <= spans["compute_max"]
    assert counters["imbalance"] >= 1.0
    # A carry from each other rank, and 40 rows less the rank's own 13 or more.
    assert counters["merge_bytes"] == 8 * (2 + 40 - 13)
    assert counters["gather_x_bytes"] == 8 * (13 - 3)
    assert (counters["largest_partition_nnz"], counters["smallest_partition_nnz"]) == (160, 160)


def test_nothing_travels_where_no_row_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SimulatedExchange, "gather_scalars")
    matrix, x = of_lengths([4] * 4, 13), numbers(13)
    found = on_ranks(matrix, x, 2, scipy_csr.prepare, "carry", look=lambda p: p.counters)
    assert found[0][2]["merge_bytes"] == 0
    np.testing.assert_array_equal(whole(found, 4), matrix @ x)


def test_a_kernel_that_takes_x_only_once_is_refused_a_partitioned_one() -> None:
    def kernel(
        matrix: Matrix, x: NDArray[np.float64], device: Device, partitions: int
    ) -> HostProduct:
        return HostProduct(lambda: None, np.zeros(matrix.shape[0]), (), {}, {})

    with pytest.raises(AssayError, match="choose -p x_layout=replicated"):
        on_ranks(of_lengths([4] * 4, 13), numbers(13), 1, kernel, "carry", "partitioned")


@pytest.mark.parametrize(
    ("variant", "merge", "refused"),
    [("pcsc", "carry", True), ("pcsc", "reduce_scatter", False), ("torch", "allgather", False)],
)
def test_columns_are_refused_a_merge_of_rows(variant: str, merge: str, refused: bool) -> None:
    params: Params = {"world_size": 2, "merge": merge}
    reason = refusal(Variant(variant, "a:b"), params)
    assert (reason is not None) == refused
    assert refusal(Variant(variant, "a:b"), {**params, "world_size": 1}) is None
