"""What is multiplied: a matrix from a generator or a Matrix Market file, and a random vector."""

from __future__ import annotations

import difflib
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness import data
from harness.errors import AssayError, unknown
from harness.records import Facts, Params
from workloads.msrep import matrix_market
from workloads.msrep.datasets import MATRICES
from workloads.msrep.generators import GENERATORS, generate

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, slots=True)
class Problem:
    """One product's input.

    Attributes:
        matrix: float64 values, sorted indices, no place twice.
        x: float64, shape (columns,), uniform in [-1, 1).
        facts: shape, entries, and the digest of a file.
        load_s: how long it took to read or make the matrix.
    """

    matrix: csr_array
    x: NDArray[np.float64]
    facts: Facts
    load_s: float


def load(params: Params, seed: int) -> Problem:
    """Read or make what the parameters name; the same arguments give the same problem.

    Raises:
        AssayError: there is neither a generator nor a file of that name, or the file is damaged.
    """
    name = str(params["matrix"])
    start = time.perf_counter()
    if name in GENERATORS:
        matrix = generate(name, int(params["rows"]), seed)
        source: dict[str, str] = {"generator": name}
    else:
        path = matrix_file(name)
        matrix = matrix_market.read(path)
        sha256 = _digest(path)
        data.refuse_changed(path, sha256)
        source = {"file": path.name, "sha256": sha256}
    load_s = time.perf_counter() - start
    rows, columns = matrix.shape
    facts = {"rows": rows, "columns": columns, "nnz": int(matrix.nnz), **source}
    x = np.random.default_rng([seed, columns, 1]).uniform(-1.0, 1.0, size=columns)
    return Problem(matrix, x, facts, load_s)


def matrix_file(name: str) -> Path:
    """Return the file that a word which is no generator's name means.

    A path, a path below a data folder, or the name of a fetched matrix. A folder, as archives of
    the SuiteSparse Matrix Collection hold one, stands for the file of its own name in it.

    Raises:
        AssayError: there is no such file, which says what may have been meant; or it is not the
            matrix that its name promises.
    """
    known = MATRICES.get(name)
    try:
        path = data.find(name)
    except AssayError as error:
        if known is not None:
            raise _not_here(name) from error
        if difflib.get_close_matches(name, GENERATORS, n=1, cutoff=0.5):
            raise unknown("matrix generator or file", name, GENERATORS) from error
        raise AssayError(f"{error}; generators: {', '.join(sorted(GENERATORS))}") from error
    inside = path / f"{path.name}.mtx"
    if inside.is_file():
        path = inside
    if known is not None:
        if path.is_dir():
            raise _not_here(name)
        known.refuse_other(path, matrix_market.read_header(path))
    return path


def _not_here(name: str) -> AssayError:
    return AssayError(f"matrix {name} is not on this machine; `assay data fetch {name}` gets it")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
