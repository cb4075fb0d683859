"""The plain values that Assay passes around and stores: cases, measurements, results.

SI units throughout (s, B, J, FLOP). Every record is frozen; a verb on a record is a function that
returns a new one. `harness.store` writes them as JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, SupportsFloat

Scalar = bool | int | float | str
"""A parameter's value."""

Params = Mapping[str, Scalar]
"""The parameters of one case, in the order in which the workload declares them."""

Facts = Mapping[str, Any]
"""Facts as JSON values: strings, numbers, booleans, null, lists and mappings of these."""


class Outcome(StrEnum):
    """How one case ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a workload; the type of `default` is the type of every value.

    Attributes:
        default: the value where a case does not name one.
        help: one line for `assay list`.
        choices: the allowed values; empty where any value of the type may be tried.
    """

    default: Scalar
    help: str
    choices: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One implementation of a workload.

    Attributes:
        name: unique in its workload.
        run: import path `package.module:callable` of the implementation, resolved only in the
            worker; what it is called with is the workload's own affair.
        baseline: whether speed-ups of the other variants are taken against this one.
        requires: backend features without which the variant is skipped.
        packages: importable modules without which the variant is skipped.
    """

    name: str
    run: str
    baseline: bool = False
    requires: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: workload x variant x backend x params x seed."""

    workload: str
    version: str
    variant: str
    backend: str
    params: Params
    seed: int = 0
    device_index: int = 0

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name this case, equal on every machine."""
        canonical = json.dumps(
            [self.workload, self.version, self.variant, self.backend, dict(self.params), self.seed,
             self.device_index],
            sort_keys=True,
            separators=(",", ":"),
        )  # fmt: skip
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The case in one readable line."""
        params = " ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.workload}/{self.variant} on {self.backend} {params}".rstrip()


@dataclass(frozen=True, slots=True)
class Work:
    """What one step does, for rates and ceilings that are derived when shown.

    Attributes:
        items: how many items one step processes; headline numbers are per item.
        item: what an item is, singular ("interaction", "product").
        flops: floating-point operations a step, by dtype name ("float32").
        bytes: bytes moved a step, by level ("memory", "disk", "link").
        working_set_bytes: what must stay at hand between steps; decides which cache level holds it.
    """

    items: float = 1.0
    item: str = "step"
    flops: Mapping[str, float] = field(default_factory=dict)
    bytes: Mapping[str, float] = field(default_factory=dict)
    working_set_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the output is from a slow, obvious reference.

    Attributes:
        error: the measured distance, in the same unit as `tolerance`; None where it is not finite.
        tolerance: the largest distance that passes.
        reference: which reference, and what of it was compared ("float64 NumPy, all rows").
        passed: whether the output is accepted; NaN errors never are.
        detail: what to look at when it is not.
    """

    error: float | None
    tolerance: float
    reference: str
    passed: bool
    detail: str = ""


def verified(
    error: SupportsFloat, tolerance: SupportsFloat, reference: str, detail: str = ""
) -> Verification:
    """Return the verification that passes where `error <= tolerance`, so never for a NaN."""
    distance, bound = float(error), float(tolerance)
    return Verification(
        error=distance if math.isfinite(distance) else None,
        tolerance=bound,
        reference=reference,
        passed=distance <= bound,
        detail=detail,
    )


class Status(StrEnum):
    """How a measurement's values came about."""

    MEASURED = "measured"
    INTEGRATED = "integrated"
    MODELLED = "modelled"
    UNAVAILABLE = "unavailable"
    UNRESOLVABLE = "unresolvable"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The samples of one quantity, taken in a pass of their own.

    Attributes:
        quantity: "time", "peak_memory", "energy", ...
        unit: SI unit of `values`: "s", "B", "J".
        scope: what the meter saw: "process", "package", "device", ...
        meter: the meter's name.
        phase: the part of the case that was sampled; "steady" is after warm-up.
        values: one value a sample, each per step (a peak as it is); empty where none is to trust.
        steps_per_sample: how many steps one sample timed together.
        noise: one mapping a sample: what disturbed it, as deltas over the sample's window.
        status: how the values came about.
        reason: why the quantity is unavailable or unresolvable, and the fix; empty otherwise.
        flags: what a reader must know before trusting the values.
    """

    quantity: str
    unit: str
    scope: str
    meter: str
    phase: str = "steady"
    values: tuple[float, ...] = ()
    steps_per_sample: int = 1
    noise: tuple[Mapping[str, float], ...] = ()
    status: Status = Status.MEASURED
    reason: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that a device was seen to do of one kind, measured at the start of the run.

    Attributes:
        quantity: "memory_rate", "disk_rate" or "flop_rate".
        level: where the data lie ("L2", "L3", "DRAM", "device", "disk"), or the dtype ("float32").
        unit: "B/s" or "FLOP/s".
        values: one rate a repetition.
        size_bytes: how much data was read; None for a FLOP rate.
        method: what was run ("numba read", "torch matmul").
    """

    quantity: str
    level: str
    unit: str
    values: tuple[float, ...]
    size_bytes: float | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class Quality:
    """What speed must not cost, measured in a pass of its own: `{"recall@20": 0.18}`."""

    values: Mapping[str, float]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case in one fresh worker process.

    Attributes:
        case: what was asked for.
        outcome: how it ended; only `ok` carries measurements.
        reason: one line for every outcome but `ok`.
        phase: the last phase that was entered (prepare, verify, warm-up, time, ...).
        started_at: Unix time, s.
        duration_s: wall time of the whole worker.
        process: which repetition of the case in its run this is, from 0.
        spans: named phases of the worker in s (import, prepare, ...).
        counters: counts the workload keeps (bytes read, recompiles).
        inputs: facts about the input that was really used (rows, nnz, digest of a file).
        ceilings: what bounds this case on its device, of those that the run measured.
        environment: what was true of the machine, the software and the commit.
        traceback: the tail of the Python traceback where there is one.
        log_tail: the end of what the worker printed.
    """

    case: Case
    outcome: Outcome
    reason: str = ""
    phase: str = ""
    started_at: float = 0.0
    duration_s: float = 0.0
    process: int = 0
    verification: Verification | None = None
    work: Work | None = None
    measurements: tuple[Measurement, ...] = ()
    quality: Quality | None = None
    spans: Mapping[str, float] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    inputs: Facts = field(default_factory=dict)
    ceilings: tuple[Ceiling, ...] = ()
    environment: Facts = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    traceback: str = ""
    log_tail: str = ""

    def measurement(self, quantity: str) -> Measurement | None:
        """Return the measurement of `quantity`, or None where none was taken."""
        for measurement in self.measurements:
            if measurement.quantity == quantity:
                return measurement
        return None
