"""The example to replace by your own: find the k smallest of n numbers, in two ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import AssayError, Parameter, Variant, Verification, Work, verified
from harness.registry import resolve
from starter_bench.reference import smallest

SIZES = {"ci": 100_000, "small": 1_000_000, "medium": 4_000_000, "paper": 10_000_000}


@dataclass
class State:
    """What a step works on, and what it made."""

    numbers: np.ndarray
    k: int
    find: Callable[[np.ndarray, int], np.ndarray]
    found: np.ndarray | None = None


class Smallest:
    """The k smallest numbers, in ascending order."""

    name = "starter_bench"
    version = (
        "1"  # another version starts a new history: bump it when numbers stop being comparable
    )
    parameters: Mapping[str, Parameter] = {
        "n": Parameter(SIZES["ci"], "how many numbers there are"),
        "k": Parameter(100, "how many of them are wanted"),
    }
    variants = (
        Variant("sort", run="starter_bench.variants:sort", baseline=True),
        Variant("partition", run="starter_bench.variants:partition"),
    )

    def cases(self, size: str) -> Iterator[dict[str, int]]:
        """Yield the parameters of each case of a size; `ci` takes seconds."""
        for k in (100, 10_000):
            yield {"n": SIZES[size], "k": k}

    def check(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse what cannot be meant, before anything is planned."""
        if not 1 <= params["k"] <= params["n"]:
            raise AssayError(f"k={params['k']} of n={params['n']} numbers; give 1 <= k <= n")
        return params

    def prepare(
        self, device: object, variant: Variant, params: Mapping[str, Any], seed: int
    ) -> State:
        """Make the input; the variant's code is imported here, in the worker."""
        numbers = np.random.default_rng(seed).random(params["n"])
        return State(numbers, params["k"], resolve(variant.run))

    def step(self, state: State) -> None:
        """Do what is timed."""
        state.found = state.find(state.numbers, state.k)

    def verify(self, state: State) -> Verification:
        """Compare with the reference: a wrong output is never timed."""
        self.step(state)
        right = smallest(state.numbers.tolist(), state.k)
        error = np.inf if state.found is None else np.abs(state.found - np.array(right)).max()
        return verified(error, 0.0, "heapq.nsmallest, every number")

    def work(self, state: State) -> Work:
        """Say what a step does: times are shown per number; all are read at least once."""
        size = state.numbers.nbytes
        return Work(
            items=state.numbers.size, item="number", bytes={"memory": size}, working_set_bytes=size
        )


WORKLOAD = Smallest()
