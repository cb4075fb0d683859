from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from harness.errors import AssayError
from workloads.msrep.generators import GENERATORS, MAX_ROWS, generate, nearest_rows

NAMES = sorted(GENERATORS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 2, 3, 30, 1000])
def test_a_matrix_is_square_sorted_without_repeats_and_never_of_ones(name: str, rows: int) -> None:
    matrix = generate(name, rows, seed=3)
    made = nearest_rows(name, rows)
    assert matrix.shape == (made, made)
    assert matrix.dtype == np.float64
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    matrix.has_canonical_format = False
    matrix.sum_duplicates()
    again = generate(name, rows, seed=3)
    np.testing.assert_array_equal(matrix.indptr, again.indptr)
    np.testing.assert_array_equal(matrix.indices, again.indices)
    assert np.all(np.abs(matrix.data) <= 1.0)
    assert not np.any(matrix.data == 1.0)
    assert len(np.unique(matrix.data)) == matrix.nnz


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_values(name: str) -> None:
    assert generate(name, 500, seed=1).data[0] != generate(name, 500, seed=2).data[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_number_of_rows_is_near_and_stays(name: str) -> None:
    for rows in (1, 7, 100, 12_345, MAX_ROWS):
        made = nearest_rows(name, rows)
        assert rows / 2 <= made <= max(5, 2 * rows)
        assert made > MAX_ROWS or nearest_rows(name, made) == made


@pytest.mark.parametrize("name", NAMES)
def test_the_planned_entries_are_about_those_made(name: str) -> None:
    matrix = generate(name, 30_000, seed=0)
    assert matrix.nnz == pytest.approx(GENERATORS[name].nnz_per_row * matrix.shape[0], rel=0.15)


def test_the_same_arguments_give_the_same_matrix_in_another_process() -> None:
    program = (
        "import hashlib\n"
        "from workloads.msrep.generators import GENERATORS, generate\n"
        "for name in sorted(GENERATORS):\n"
        "    m = generate(name, 2000, seed=5)\n"
        "    parts = (m.indptr, m.indices, m.data)\n"
        "    print(hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert len(set(runs.pop().split())) == len(GENERATORS)


def test_the_stencil_couples_each_point_with_its_cube_of_neighbours() -> None:
    side = 4
    dense = generate("stencil27", side**3, seed=0).toarray() != 0
    points = np.stack(np.unravel_index(np.arange(side**3), (side, side, side)), axis=1)
    distance = np.abs(points[:, None] - points[None]).max(axis=2)
    np.testing.assert_array_equal(dense, distance <= 1)


def test_the_road_is_a_symmetric_part_of_the_lattice() -> None:
    side = 40
    pattern = generate("road", side**2, seed=0).toarray() != 0
    points = np.stack(np.unravel_index(np.arange(side**2), (side, side)), axis=1)
    distance = np.abs(points[:, None] - points[None]).sum(axis=2)
    np.testing.assert_array_equal(pattern, pattern.T)
    assert np.all(distance[pattern] == 1)
    assert pattern.sum() / (distance == 1).sum() == pytest.approx(0.6, abs=0.05)


def test_rmat_gathers_long_rows_at_the_top_and_leaves_rows_empty() -> None:
    lengths = np.diff(generate("rmat", 1 << 14, seed=0).indptr)
    assert lengths[0] > 50 * lengths.mean()
    assert lengths[: 1 << 13].sum() > 0.7 * lengths.sum()
    assert np.any(lengths == 0)


def test_permuting_a_graph_keeps_its_long_rows_and_loses_their_place() -> None:
    natural, permuted = (generate(name, 1 << 14, seed=0) for name in ("rmat", "rmat-permuted"))
    lengths = np.diff(permuted.indptr)
    assert lengths.max() == pytest.approx(np.diff(natural.indptr).max(), rel=0.1)
    assert lengths[: 1 << 13].sum() == pytest.approx(lengths.sum() / 2, rel=0.1)


def test_blocks_are_dense_in_a_band_and_all_rows_alike() -> None:
    matrix = generate("blocks", 50_000, seed=0)
    assert set(np.diff(matrix.indptr)) == {140}
    columns = matrix.indices.reshape(-1, 28, 5)
    assert np.all(np.diff(columns, axis=2) == 1)
    assert np.all(columns[:, :, 0] % 5 == 0)
    np.testing.assert_array_equal(columns[::5], columns[4::5])
    distance = np.abs(columns[:, :, 0] // 5 - np.arange(50_000)[:, None] // 5)
    assert 2_000 < distance.max() <= 3_000


def test_genes_rows_are_very_unlike_and_spread_over_all_columns() -> None:
    matrix = generate("gene", 20_000, seed=0)
    lengths = np.diff(matrix.indptr)
    assert lengths.std() > 1.5 * lengths.mean()
    assert lengths.max() <= 0.3 * 20_000
    longest = int(lengths.argmax())
    row = matrix.indices[matrix.indptr[longest] : matrix.indptr[longest + 1]]
    assert np.histogram(row, bins=10, range=(0, 20_000))[0].std() < 0.05 * row.size / 10


def test_the_outlier_has_one_full_row_and_short_ones() -> None:
    lengths = np.sort(np.diff(generate("outlier", 10_000, seed=0).indptr))
    assert lengths[-1] == 10_000
    assert 1 <= lengths[0] <= lengths[-2] <= 11


def test_an_unknown_family_and_impossible_rows_are_refused() -> None:
    with pytest.raises(AssayError, match="did you mean stencil27"):
        generate("stencil72", 100, seed=0)
    for rows in (0, -5, MAX_ROWS + 1):
        with pytest.raises(AssayError, match=f"rows={rows}"):
            generate("rmat", rows, seed=0)
