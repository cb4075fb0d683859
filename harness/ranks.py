"""What several ranks agree on, so that the one sampling loop runs on all of them in step.

Every rank sees the same readings (the slowest rank's, for time) and the same clock (rank 0's), so
every rank takes the same decision wherever the loop decides: how many steps fill a window, whether
the warm-up is over, whether there are samples enough. Nothing here imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import limits
from harness.errors import AssayError
from harness.protocols import Group, Meter, MeterError
from harness.records import Facts, Measurement, Params, Status, Verification

WORLD_SIZE = "world_size"
"""The parameter that says on how many ranks a case runs."""

MAX_LOCAL_RANKS = 128
"""Several times the devices of any host; more would only starve it."""

SKEW = "rank_skew"
"""The key under which a sample's noise keeps how far its ranks lay apart."""

COLLECTIVES: Mapping[str, str] = {"cpu": "gloo", "cuda": "nccl", "hpu": "hccl"}
"""The backend of torch.distributed for each type of torch device."""

_BARRIERS = 20
"""To measure one by: the fastest counts, so that a preemption does not."""

_BARRIERS_A_WINDOW = 100
"""Ranks leave a barrier no further apart than it takes: 100 of them keep that under 1 %."""

_LONGEST_WINDOW_S = 0.1
"""What barriers may ask for. They take ms where ranks share processors, and tell nothing there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the ranks this process is, as torch's launchers say it in the environment.

    Attributes:
        rank: among all.
        size: how many there are.
        local_rank: among those of this host.
        local_size: how many there are on this host.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @classmethod
    def from_environment(cls) -> Place:
        """Read RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE.

        Raises:
            AssayError: one is not there or no number.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        try:
            return cls(*(int(os.environ[name]) for name in names))
        except (KeyError, ValueError) as error:
            raise AssayError(
                f"no rank: {', '.join(names)} are not all set; start this with torchrun"
            ) from error


@dataclass(frozen=True, slots=True)
class Alone:
    """The group of a process that measures by itself."""

    rank: int = field(default=0, init=False)
    size: int = field(default=1, init=False)
    hosts: Sequence[int] = field(default=(0,), init=False)

    def barrier(self) -> None:
        """Return."""

    def broadcast(self, value: Any) -> Any:
        """Return the value."""
        return value

    def gather(self, value: Any) -> Sequence[Any]:
        """Return the one value."""
        return [value]

    def environment(self) -> Facts:
        """Return {}."""
        return {}


def world_size(params: Params) -> int:
    """Return on how many ranks a case of these parameters runs; 1 where they do not say."""
    return int(params.get(WORLD_SIZE, 1))


def device_index(features: frozenset[str], local_rank: int) -> int:
    """Return which device is a rank's: each its own accelerator, all together the one host."""
    return 0 if "host" in features else local_rank


def thread_share(local_size: int) -> dict[str, str]:
    """Return the variables that give each rank of this host its share of the processors."""
    return limits.thread_environment(max(1, len(os.sched_getaffinity(0)) // local_size))


def agreed_clock(group: Group) -> Callable[[], float]:
    """Return a clock that reads the same s on every rank: rank 0's."""
    if group.size == 1:
        return time.monotonic
    return lambda: float(group.broadcast(time.monotonic()))


def agreed_meter(meter: Meter, group: Group, barrier_s: float) -> Meter:
    """Return the meter that reads the same on every rank, from `meter` on each of them.

    A window opens behind a barrier. Time, and a peak, are those of the rank with the most; energy
    is the sum over what was metered, a device once for each rank and the rest once a host.

    Args:
        meter: this rank's.
        group: all ranks; with one there is nothing to agree on.
        barrier_s: what a barrier of this group takes; windows are as long as to hide it.
    """
    if group.size == 1:
        return meter
    window_s = meter.min_window_s
    # A meter without a shortest window, such as that of a peak, does not mind when it opens.
    if window_s > 0:
        window_s = max(window_s, min(_BARRIERS_A_WINDOW * barrier_s, _LONGEST_WINDOW_S))
    return _AgreedMeter(meter, group, float(group.broadcast(window_s)))


def barrier_s(group: Group) -> float:
    """Return what a barrier of this group takes when nothing is in its way, s."""
    found = []
    for _ in range(_BARRIERS if group.size > 1 else 1):
        started = time.perf_counter()
        group.barrier()
        found.append(time.perf_counter() - started)
    return min(found)


def worst(verifications: Sequence[Verification]) -> Verification:
    """Return the verification of the rank that is furthest off, named where it is rejected."""

    def badness(rank: int) -> tuple[bool, bool, float]:
        found = verifications[rank]
        share = 0.0 if found.error is None else found.error / (found.tolerance or 1.0)
        return not found.passed, found.error is None, share

    rank = max(range(len(verifications)), key=badness)
    found = verifications[rank]
    if found.passed or len(verifications) == 1:
        return found
    detail = f"rank {rank} of {len(verifications)}" + (f": {found.detail}" * bool(found.detail))
    return replace(found, detail=detail)


def apart(time_: Measurement) -> tuple[Measurement, ...]:
    """Return the measurement of time, and of the skew of its samples as a quantity of its own.

    A sample is the slowest rank's time; its skew is by how much the fastest rank was faster.
    """
    skews = tuple(sample[SKEW] for sample in time_.noise if SKEW in sample)
    if not skews:
        return (time_,)
    noise = tuple({k: v for k, v in one.items() if k != SKEW} for one in time_.noise)
    skew = Measurement(
        "skew",
        time_.unit,
        "ranks",
        time_.meter,
        values=skews,
        steps_per_sample=time_.steps_per_sample,
        status=time_.status,
    )
    return replace(time_, noise=noise), skew


@dataclass(slots=True)
class _AgreedMeter:
    """This rank's meter, whose readings are agreed on by all ranks."""

    inner: Meter
    group: Group
    min_window_s: float
    skew: float = field(default=0.0, init=False)

    @property
    def quantity(self) -> str:
        return self.inner.quantity

    @property
    def unit(self) -> str:
        return self.inner.unit

    @property
    def scope(self) -> str:
        return self.inner.scope

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def status(self) -> Status:
        return getattr(self.inner, "status", Status.MEASURED)

    def unavailable(self) -> str | None:
        return _first_reason(self.group.gather(self.inner.unavailable()))

    def start(self) -> Any:
        self.group.barrier()
        try:
            return self.inner.start()
        except MeterError as error:
            # Raised when all close the window: a rank that left now would answer other questions.
            return error

    def stop(self, token: Any) -> float:
        value, reason = 0.0, None
        try:
            if isinstance(token, MeterError):
                raise token
            value = self.inner.stop(token)
        except MeterError as error:
            reason = str(error)
        readings = self.group.gather((value, reason))
        if (why := _first_reason([reason for _, reason in readings])) is not None:
            raise MeterError(why)
        values = [value for value, _ in readings]
        self.skew = max(values) - min(values)
        return self._together(values)

    def _together(self, values: Sequence[float]) -> float:
        if self.quantity != "energy":
            return max(values)
        owners = range(self.group.size) if self.scope == "device" else self.group.hosts
        most: dict[int, float] = {}
        for owner, value in zip(owners, values, strict=True):
            most[owner] = max(value, most.get(owner, value))
        return sum(most.values())


def _first_reason(reasons: Sequence[str | None]) -> str | None:
    return next(
        (f"rank {rank}: {reason}" for rank, reason in enumerate(reasons) if reason is not None),
        None,
    )
