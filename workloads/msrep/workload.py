"""`msrep`: sparse matrix-vector products y = A x in formats that are cut by nnz."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import numpy as np

from harness.allocator import KEEP_FREED_MEMORY
from harness.errors import AssayError
from harness.protocols import Device
from harness.records import Case, Facts, Parameter, Params, Variant, Verification, Work, verified
from harness.registry import resolve
from workloads.msrep import matrix_market
from workloads.msrep.generators import GENERATORS, nearest_rows
from workloads.msrep.problem import Problem, load, matrix_file
from workloads.msrep.product import Prepare, Product
from workloads.msrep.reference import reference, worst_ratio

MAX_PARTITIONS = 1024
"""Several times the cores of any host; pCSC keeps a whole y for each partition."""

_HOST = frozenset({"host"})
_NUMBA = frozenset({"numba"})
_VARIANTS = (
    Variant("scipy", "workloads.msrep.scipy_csr:prepare", baseline=True, requires=_HOST),
    Variant(
        "torch",
        "workloads.msrep.torch_csr:prepare",
        requires=frozenset({"fp64", "sparse"}),
        packages=frozenset({"torch"}),
    ),
    Variant("pcsr", "workloads.msrep.numba_pcsr:prepare", requires=_HOST, packages=_NUMBA),
    Variant("pcsc", "workloads.msrep.numba_pcsc:prepare", requires=_HOST, packages=_NUMBA),
    Variant("pcoo", "workloads.msrep.numba_pcoo:prepare", requires=_HOST, packages=_NUMBA),
)

_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "matrix": Parameter(
            "stencil27", f"{', '.join(GENERATORS)}, or a Matrix Market file (.mtx, .mtx.gz)"
        ),
        "rows": Parameter(32_768, "rows a generator makes, to the nearest it can; 0 for a file"),
        "partitions": Parameter(0, "partitions of pcsr, pcsc and pcoo; 0 is one a numba thread"),
    }
)

_SIZES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "ci": {"stencil27": 32**3, "rmat": 1 << 15},
        "small": {"stencil27": 64**3, "rmat": 1 << 18, "road": 1000**2, "outlier": 500_000},
        "medium": {"stencil27": 110**3, "rmat": 1 << 21, "road": 2900**2, "outlier": 4_000_000},
        "paper": {"stencil27": 220**3, "rmat": 1 << 23, "road": 4900**2, "outlier": 20_000_000},
    }
)
"""Rows by generator: 1, 2 to 7, 20 to 35 and 57 to 285 million entries; the last spans MSREP's
own matrices, from wb-edu to HV15R."""

_IMPORT_S: Mapping[str, float] = MappingProxyType({"scipy": 1.0, "torch": 3.5})
_NUMBA_IMPORT_S = 2.0
_S_PER_ENTRY = 4e-7
"""Measured on two shared x86 cores and rounded up: starting, importing, compiling; and
generating or reading, converting and verifying one entry of R-MAT, the slowest to make."""


@dataclass(frozen=True, slots=True)
class State:
    """One case in its worker."""

    problem: Problem
    product: Product


@dataclass(frozen=True, slots=True)
class Msrep:
    """The workload; a step is one product."""

    name: str = "msrep"
    version: str = "1"
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: _PARAMETERS)
    variants: Sequence[Variant] = _VARIANTS

    def cases(self, size: str) -> Iterable[Params]:
        """Yield one case for each generator of the size."""
        for matrix, rows in _SIZES[size].items():
            yield {"matrix": matrix, "rows": rows}

    def check(self, params: Params) -> Params:
        """Return the parameters with `rows` as they will really be made; 0 for a file.

        Raises:
            AssayError: no such matrix, a header that cannot be accepted, a number out of range.
        """
        matrix, partitions = str(params["matrix"]), int(params["partitions"])
        if not 0 <= partitions <= MAX_PARTITIONS:
            raise AssayError(f"partitions={partitions}; choose 0 to {MAX_PARTITIONS}")
        if matrix in GENERATORS:
            rows = nearest_rows(matrix, int(params["rows"]))
        else:
            rows = 0
            matrix_market.read_header(matrix_file(matrix))
        return {**params, "rows": rows}

    def worker_env(self, case: Case) -> Mapping[str, str]:
        """Return the allocator setting for the variants whose every product is a new array."""
        return KEEP_FREED_MEMORY if case.variant in ("scipy", "torch") else {}

    def estimate_s(self, variant: Variant, params: Params) -> float:
        """Return what a worker takes besides sampling, in s, rounded up."""
        matrix = str(params["matrix"])
        if matrix in GENERATORS:
            entries = GENERATORS[matrix].nnz_per_row * int(params["rows"])
        else:
            entries = 2.0 * matrix_market.read_header(matrix_file(matrix)).entries
        return _IMPORT_S.get(variant.name, _NUMBA_IMPORT_S) + _S_PER_ENTRY * entries

    def prepare(self, device: Device, variant: Variant, params: Params, seed: int) -> State:
        """Load the matrix, draw x, convert and partition.

        Raises:
            AssayError: the matrix cannot be accepted.
        """
        problem = load(params, seed)
        prepare = cast(Prepare, resolve(variant.run))
        product = prepare(problem.matrix, problem.x, device, int(params["partitions"]))
        return State(problem, product)

    def step(self, state: State) -> None:
        """Compute y = A x once."""
        state.product.multiply()

    def verify(self, state: State) -> Verification:
        """Compare every row of one product with the reference, in units of its rounding bound."""
        state.product.poison()
        self.step(state)
        y = state.product.result()
        expected = reference(state.problem.matrix, state.problem.x)
        name = "entry-by-entry NumPy product in long double, all rows"
        if y.shape != expected.y.shape:
            detail = f"y has shape {y.shape}, not {expected.y.shape}"
            return verified(np.inf, 1.0, name, detail)
        error, row = worst_ratio(y, expected)
        detail = f"row {row}: y = {y[row]!r}, reference {expected.y[row]!r}" if row >= 0 else ""
        return verified(error, 1.0, name, detail)

    def work(self, state: State) -> Work:
        """Return the fewest operations and bytes of one product, every array touched once."""
        rows, columns = state.problem.matrix.shape
        nnz = int(state.problem.matrix.nnz)
        least_bytes = float((rows + 1 + nnz) * 4 + (rows + columns) * 8 + nnz * 8)
        return Work(
            items=1.0,
            item="product",
            flops={"float64": 2.0 * nnz},
            bytes={"memory": least_bytes},
            working_set_bytes=least_bytes,
        )

    def spans(self, state: State) -> Mapping[str, float]:
        """Return how long loading, and where there is any, conversion and partition took, in s."""
        return {"load": state.problem.load_s, **state.product.spans}

    def counters(self, state: State) -> Mapping[str, float]:
        """Return the partitions' counts."""
        return state.product.counters

    def inputs(self, state: State) -> Facts:
        """Return shape and entries, the generator's name or the file's name and digest."""
        return state.problem.facts


WORKLOAD = Msrep()
