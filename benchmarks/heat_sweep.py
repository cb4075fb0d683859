"""How `block` and `heat` scale, in rounds of whole trainings by turns, with the recall of each.

    python benchmarks/heat_sweep.py threads                 1, 2, ... up to the cores
    python benchmarks/heat_sweep.py dim                     32 to 512 columns
    python benchmarks/heat_sweep.py negatives               16 to 1,024
    python benchmarks/heat_sweep.py batch                   32 to 512 interactions that share them
    python benchmarks/heat_sweep.py instructions            every instruction set of this processor
    python benchmarks/heat_sweep.py size                    to Goodreads' .8 M users, 1.6 M items
    python benchmarks/heat_sweep.py spread                  what threads without locks change
    NUMBA_NUM_THREADS=1 python benchmarks/heat_sweep.py long --data gowalla --rounds 1 --seed 1
                                                            to the published recall
    python benchmarks/heat_sweep.py batch --data gowalla    on a data set instead of synthetic data

Times are of the training alone, shuffling included; the least of the rounds is told, as anything
else on the machine only adds, and the ratio to the first line is the median over the rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import truediv
from statistics import mean, median, stdev
from time import perf_counter
from typing import Any, NamedTuple

import numba
import pandas as pd

from workloads.heat import block, evaluate, interactions, synthetic
from workloads.heat.host_sgd import HostSgd
from workloads.heat.instruction_sets import available
from workloads.heat.interactions import Interactions
from workloads.heat.settings import Settings, data_folder, settings
from workloads.heat.training import Training, training

GOWALLA = {"users": 29_858, "items": 40_981, "interactions": 810_128}
SHAPES = {
    "Gowalla": GOWALLA,
    "4x Gowalla": {name: 4 * count for name, count in GOWALLA.items()},
    "Goodreads": {"users": 810_000, "items": 1_560_000, "interactions": 10_000_000},
}
"""Of Goodreads as HEAT gives it, with so many interactions as a few minutes allow."""

CORES = numba.get_num_threads()

MEDIUM: dict[str, Any] = {
    "dim": 128, "negatives": 256, "epochs": 4, "margin": 0.6, "weight": 80.0, "lr_end": 0.15,
}  # fmt: skip

LONG: dict[str, Any] = {
    "dim": 384, "negatives": 1_024, "epochs": 36, "margin": 0.9, "weight": 150.0, "lr_end": 0.05,
    "batch": 256,
}  # fmt: skip
"""Comes to, or near, the Recall@20 that is published for MF-CCL on Gowalla (.1837), by the seed."""


class Line(NamedTuple):
    """One line of a sweep: its name, and what makes its trainer anew."""

    name: str
    make: Callable[[], HostSgd]
    told: Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", choices=[*SWEEPS, "spread"])
    parser.add_argument("--data", help="a data set instead of synthetic data of Gowalla's shape")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=MEDIUM["epochs"])
    chosen = parser.parse_args()
    told = settings({**MEDIUM, "epochs": chosen.epochs})
    if chosen.sweep == "spread":
        print(spread(read(chosen.data), told, chosen.rounds).to_string(index=False))
        return
    data = None if chosen.sweep == "size" else read(chosen.data)
    lines = SWEEPS[chosen.sweep](data, told, chosen.seed)
    print(measured(lines, chosen.rounds).to_string(index=False))


def read(name: str | None) -> Interactions:
    """Return a data set, or synthetic interactions."""
    if name is None:
        return synthetic.generate(**GOWALLA, seed=0)
    return interactions.read(data_folder(name))


def line(
    name: str, data: Interactions, told: Settings, seed: int, kind: int = 0, threads: int = 0
) -> Line:
    """Return a line that trains `block` on the `kind`-th quickest instruction set."""
    start = training(data, told, seed)

    def make() -> HostSgd:
        numba.set_num_threads(threads or CORES)
        return HostSgd(start, block.algorithm(available()[kind]))

    return Line(name, make, start)


def by_setting(name: str, *values: int) -> Callable[[Interactions, Settings, int], list[Line]]:
    """Return a sweep over a setting."""
    changed: Callable[..., Settings] = replace
    return lambda data, told, seed: [
        line(f"{name} {value}", data, changed(told, **{name: value}), seed) for value in values
    ]


def by_threads(data: Interactions, told: Settings, seed: int) -> list[Line]:
    counts = range(1, CORES + 1)
    return [line(f"threads {count}", data, told, seed, threads=count) for count in counts]


def by_instructions(data: Interactions, told: Settings, seed: int) -> list[Line]:
    return [line(kind.name, data, told, seed, kind=place) for place, kind in enumerate(available())]


def by_size(data: object, told: Settings, seed: int) -> list[Line]:
    return [
        line(name, synthetic.generate(**shape, seed=0), told, seed)
        for name, shape in SHAPES.items()
    ]


def by_recipe(data: Interactions, told: Settings, seed: int) -> list[Line]:
    return [line(f"long, seed {seed}", data, settings(LONG), seed)]


SWEEPS: dict[str, Callable[[Any, Settings, int], list[Line]]] = {
    "threads": by_threads,
    "dim": by_setting("dim", 32, 64, 128, 256, 512),
    "negatives": by_setting("negatives", 16, 64, 256, 1_024),
    "batch": by_setting("batch", 32, 64, 128, 256, 512),
    "instructions": by_instructions,
    "size": by_size,
    "long": by_recipe,
}


def measured(lines: Sequence[Line], rounds: int) -> pd.DataFrame:
    """Train every line once a round and return times, ratios and the recall of the last."""
    trainers = [one.make() for one in lines]
    times: list[list[float]] = [[] for _ in lines]
    for _ in range(rounds):
        for trainer, taken in zip(trainers, times, strict=True):
            trainer.reset()
            started = perf_counter()
            trainer.train()
            taken.append(perf_counter() - started)
    table = []
    for one, trainer, taken in zip(lines, trainers, times, strict=True):
        told, data = one.told.settings, one.told.interactions
        steps = told.epochs * data.train_items.size
        found = evaluate.of_factors(*trainer.factors(), data)
        products = told.dim * told.negatives * steps
        table.append(
            {
                "": one.name,
                "ns an interaction": f"{1e9 * min(taken) / steps:.0f}",
                "s an epoch": f"{min(taken) / told.epochs:.3f}",
                "of the first": f"{median(map(truediv, taken, times[0])):.2f}",
                "G products/s": f"{1e-9 * products / min(taken):.0f}",
                "recall@20": f"{found.recall:.5f}",
                "ndcg@20": f"{found.ndcg:.5f}",
            }
        )
    return pd.DataFrame(table)


def spread(data: Interactions, told: Settings, rounds: int) -> pd.DataFrame:
    """Return how recall varies over equal trainings on all threads, and over seeds on one."""
    everyone = CORES
    table = []
    for name, threads, seeds in (
        (f"one seed, {everyone} threads", everyone, [0] * rounds),
        ("one seed, 1 thread", 1, [0] * rounds),
        (f"seeds, {everyone} threads", everyone, range(rounds)),
        ("seeds, 1 thread", 1, range(rounds)),
    ):
        numba.set_num_threads(threads)
        recalls = []
        for seed in seeds:
            trainer = HostSgd(training(data, told, seed), block.algorithm(available()[0]))
            trainer.train()
            recalls.append(evaluate.of_factors(*trainer.factors(), data).recall)
        table.append(
            {
                "": name,
                "trainings": rounds,
                "mean recall@20": f"{mean(recalls):.5f}",
                "standard deviation": f"{stdev(recalls):.5f}",
                "least": f"{min(recalls):.5f}",
                "most": f"{max(recalls):.5f}",
            }
        )
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
