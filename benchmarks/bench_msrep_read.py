"""The reader of `msrep` against SciPy's fast reader, interleaved, on files that are cached.

    python benchmarks/bench_msrep_read.py                  the median ratios, from 15 rounds
    python benchmarks/bench_msrep_read.py --entries 100000 --rounds 31 --threads 1

SciPy's reader (`scipy.io.mmread`, fast_matrix_market) returns coordinates; ours returns sorted
compressed rows. Both ratios are told: against SciPy's reading alone, and against reading and
`tocsr`, which gives the same matrix. A ratio above 1 means that ours is faster. The files have the
shape of an R-MAT graph, sorted by columns as in public collections, with values in as many digits
as float64 needs ("real", "symmetric", "gzip"), three digits ("short") or none ("pattern").
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import coo_array

FILES = ("real", "symmetric", "pattern", "short", "gzip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--entries", type=int, default=500_000, help="about, of each file")
    parser.add_argument("--threads", type=int, default=0, help="of each reader; 0 is its default")
    chosen = parser.parse_args()
    if chosen.threads:
        os.environ["NUMBA_NUM_THREADS"] = str(chosen.threads)  # read once, when numba is loaded
    with tempfile.TemporaryDirectory() as folder:
        for path in written(Path(folder), chosen.entries):
            compare(path, chosen.rounds, chosen.threads)


def written(folder: Path, entries: int) -> Iterator[Path]:
    """Yield the files, each as soon as it is written."""
    from workloads.msrep.generators import generate

    matrix = generate("rmat", entries // 16, seed=0).tocsc().tocoo()
    row, column = matrix.coords
    values = np.random.default_rng(0).standard_normal(len(row))
    lower = row >= column
    for name in FILES:
        kept = lower if name == "symmetric" else np.ones(len(row), dtype=bool)
        columns = [row[kept] + 1, column[kept] + 1, values[kept]]
        layout = "%d %d %.3f" if name == "short" else "%d %d %.17g"
        field, symmetry = "real", "symmetric" if name == "symmetric" else "general"
        if name == "pattern":
            columns, layout, field = columns[:2], "%d %d", "pattern"
        path = folder / f"{name}.mtx"
        with path.open("w") as text:
            text.write(f"%%MatrixMarket matrix coordinate {field} {symmetry}\n")
            text.write(f"{matrix.shape[0]} {matrix.shape[1]} {np.count_nonzero(kept)}\n")
            np.savetxt(text, np.column_stack(columns), fmt=layout)
        if name == "gzip":
            packed = path.with_suffix(".mtx.gz")
            packed.write_bytes(gzip.compress(path.read_bytes(), 6))
            path = packed
        yield path


def compare(path: Path, rounds: int, threads: int) -> None:
    """Print the median ratios of one file."""
    from scipy.io import _fast_matrix_market, mmread

    from workloads.msrep import matrix_market

    setattr(_fast_matrix_market, "PARALLELISM", threads)  # noqa: B010 - it is called final
    alone, converted = [], []
    for number in range(-1, rounds):
        times = [perf_counter()]
        coordinates = cast("coo_array", mmread(path, spmatrix=False))
        times.append(perf_counter())
        expected = coordinates.tocsr()
        times.append(perf_counter())
        found = matrix_market.read(path)
        times.append(perf_counter())
        if number < 0:
            if abs(found - expected).max() > 0:
                raise SystemExit(f"{path.name}: the two do not read the same matrix")
            continue
        reading, converting, ours = np.diff(times)
        alone.append(reading / ours)
        converted.append((reading + converting) / ours)
    size = path.stat().st_size / 1e6
    print(
        f"{path.name}, {size:.1f} MB: {median(alone):.2f} times as fast as reading, "
        f"{median(converted):.2f} as reading and tocsr"
    )


if __name__ == "__main__":
    main()
