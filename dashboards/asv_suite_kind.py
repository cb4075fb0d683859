"""The kind of asv benchmark that a workload's quantity is."""

from __future__ import annotations

import re
from typing import Any

from asv_runner.benchmarks import benchmark_types
from asv_runner.benchmarks.track import TrackBenchmark

from dashboards.asv_cell import QUANTITIES

REPEAT = 4
"""Processes a round; asv's own `--attribute repeat=N` and `--quick` change it."""

ROUNDS = 2
"""`asv continuous` takes them by turns between the commits. With 4 processes each there are 8 a
side: from 7 on asv's Mann-Whitney test can tell two commits apart at all."""


class QuantityBenchmark(TrackBenchmark):  # type: ignore[misc]  # asv_runner ships no types
    """A function named after its workload and quantity, which returns the processes' medians."""

    # asv tells kinds apart by the last part of a name, and exported series are named by quantity.
    name_regex = re.compile(rf"({'|'.join(quantity.name for quantity in QUANTITIES)})$")

    def run(self, *values: Any) -> Any:
        """Call the function with the number of processes that asv was asked for."""
        sources = (source for source in self._attr_sources if hasattr(source, "repeat"))
        return self.func(*values, repeat=next(sources).repeat)


def register() -> None:
    """Let asv_runner know of this kind; it reads no other list in this process."""
    if QuantityBenchmark not in benchmark_types:
        benchmark_types.append(QuantityBenchmark)
