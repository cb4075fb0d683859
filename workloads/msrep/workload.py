"""`msrep`: sparse matrix-vector products y = A x in formats that are cut by nnz."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness.allocator import KEEP_FREED_MEMORY
from harness.data import Dataset
from harness.errors import AssayError
from harness.protocols import Device, Group
from harness.records import Case, Facts, Parameter, Params, Variant, Verification, Work, verified
from harness.registry import resolve
from workloads.msrep import matrix_market
from workloads.msrep.cold import COLD, WARM, ballast, empty_caches
from workloads.msrep.datasets import DATASETS
from workloads.msrep.generators import GENERATORS, nearest_rows
from workloads.msrep.mkl_library import library_path
from workloads.msrep.problem import Problem, load, matrix_file
from workloads.msrep.product import Explains, HostProduct, Prepare, Product
from workloads.msrep.ranks_cut import MERGES, X_LAYOUTS, refusal
from workloads.msrep.reference import reference, worst_ratio

MAX_PARTITIONS = 1024
"""Several times the cores of any host; pCSC keeps a whole y for each partition."""

_HOST = frozenset({"host"})
_NUMBA = frozenset({"numba"})
_MKL = "mkl"
_VARIANTS = (
    Variant("scipy", "workloads.msrep.scipy_csr:prepare", baseline=True, requires=_HOST),
    Variant(
        "torch",
        "workloads.msrep.torch_csr:prepare",
        requires=frozenset({"fp64", "sparse"}),
        packages=frozenset({"torch"}),
    ),
    Variant(_MKL, "workloads.msrep.mkl_csr:prepare", requires=_HOST),
    Variant("pcsr", "workloads.msrep.numba_pcsr:prepare", requires=_HOST, packages=_NUMBA),
    Variant("pcsc", "workloads.msrep.numba_pcsc:prepare", requires=_HOST, packages=_NUMBA),
    Variant("pcoo", "workloads.msrep.numba_pcoo:prepare", requires=_HOST, packages=_NUMBA),
    Variant("sell", "workloads.msrep.numba_sell:prepare", requires=_HOST, packages=_NUMBA),
    Variant("hubs", "workloads.msrep.numba_hubs:prepare", requires=_HOST, packages=_NUMBA),
    Variant("csb", "workloads.msrep.numba_csb:prepare", requires=_HOST, packages=_NUMBA),
    Variant(
        "compressed", "workloads.msrep.numba_compressed:prepare", requires=_HOST, packages=_NUMBA
    ),
    Variant("auto", "workloads.msrep.auto:prepare", requires=_HOST, packages=_NUMBA),
)

_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "matrix": Parameter(
            "stencil27",
            f"{', '.join(GENERATORS)}, a Matrix Market file (.mtx, .mtx.gz), "
            "or a matrix that `assay data fetch` got",
        ),
        "rows": Parameter(32_768, "rows a generator makes, to the nearest it can; 0 for a file"),
        "partitions": Parameter(0, "partitions of the compiled variants; 0 is one a numba thread"),
        "cache": Parameter(
            WARM,
            "warm: products follow each other; cold: caches are emptied before each",
            choices=(WARM, COLD),
        ),
        "world_size": Parameter(1, "ranks, one a device, through torch.distributed"),
        "merge": Parameter("carry", "how several ranks' products become y", choices=MERGES),
        "x_layout": Parameter(
            "replicated", "where x lies before a product of several ranks", choices=X_LAYOUTS
        ),
    }
)

_SMALL = {
    "stencil27": 64**3, "blocks": 40_000, "gene": 10_000, "road": 1000**2, "outlier": 500_000,
    "rmat": 1 << 18, "rmat-permuted": 1 << 18,
}  # fmt: skip
_MEDIUM = {
    "stencil27": 110**3, "blocks": 300_000, "gene": 45_101, "road": 2900**2,
    "outlier": 4_000_000, "rmat": 1 << 21, "rmat-permuted": 1 << 21,
}  # fmt: skip
_PAPER = {"stencil27": 220**3, "rmat": 1 << 23, "road": 4900**2, "outlier": 20_000_000}
_SIZES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "ci": {"rmat": 1 << 15},
        "small": _SMALL,
        "medium": _MEDIUM,
        "paper": _PAPER,
    }
)
"""Rows by generator: half, 2 to 6, 20 to 42 and 57 to 285 million entries; the last spans MSREP's
own matrices, from wb-edu to HV15R."""

_IMPORT_S: Mapping[str, float] = MappingProxyType({"scipy": 1.0, "torch": 3.5})
_NUMBA_IMPORT_S = 2.0
_S_PER_ENTRY = 4e-7
"""Measured on two shared x86 cores and rounded up: starting, importing, compiling; and
generating or reading, converting and verifying one entry of R-MAT, the slowest to make."""


@dataclass(frozen=True, slots=True)
class State:
    """One case in its worker.

    Attributes:
        ballast: what is written to before each product to empty the caches; None to keep them.
    """

    problem: Problem
    product: Product
    ballast: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Msrep:
    """The workload; a step is one product."""

    name: str = "msrep"
    version: str = "2"
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
        params = {name: each.default for name, each in _PARAMETERS.items()} | dict(params)
        matrix, partitions = str(params["matrix"]), int(params["partitions"])
        if not 0 <= partitions <= MAX_PARTITIONS:
            raise AssayError(f"partitions={partitions}; choose 0 to {MAX_PARTITIONS}")
        if matrix in GENERATORS:
            rows = nearest_rows(matrix, int(params["rows"]))
        else:
            rows = 0
            matrix_market.read_header(matrix_file(matrix))
        if int(params["world_size"]) < 1:
            raise AssayError(f"world_size={params['world_size']}; choose 1 or more")
        if params["world_size"] == 1:
            # One rank has neither, and equal cases must be one.
            params = {**params, "merge": "carry", "x_layout": "replicated"}
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
        return State(problem, product, ballast() if params["cache"] == COLD else None)

    def resets(self, state: State) -> bool:
        """Return whether caches are emptied before each product."""
        return state.ballast is not None

    def before_sample(self, state: State) -> None:
        """Empty the caches, where that was asked for."""
        if state.ballast is not None:
            empty_caches(state.ballast)

    def prepare_rank(
        self, device: Device, variant: Variant, params: Params, seed: int, group: Group
    ) -> State:
        """Load the matrix and prepare this rank's share of it; the others do likewise."""
        from workloads.msrep import ranks  # imports torch

        kernel = cast(Prepare, resolve(variant.run))
        return State(*ranks.prepare(load(params, seed), kernel, device, params, group))

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
        told = (state.product.detail,) if isinstance(state.product, Explains) else ()
        return verified(error, 1.0, name, "; ".join(filter(None, (*told, detail))))

    def work(self, state: State) -> Work:
        """Return the fewest operations and bytes of one product, every array touched once.

        Pointers and indices count as those of CSR, but where a format's take fewer bytes.
        """
        # A rank keeps only its own rows, and the work is the whole product's.
        rows, columns, nnz = (int(state.problem.facts[name]) for name in ("rows", "columns", "nnz"))
        index_bytes = (rows + 1 + nnz) * 4
        if isinstance(state.product, HostProduct) and state.product.index_bytes is not None:
            index_bytes = min(index_bytes, state.product.index_bytes)
        least_bytes = float(index_bytes + (rows + columns) * 8 + nnz * 8)
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
        """Return the partitions' counts, and how unevenly their threads were busy."""
        counters = state.product.counters
        if not isinstance(state.product, HostProduct) or not state.product.busy.size:
            return counters
        return {**counters, "busiest_over_mean": state.product.imbalance()}

    def datasets(self) -> Sequence[Dataset]:
        """Return the matrices that MSREP was measured on."""
        return DATASETS

    def unsupported(self, variant: Variant, features: frozenset[str], params: Params) -> str | None:
        """Return why a variant does not run on so many ranks, or MKL not here."""
        if variant.name == _MKL and library_path() is None:
            return "needs Intel's MKL, which is not installed; pip install mkl"
        if params["cache"] == COLD and (params["world_size"] != 1 or "host" not in features):
            return "empties the caches of one host only; use cache=warm"
        return refusal(variant, params)

    def inputs(self, state: State) -> Facts:
        """Return shape and entries, the generator's name or the file's name and digest."""
        return state.problem.facts


WORKLOAD = Msrep()
