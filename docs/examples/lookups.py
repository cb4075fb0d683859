"""The same as a workload of Assay: what was compared is a variant, and the answer is verified."""

from harness import Parameter, Variant, Work, verified


class Lookup:
    name, version = "lookups", "1"
    parameters = {"n": Parameter(1_000, "how many numbers are looked through")}
    variants = (
        Variant("list", run="lookups:as_list", baseline=True),
        Variant("set", run="lookups:as_set"),
    )

    def cases(self, size):
        for n in {"ci": (1_000, 20_000), "small": (100_000,)}.get(size, (1_000_000,)):
            yield {"n": n}

    def prepare(self, device, variant, params, seed):
        n = params["n"]
        numbers = globals()[f"as_{variant.name}"](n)
        return {"n": n, "numbers": numbers, "wanted": range(0, 2 * n, n // 50), "hits": None}

    def step(self, state):
        numbers = state["numbers"]
        state["hits"] = [number in numbers for number in state["wanted"]]

    def verify(self, state):
        self.step(state)
        right = [number < state["n"] for number in state["wanted"]]
        wrong = sum(one != other for one, other in zip(state["hits"], right, strict=True))
        return verified(wrong, 0, "number < n")

    def work(self, state):
        return Work(items=len(state["wanted"]), item="lookup")

    def counters(self, state):
        return {"hits": sum(state["hits"])}


def as_list(n):
    return list(range(n))


def as_set(n):
    return set(range(n))


WORKLOAD = Lookup()
