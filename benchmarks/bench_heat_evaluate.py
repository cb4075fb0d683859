"""The blocked ranking of `heat` against a loop over users, interleaved, on one thread.

    python benchmarks/bench_heat_evaluate.py                 the ratio, from 5 rounds
    python benchmarks/bench_heat_evaluate.py --rounds 21 --looped 2048

The loop is what one writes first: one product of all items and a user, training items masked,
`argpartition`, and the sort of what is left. Both rank data of Gowalla's shape with normally
distributed factors, and must rank them alike. A round is one complete ranking of all users in
blocks, amid two halves of a loop over some of them.
"""

from __future__ import annotations

import argparse
import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # read once, when what they are for is loaded

from statistics import median  # noqa: E402
from time import perf_counter  # noqa: E402

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from workloads.heat import evaluate, synthetic  # noqa: E402
from workloads.heat.interactions import Ids, Interactions  # noqa: E402
from workloads.heat.training import Factors  # noqa: E402

USERS, ITEMS, INTERACTIONS, DIM = 29_858, 40_981, 810_128, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--looped", type=int, default=512, help="users of the loop in a round")
    chosen = parser.parse_args()
    random = np.random.default_rng(0)
    data = synthetic.generate(USERS, ITEMS, INTERACTIONS, seed=0)
    users = random.standard_normal((USERS, DIM), np.float32)
    items = random.standard_normal((ITEMS, DIM), np.float32)
    everyone = np.arange(USERS)
    ratios = []
    for number in range(-1, chosen.rounds):
        some = random.choice(USERS, chosen.looped, replace=False)
        times = [perf_counter()]
        looped = by_loop(users, items, data, some[::2])
        times.append(perf_counter())
        blocked = evaluate.best_items(users, items, data, everyone)
        times.append(perf_counter())
        by_loop(users, items, data, some[1::2])
        times.append(perf_counter())
        if (looped != blocked[some[::2]]).mean() > 1e-3:  # scores that are equal but for rounding
            raise SystemExit("the two do not rank alike")
        if number < 0:
            continue  # the first compiles
        first, all_blocked, second = np.diff(times)
        per_loop, per_block = 1e6 * (first + second) / some.size, 1e6 * all_blocked / USERS
        ratios.append(per_loop / per_block)
        print(f"loop {per_loop:.0f} us a user, blocked {per_block:.0f}, ratio {ratios[-1]:.1f}")
    print(f"median ratio {median(ratios):.1f}, least {min(ratios):.1f}")


def by_loop(
    user_factors: Factors,
    item_factors: Factors,
    data: Interactions,
    users: npt.NDArray[np.int64],
) -> Ids:
    """Return the best items of each user, one user at a time."""
    unit_items = evaluate.normalised(item_factors)
    best = np.empty((users.size, evaluate.TOP), np.int32)
    for row, user in enumerate(users):
        scores = unit_items @ user_factors[user]
        scores[data.train_items[data.train_ptr[user] : data.train_ptr[user + 1]]] = -np.inf
        first = np.argpartition(scores, -evaluate.TOP)[-evaluate.TOP :]
        best[row] = first[np.argsort(-scores[first])]
    return best


if __name__ == "__main__":
    main()
