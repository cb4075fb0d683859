"""Makes seeded sparse matrices whose structures stress a product in different ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError, unknown

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_ROWS = 1 << 28
"""Beyond this the 27 indices a row of the stencil pass 32 GiB, more than a host has to spare."""

_RMAT_EDGES_PER_ROW = 16
_RMAT_A, _RMAT_B, _RMAT_C = 0.57, 0.19, 0.19
"""Edge factor and quadrant probabilities of the Graph 500 benchmark."""

_ROAD_KEPT = 0.6
"""Share of lattice edges kept: 2.4 neighbours a row, as in SNAP's roadNet-PA, -TX and -CA (2.8)
and DIMACS's road_usa (2.4)."""

_OUTLIER_LONGEST_SHORT_ROW = 11
"""Short rows hold 1 to 11 entries, 6 on average, as circuit matrices do."""

_OUTLIER_NEAR, _OUTLIER_BAND = 0.8, 500
"""Share of a short row's entries near the diagonal, and how near."""

_BLOCK_SIDE, _BLOCKS_PER_ROW, _BLOCK_BAND = 5, 28, 3_000
"""Dense blocks of 5 x 5, 28 in a row of blocks and at most 3,000 blocks from the diagonal: 140
entries a row, as HV15R has (a fluid's five unknowns a cell)."""

_GENE_PER_ROW, _GENE_TAIL, _GENE_LONGEST = 643.0, 1.2, 0.3
"""Entries a row, exponent of the Pareto law of their number, and the longest row's share of the
columns: mouse_gene has 45,101 rows and 29 million entries."""

_BLOCK = 1 << 20
"""Edges drawn at once: their temporaries stay within tens of MB."""


@dataclass(frozen=True, slots=True)
class Generator:
    """One family of matrices.

    Attributes:
        summary: one line for `assay list`.
        nearest_rows: the number of rows really made for a wanted one; applied twice, the same.
        nnz_per_row: entries a row, roughly, to plan with.
        make: returns the matrix for a number of rows that `nearest_rows` returned.
    """

    summary: str
    nearest_rows: Callable[[int], int]
    nnz_per_row: float
    make: Callable[[int, np.random.Generator], csr_array]


def generate(name: str, rows: int, seed: int) -> csr_array:
    """Return the square matrix of that family, float64 values uniform in [-1, 1).

    Indices are sorted and no place is stored twice. The same arguments give the same matrix.

    Raises:
        AssayError: there is no such family, or `rows` is out of range.
    """
    rows = nearest_rows(name, rows)
    return GENERATORS[name].make(rows, np.random.default_rng([seed, rows]))


def nearest_rows(name: str, rows: int) -> int:
    """Return how many rows the family makes for a wanted number of rows.

    Raises:
        AssayError: there is no such family, or `rows` is out of range.
    """
    if name not in GENERATORS:
        raise unknown("matrix generator", name, GENERATORS)
    if not 1 <= rows <= MAX_ROWS:
        raise AssayError(f"rows={rows} for matrix {name!r}; choose 1 to {MAX_ROWS}")
    return GENERATORS[name].nearest_rows(rows)


def _stencil27(rows: int, random: np.random.Generator) -> csr_array:
    """Couple every point of a cubic grid with itself and its up to 26 neighbours."""
    side = _cube_side(rows)
    z, y, x = np.unravel_index(np.arange(rows), (side, side, side))
    steps = [(dz, dy, dx) for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    inside = np.empty((rows, len(steps)), dtype=bool)
    for k, (dz, dy, dx) in enumerate(steps):
        inside[:, k] = _within(z + dz, side) & _within(y + dy, side) & _within(x + dx, side)
    offsets = np.array([(dz * side + dy) * side + dx for dz, dy, dx in steps])
    return _from_neighbours(offsets, inside, random)


def _road(rows: int, random: np.random.Generator) -> csr_array:
    """Couple neighbours on a square lattice of which a share of the edges is kept."""
    side = math.isqrt(rows)
    east = (random.random((side, side)) < _ROAD_KEPT) & (np.arange(side) < side - 1)
    south = (random.random((side, side)) < _ROAD_KEPT) & (np.arange(side)[:, None] < side - 1)
    kept = np.zeros((side, side, 4), dtype=bool)
    kept[1:, :, 0] = south[:-1]
    kept[:, 1:, 1] = east[:, :-1]
    kept[:, :, 2] = east
    kept[:, :, 3] = south
    return _from_neighbours(np.array([-side, -1, 1, side]), kept.reshape(rows, 4), random)


def _rmat(rows: int, random: np.random.Generator) -> csr_array:
    """Drop edges into recursively divided quadrants (Chakrabarti, Zhan and Faloutsos, SDM 2004).

    Rows keep their natural order, so that long rows gather at the top; repeated edges are dropped.
    """
    return _rmat_with(np.arange(rows), random)


def _rmat_permuted(rows: int, random: np.random.Generator) -> csr_array:
    """Make the same graph with its vertices renamed by chance, so that nothing lies together."""
    return _rmat_with(random.permutation(rows), random)


def _rmat_with(names: NDArray[np.int64], random: np.random.Generator) -> csr_array:
    rows = len(names)
    edges = rows * _RMAT_EDGES_PER_ROW
    places = np.empty(edges, dtype=np.int64)
    for start in range(0, edges, _BLOCK):
        count = min(_BLOCK, edges - start)
        row = np.zeros(count, dtype=np.int64)
        column = np.zeros(count, dtype=np.int64)
        for _ in range(rows.bit_length() - 1):
            draw = random.random(count, dtype=np.float32)
            below = draw >= _RMAT_A + _RMAT_B
            right = (draw >= _RMAT_A) & ~below | (draw >= _RMAT_A + _RMAT_B + _RMAT_C)
            row = row << 1 | below
            column = column << 1 | right
        places[start : start + count] = names[row] * rows + names[column]
    return _from_places(places, rows, random)


def _outlier(rows: int, random: np.random.Generator) -> csr_array:
    """Make one full row among the first tenth; the others are short, mostly near the diagonal."""
    lengths = random.integers(1, _OUTLIER_LONGEST_SHORT_ROW + 1, size=rows)
    full = int(random.integers(max(1, rows // 10)))
    lengths[full] = 0
    row = np.repeat(np.arange(rows), lengths)
    near = row + random.integers(-_OUTLIER_BAND, _OUTLIER_BAND + 1, size=row.size)
    far = random.integers(rows, size=row.size)
    column = np.where(random.random(row.size) < _OUTLIER_NEAR, near, far).clip(0, rows - 1)
    places = np.concatenate((row * rows + column, full * rows + np.arange(rows)))
    return _from_places(places, rows, random)


def _blocks(rows: int, random: np.random.Generator) -> csr_array:
    """Scatter dense blocks over a band: one in each of as many equal parts of it."""
    lines = rows // _BLOCK_SIDE
    count = min(_BLOCKS_PER_ROW, lines)
    line = np.arange(lines)[:, None]
    low = np.maximum(0, line - _BLOCK_BAND)
    width = np.minimum(lines - 1, line + _BLOCK_BAND) - low + 1
    part = np.arange(count)
    block = low + _one_of_each_part(width, part, count, random)
    columns = (block[:, :, None] * _BLOCK_SIDE + np.arange(_BLOCK_SIDE)).astype(np.int32)
    of_rows = np.repeat(columns.reshape(lines, -1), _BLOCK_SIDE, axis=0)
    pointer = _pointer(np.full(rows, of_rows.shape[1]))
    return _with_values(pointer, of_rows.reshape(-1), rows, random)


def _gene(rows: int, random: np.random.Generator) -> csr_array:
    """Spread each row's entries evenly over all columns; how many a row has is a Pareto law."""
    weights = random.pareto(_GENE_TAIL, rows) + 0.05
    longest = max(1.0, _GENE_LONGEST * rows)
    mean = min(_GENE_PER_ROW, longest / 2)
    lengths = np.minimum(weights * (mean / weights.mean()), longest)
    lengths = np.clip(lengths * (mean / lengths.mean()), 1, longest).astype(np.int64)
    pointer = _pointer(lengths)
    columns = np.empty(int(pointer[-1]), dtype=np.int32)
    row = np.repeat(np.arange(rows, dtype=np.int32), lengths)
    for start in range(0, columns.size, _BLOCK):
        here = slice(start, min(start + _BLOCK, columns.size))
        part = np.arange(here.start, here.stop) - pointer[row[here]]
        columns[here] = _one_of_each_part(rows, part, lengths[row[here]], random)
    return _with_values(pointer, columns, rows, random)


def _one_of_each_part(
    width: NDArray[np.int64] | int,
    part: NDArray[np.int64],
    parts: NDArray[np.int64] | int,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Return a place in each of some equal parts of `width` places; they ascend, none twice."""
    first, following = width * part // parts, width * (part + 1) // parts
    return random.integers(first, following)


def _from_neighbours(
    offsets: NDArray[np.int64], kept: NDArray[np.bool_], random: np.random.Generator
) -> csr_array:
    """Return the matrix with entry (i, i + offsets[k]) where `kept[i, k]`; offsets ascend."""
    rows = len(kept)
    pointer = _pointer(kept.sum(axis=1))
    columns = np.arange(rows, dtype=np.int32)[:, None] + offsets.astype(np.int32)
    return _with_values(pointer, columns[kept], rows, random)


def _from_places(places: NDArray[np.int64], rows: int, random: np.random.Generator) -> csr_array:
    """Return the matrix whose entries lie at `row * rows + column`, each place once."""
    # np.unique hashes since NumPy 2.3, which is far slower than to sort and to compare.
    places.sort()
    places = places[np.concatenate(([True], places[1:] != places[:-1]))]
    row, column = np.divmod(places, rows)
    pointer = _pointer(np.bincount(row, minlength=rows))
    return _with_values(pointer, column.astype(np.int32), rows, random)


def _with_values(
    pointer: NDArray[np.signedinteger],
    columns: NDArray[np.int32],
    rows: int,
    random: np.random.Generator,
) -> csr_array:
    from scipy.sparse import csr_array

    values = random.uniform(-1.0, 1.0, size=columns.size)
    matrix = csr_array((values, columns, pointer), shape=(rows, rows))
    matrix.has_canonical_format = True
    return matrix


def _pointer(lengths: NDArray[np.int64]) -> NDArray[np.signedinteger]:
    """Return where each row begins, in 32 bits where they suffice: SciPy indexes in the widest."""
    pointer = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    return pointer.astype(np.int32) if pointer[-1] < 2**31 else pointer


def _within(coordinate: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    return (coordinate >= 0) & (coordinate < side)


def _cube_side(rows: int) -> int:
    return max(1, round(math.cbrt(rows)))


def _nearest_cube(rows: int) -> int:
    side = _cube_side(rows)
    return side * side * side


def _nearest_multiple(rows: int) -> int:
    return max(1, round(rows / _BLOCK_SIDE)) * _BLOCK_SIDE


def _nearest_square(rows: int) -> int:
    return max(1, round(math.sqrt(rows))) ** 2


def _nearest_power_of_two(rows: int) -> int:
    return 1 << round(math.log2(rows))


GENERATORS: Mapping[str, Generator] = {
    "stencil27": Generator("27-point stencil on a cubic grid", _nearest_cube, 27.0, _stencil27),
    "blocks": Generator("5 x 5 blocks in a band, like HV15R", _nearest_multiple, 140.0, _blocks),
    "gene": Generator("rows of very unlike lengths, like mouse_gene", int, _GENE_PER_ROW, _gene),
    "rmat": Generator("R-MAT graph, natural order", _nearest_power_of_two, 15.0, _rmat),
    "rmat-permuted": Generator(
        "R-MAT graph, vertices in no order", _nearest_power_of_two, 15.0, _rmat_permuted
    ),
    "road": Generator("road-like: a thinned square lattice", _nearest_square, 2.4, _road),
    "outlier": Generator("one full row, all others short", int, 7.0, _outlier),
}
"""Every family by name."""
