from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse

from backends._host_device import HostDevice
from harness.host import read_cpu
from workloads.msrep import (
    auto,
    long_rows,
    numba_compressed,
    numba_csb,
    numba_hubs,
    numba_pcsr,
    numba_sell,
)
from workloads.msrep.features import features_of
from workloads.msrep.generators import generate
from workloads.msrep.product import HostProduct, Prepare
from workloads.msrep.reference import reference, worst_ratio

Matrix = scipy.sparse.csr_array


@pytest.fixture(scope="module")
def host() -> HostDevice:
    return HostDevice("cpu", read_cpu())


def scattered(rows: int, columns: int, entries: int, seed: int) -> Matrix:
    random = np.random.default_rng(seed)
    places = np.unique(random.integers(rows * columns, size=entries))
    row, column = np.divmod(places, columns)
    values = random.uniform(-1, 1, places.size)
    return Matrix((values, (row, column)), shape=(rows, columns))


def right(product: HostProduct, matrix: Matrix, x: np.ndarray) -> bool:
    product.poison()
    product.multiply()
    return worst_ratio(product.result(), reference(matrix, x))[0] <= 1.0


@pytest.mark.parametrize("partitions", [1, 2, 5, 16])
@pytest.mark.parametrize("shape", [(200_000, 150_000), (65_536, 65_537), (70_000, 3), (3, 70_000)])
def test_tiles_that_several_threads_share_add_up(
    host: HostDevice, shape: tuple[int, int], partitions: int
) -> None:
    matrix = scattered(*shape, 60_000, seed=1)
    x = np.random.default_rng(2).uniform(-1, 1, shape[1])
    assert right(numba_csb.prepare(matrix, x, host, partitions), matrix, x)


@pytest.mark.parametrize("prepare", [numba_sell.prepare, numba_hubs.prepare, numba_csb.prepare])
def test_rows_far_longer_than_the_others_are_done_apart(prepare: Prepare, host: HostDevice) -> None:
    matrix = generate("outlier", 70_000, seed=3)
    x = np.random.default_rng(4).uniform(-1, 1, matrix.shape[1])
    product = prepare(matrix, x, host, 3)
    assert product.counters["long_rows"] == 1
    assert isinstance(product, HostProduct)
    assert right(product, matrix, x)


def test_splitting_off_long_rows_loses_no_entry() -> None:
    matrix = generate("outlier", 20_000, seed=3)
    parts = long_rows.split(matrix)
    assert parts is not None
    x = np.random.default_rng(4).uniform(-1, 1, matrix.shape[1])
    y = parts.rest @ x
    assert not y[parts.rows].any()
    y[parts.rows] = parts.long @ x
    np.testing.assert_array_equal(y, matrix @ x)
    assert long_rows.split(generate("road", 20_000, seed=3)) is None


def test_sorted_slices_keep_rows_within_their_window_and_fill_little(host: HostDevice) -> None:
    matrix = generate("rmat", 1 << 15, seed=5)
    x = np.random.default_rng(6).uniform(-1, 1, matrix.shape[1])
    product = numba_sell.prepare(matrix, x, host, 2)
    assert product.counters["filled_share"] < 0.1
    assert right(product, matrix, x)


@pytest.mark.parametrize(
    ("matrix", "bytes_per_entry"),
    [
        (generate("stencil27", 30**3, seed=7), (0.5, 1.8)),  # slices along
        (generate("blocks", 10_000, seed=7), (0.8, 1.1)),  # slices of equal columns
        (generate("gene", 2_000, seed=7), (2.0, 2.1)),  # 16 bits
    ],
)
def test_indices_take_as_few_bytes_as_the_structure_allows(
    matrix: Matrix, bytes_per_entry: tuple[float, float], host: HostDevice
) -> None:
    x = np.random.default_rng(8).uniform(-1, 1, matrix.shape[1])
    for partitions in (1, 4):
        product = numba_compressed.prepare(matrix, x, host, partitions)
        least, most = bytes_per_entry
        assert least < product.counters["index_bytes_per_entry"] < most
        assert product.index_bytes is not None
        assert right(product, matrix, x)


def test_where_columns_span_more_than_16_bits_nothing_is_compressed(host: HostDevice) -> None:
    matrix = scattered(1_000, 200_000, 20_000, seed=9)
    x = np.random.default_rng(8).uniform(-1, 1, matrix.shape[1])
    product = numba_compressed.prepare(matrix, x, host, 2)
    assert product.index_bytes is None
    assert right(product, matrix, x)


@pytest.mark.parametrize(
    ("generator", "rows", "variant"),
    [
        ("stencil27", 20**3, "compressed"),
        ("blocks", 2_000, "compressed"),
        ("gene", 10_000, "sell"),
        ("road", 10_000, "csb"),
        ("outlier", 200_000, "sell"),
        ("rmat", 1 << 18, "hubs"),
        ("rmat-permuted", 1 << 18, "hubs"),
    ],
)
def test_auto_chooses_by_structure_and_says_why(
    generator: str, rows: int, variant: str, host: HostDevice
) -> None:
    matrix = generate(generator, rows, seed=11)
    x = np.random.default_rng(12).uniform(-1, 1, matrix.shape[1])
    product = auto.prepare(matrix, x, host, 2)
    assert product.detail.startswith(f"chose {variant}: ")
    assert product.spans["choose"] > 0
    assert right(product, matrix, x)


def test_without_structure_compressed_rows_are_left_as_they_are() -> None:
    features = features_of(scattered(100_000, 100_000, 1_000_000, seed=13))
    calm = replace(features, lines_per_entry=0.1)
    choose = partial(auto.choose, shares_columns=False, hubs=lambda: 0.1)
    assert choose(calm).variant == "pcsr"
    wild = replace(calm, lines_per_entry=0.9, x_bytes=1 << 24, entries_per_row=40.0)
    assert choose(wild).variant == "pcsr"
    assert choose(replace(calm, span=1_000)).variant == "compressed"


def test_threads_are_about_equally_busy_where_rows_are_very_unlike(host: HostDevice) -> None:
    matrix = generate("outlier", 400_000, seed=14)
    x = np.random.default_rng(15).uniform(-1, 1, matrix.shape[1])
    product = auto.prepare(matrix, x, host, 2)
    assert 1.0 <= product.imbalance() < 1.5


@pytest.mark.parametrize(
    "prepare",
    [
        numba_pcsr.prepare, numba_sell.prepare, numba_hubs.prepare, numba_csb.prepare,
        numba_compressed.prepare, auto.prepare,
    ],
)  # fmt: skip
@pytest.mark.parametrize("generator", ["stencil27", "outlier", "gene"])
def test_another_x_may_be_put_in_the_place_of_the_first_which_stays(
    prepare: Prepare, generator: str, host: HostDevice
) -> None:
    matrix = generate(generator, 3_000, seed=16)
    first, second = np.random.default_rng(17).uniform(-1, 1, (2, matrix.shape[1]))
    product = prepare(matrix, first, host, 2)
    assert isinstance(product, HostProduct)
    assert product.x is not None
    before = first.copy()
    product.x[:] = second
    assert right(product, matrix, second)
    np.testing.assert_array_equal(first, before)
