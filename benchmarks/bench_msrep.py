"""The variants of `msrep` by turns in one process, against a stream over the same arrays.

    python benchmarks/bench_msrep.py                            the seven matrices of medium
    python benchmarks/bench_msrep.py --matrix road --rounds 21
    python benchmarks/bench_msrep.py --size small --variant auto --variant mkl --variant torch

The stream reads values and column indices once, on as many threads: 12 bytes an entry, and
nothing of x, y or the rows. Shares are its least time over a variant's, so that one whose indices
take fewer bytes may pass 1. The last lines are geometric means over the matrices.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from time import perf_counter

import numba
import numpy as np
import pandas as pd
from numba import float64, prange, uint32

from backends._host_device import HostDevice
from harness.allocator import keep_freed_memory
from harness.host import read_cpu
from harness.registry import resolve
from workloads.kernels.compiled import compiled
from workloads.msrep import WORKLOAD
from workloads.msrep.generators import generate
from workloads.msrep.product import HostProduct
from workloads.msrep.reference import reference, worst_ratio

HOST = frozenset({"host", "fp64", "sparse"})
LIBRARIES = ("mkl", "torch")


def main() -> None:
    keep_freed_memory()
    names = [variant.name for variant in WORKLOAD.variants]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="medium", choices=["ci", "small", "medium", "paper"])
    parser.add_argument("--matrix", action="append")
    parser.add_argument("--variant", action="append", choices=names)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    tables = []
    for case in WORKLOAD.cases(chosen.size):
        if not chosen.matrix or case["matrix"] in chosen.matrix:
            wanted = chosen.variant or names
            table = measured(str(case["matrix"]), int(case["rows"]), wanted, chosen.rounds)
            print(table.to_string(index=False), flush=True)
            tables.append(table)
    if not tables:
        raise SystemExit(f"size {chosen.size} has no such matrix")
    every = pd.concat(tables)
    ratios = every.set_index("variant")[["share of stream", "to the better library"]]
    means = {name: np.exp(np.log(ones).mean()) for name, ones in ratios.groupby(level=0)}
    print(pd.DataFrame(means).T.round(3).to_string())


def measured(matrix: str, rows: int, names: list[str], rounds: int) -> pd.DataFrame:
    """Return each variant's least time for one matrix; the slow reference checks the first."""
    chosen = WORKLOAD.check({"matrix": matrix, "rows": rows})
    made = generate(matrix, rows, seed=1)
    x = np.random.default_rng(2).uniform(-1, 1, made.shape[1])
    expected = reference(made, x)
    device = HostDevice("cpu", read_cpu())
    products = {}
    for variant in WORKLOAD.variants:
        if variant.name in names and not WORKLOAD.unsupported(variant, HOST, chosen):
            product = resolve(variant.run)(made, x, device, 0)
            product.poison()
            product.multiply()
            if not worst_ratio(product.result(), expected)[0] <= 1:  # nor NaN
                raise SystemExit(f"{variant.name} is wrong on {matrix}")
            products[variant.name] = product
    columns = made.indices.astype(np.uint32)
    runs: dict[str, Callable[[], object]] = {name: one.multiply for name, one in products.items()}
    runs["stream"] = lambda: stream(made.data, columns, numba.get_num_threads())
    least = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            started = perf_counter()
            run()
            least[name] = min(least[name], perf_counter() - started)
    library = min((least[name] for name in LIBRARIES if name in least), default=math.nan)
    return pd.DataFrame(
        {
            "matrix": matrix,
            "variant": name,
            "ms": round(1e3 * seconds, 2),
            "share of stream": round(least["stream"] / seconds, 3),
            "to the better library": round(library / seconds, 2),
            "busiest over mean": balance(products.get(name)),
            "detail": getattr(products.get(name), "detail", ""),
        }
        for name, seconds in least.items()
    )


def balance(product: object) -> float:
    if isinstance(product, HostProduct) and product.busy.size:
        return round(product.imbalance(), 3)
    return math.nan


@compiled(
    float64(float64[::1], uint32[::1]), fastmath={"reassoc", "contract", "nsz"}, inline="never"
)
def read(values, columns):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(values.size):
        total += values[k] * np.int32(columns[k])
    return total


@compiled(float64(float64[::1], uint32[::1], numba.int64), parallel=True)
def stream(values, columns, parts):  # type: ignore[no-untyped-def]
    """Return a sum that needs every value and every column once."""
    total = 0.0
    for part in prange(parts):
        first, last = values.size * part // parts, values.size * (part + 1) // parts
        total += read(values[first:last], columns[first:last])
    return total


if __name__ == "__main__":
    main()
