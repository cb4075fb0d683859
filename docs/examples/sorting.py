"""A workload in about 20 lines: sort a random array."""

import numpy as np

from harness import Parameter, Variant, Work, verified


class Sorting:
    name, version = "sorting", "1"
    parameters = {"n": Parameter(100_000, "how many numbers are sorted")}
    variants = (
        Variant("quick", run="sorting:quick", baseline=True),
        Variant("stable", run="sorting:stable"),
    )

    def cases(self, size):
        yield {"n": {"ci": 100_000, "small": 1_000_000}.get(size, 10_000_000)}

    def prepare(self, device, variant, params, seed):
        numbers = np.random.default_rng(seed).random(params["n"])
        return {"numbers": numbers, "sort": globals()[variant.name], "sorted": None}

    def step(self, state):
        state["sorted"] = state["sort"](state["numbers"])

    def verify(self, state):
        self.step(state)
        wrong = np.count_nonzero(state["sorted"] != np.array(sorted(state["numbers"].tolist())))
        return verified(wrong, 0, "Python's sorted()")

    def work(self, state):
        return Work(items=state["numbers"].size, item="number")


def quick(numbers):
    return np.sort(numbers)


def stable(numbers):
    return np.sort(numbers, kind="stable")


WORKLOAD = Sorting()
