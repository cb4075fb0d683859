"""Accelerator utilisation: the share of a training's time in which the device computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import AssayError

FIRST, LAST = 1, 0
"""Steps left out at the edges, as DLIO does by default (`metric_exclude_*_steps` in its config)."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """One training step.

    Attributes:
        load_s: waiting for the batch.
        compute_s: computing on it, until the device has finished.
    """

    load_s: float
    compute_s: float


def accelerator_utilisation(
    steps: Sequence[StepTime], total_s: float, *, first: int = FIRST, last: int = LAST
) -> float:
    """Return the share of the time that goes into computation, between 0 and 1.

    As the DLIO benchmark, which MLPerf Storage runs, has it (`compute_metrics_train` in
    `dlio_benchmark/utils/statscounter.py`): the computation of the counted steps over the time of
    the whole epoch less the loading and computation of the steps left out. What happens between
    steps counts as time in which nothing is computed.

    Args:
        steps: of one epoch on one rank.
        total_s: from before the first batch is asked for until after the last step.
        first: steps left out at the beginning, while the pipeline fills.
        last: steps left out at the end.

    Raises:
        AssayError: no step is left to count.
    """
    end = len(steps) - last
    counted = steps[first:end]
    if not counted:
        raise AssayError(
            f"utilisation needs more than {first + last} steps an epoch, not {len(steps)}; "
            "take a smaller batch or more samples"
        )
    left_out = sum(step.load_s + step.compute_s for step in (*steps[:first], *steps[end:]))
    return sum(step.compute_s for step in counted) / (total_s - left_out)
