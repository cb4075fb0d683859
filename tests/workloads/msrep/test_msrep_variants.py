from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends._host_device import HostDevice
from harness.host import read_cpu
from harness.registry import resolve
from workloads.msrep import WORKLOAD
from workloads.msrep.generators import GENERATORS, generate
from workloads.msrep.mkl_library import library_path
from workloads.msrep.reference import Reference, reference, worst_ratio

NAMES = [variant.name for variant in WORKLOAD.variants]
PARTITIONED = ["pcsr", "pcsc", "pcoo", "sell", "hubs", "csb", "compressed", "auto"]


def prepared(name: str, matrix: scipy.sparse.csr_array, x: np.ndarray, partitions: int = 0) -> Any:
    variant = next(variant for variant in WORKLOAD.variants if variant.name == name)
    if "torch" in variant.packages:
        pytest.importorskip("torch", reason="torch is not installed")
    if name == "mkl" and library_path() is None:
        pytest.skip("MKL is not installed; pip install mkl")
    return resolve(variant.run)(matrix, x, HostDevice("cpu", read_cpu()), partitions)


def ratio(name: str, matrix: scipy.sparse.csr_array, seed: int, partitions: int = 0) -> float:
    """Return the worst ratio to the bound over two products, the first one after poison."""
    x = np.random.default_rng(seed).uniform(-1, 1, matrix.shape[1])
    product = prepared(name, matrix, x, partitions)
    expected = reference(matrix, x)
    worst = []
    product.poison()
    assert np.isnan(product.result()).all()
    for _ in range(2):
        product.multiply()
        y = product.result()
        assert y.shape == (matrix.shape[0],)
        assert y.dtype == np.float64
        worst.append(worst_ratio(y, expected)[0])
    return float(np.max(worst))


def matrix_of(lengths: list[int], columns: int, seed: int) -> scipy.sparse.csr_array:
    """Return a matrix with rows of those lengths, a tenth of the values explicit zeros."""
    random = np.random.default_rng(seed)
    lengths = [min(length, columns) for length in lengths]
    rows = [np.sort(random.choice(columns, size=n, replace=False)) for n in lengths]
    indices = np.concatenate([np.empty(0, dtype=np.int32), *rows]).astype(np.int32)
    values = random.standard_normal(len(indices)) * 10.0 ** random.integers(-9, 9, len(indices))
    values[random.random(len(values)) < 0.1] = 0.0
    pointer = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return scipy.sparse.csr_array((values, indices, pointer), shape=(len(lengths), columns))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("generator", sorted(GENERATORS))
def test_a_variant_agrees_with_the_reference_on_every_family(name: str, generator: str) -> None:
    assert ratio(name, generate(generator, 1500, seed=7), seed=8) <= 1.0


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.sampled_from([0, 0, 1, 2, 5, 60]), max_size=25),
    columns=st.integers(1, 60),
    partitions=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
@example(lengths=[], columns=5, partitions=3, seed=0)
@example(lengths=[0, 0, 0], columns=5, partitions=2, seed=0)
@example(lengths=[60], columns=60, partitions=4, seed=0)
@example(lengths=[1] * 25, columns=1, partitions=4, seed=0)
@example(lengths=[0, 0, 3, 60, 1, 0, 0], columns=60, partitions=5, seed=0)
@example(lengths=[2, 60, 60, 0, 5], columns=60, partitions=3, seed=0)
@example(lengths=[1, 0, 1], columns=4, partitions=9, seed=0)
def test_a_variant_agrees_with_the_reference_on_any_shape(
    name: str, lengths: list[int], columns: int, partitions: int, seed: int
) -> None:
    assert ratio(name, matrix_of(lengths, columns, seed), seed, partitions) <= 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1)])
def test_a_variant_multiplies_a_matrix_without_entries(name: str, shape: tuple[int, int]) -> None:
    matrix = scipy.sparse.csr_array(shape, dtype=np.float64)
    assert ratio(name, matrix, seed=1, partitions=3) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_accepts_indices_of_64_bits_and_changes_no_input(name: str) -> None:
    matrix = generate("rmat", 512, seed=1)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    before = matrix.copy()
    assert ratio(name, matrix, seed=2, partitions=5) <= 1.0
    assert matrix.indices.dtype == np.int64
    np.testing.assert_array_equal(matrix.indices, before.indices)
    np.testing.assert_array_equal(matrix.data, before.data)


@pytest.mark.parametrize("name", PARTITIONED)
@pytest.mark.parametrize("partitions", [1, 2, 3, 64, 1024])
def test_many_products_over_many_partitions_never_differ(name: str, partitions: int) -> None:
    matrix = generate("outlier", 1000, seed=4)
    x = np.random.default_rng(5).uniform(-1, 1, 1000)
    product = prepared(name, matrix, x, partitions)
    product.multiply()
    first = product.result().copy()
    assert worst_ratio(first, reference(matrix, x))[0] <= 1.0
    for _ in range(100):
        product.poison()
        product.multiply()
        np.testing.assert_array_equal(product.result(), first)


@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity_in_x_reach_the_rows_that_read_them(name: str) -> None:
    matrix = scipy.sparse.csr_array(np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 4.0], [5.0, 0.0, 0.0]]))
    product = prepared(name, matrix, np.array([np.inf, np.nan, 1.0]), 2)
    product.multiply()
    assert np.isnan(product.result()[:2]).all()
    assert product.result()[2] == np.inf


@pytest.mark.parametrize("name", PARTITIONED)
def test_partitions_are_counted_and_their_preparation_timed(name: str) -> None:
    import numba

    matrix = generate("outlier", 3000, seed=4)
    product = prepared(name, matrix, np.ones(3000), 7)
    assert product.counters["partitions"] == 7
    if name in ("pcsc", "pcoo"):
        assert product.counters["largest_partition_nnz"] == -(-matrix.nnz // 7)
        assert product.counters["smallest_partition_nnz"] == matrix.nnz // 7
    assert product.counters["shared_lines"] >= name.startswith("pc")
    assert {"compile", "convert", "partition"} <= set(product.spans)
    assert min(product.spans["convert"], product.spans["partition"]) > 0
    assert product.spans["compile"] >= 0  # none where numba has the kernels in its cache
    default = prepared(name, matrix, np.ones(3000))
    assert default.counters["partitions"] == numba.get_num_threads()


def test_the_reference_is_the_exact_product_of_a_cancelling_row() -> None:
    matrix = scipy.sparse.csr_array(np.array([[1e16, 1.0, -1e16], [0.0, 0.0, 0.0]]))
    expected = reference(matrix, np.array([1.0, 0.5, 1.0]))
    assert expected.y.tolist() == [0.5, 0.0]
    assert expected.bound[0] == pytest.approx(2 * 5 * 2.0**-53 * 2e16)
    assert expected.bound[1] == 0.0


@pytest.mark.parametrize(
    ("y", "worst"),
    [
        ([1.0, 0.0], 0.0),
        ([1.5, 0.0], 0.5),
        ([3.0, 0.0], 2.0),
        ([1.0, 5e-324], np.inf),
        ([np.nan, 0.0], np.nan),
        ([1.0, np.nan], np.nan),
        ([np.inf, 0.0], np.inf),
    ],
)
def test_the_worst_ratio_measures_in_bounds_and_forgives_neither_nan_nor_an_exact_row(
    y: list[float], worst: float
) -> None:
    expected = Reference(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    np.testing.assert_equal(worst_ratio(np.array(y), expected)[0], worst)
