"""How asv would have it: is a number among n others?"""


class Lookup:
    params = ([1_000, 20_000], ["list", "set"])
    param_names = ("n", "kind")

    def setup(self, n, kind):
        self.numbers = {"list": list, "set": set}[kind](range(n))
        self.wanted = range(0, 2 * n, n // 50)

    def time_lookup(self, n, kind):
        for number in self.wanted:
            number in self.numbers  # noqa: B015

    def peakmem_lookup(self, n, kind):
        self.time_lookup(n, kind)

    def track_hits(self, n, kind):
        return sum(number in self.numbers for number in self.wanted)
