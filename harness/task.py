"""What the parent sends to a worker and what a worker answers, as JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from harness.measure import Sampling
from harness.records import Case, Facts, Result, Variant

NOT_REGISTERED = "not_registered"
"""Flag of a failed result: this worker's commit has no such workload, variant, backend or
parameter."""

PROTOCOL = 1
"""Of tasks and answers. Raised when an older worker or parent would misread; a new field that has a
default does not: `assay ab` lets workers of other commits measure."""

BAD_INPUT = "bad_input"
"""Flag of a failed result whose reason is the user's to mend."""


@dataclass(frozen=True, slots=True)
class Task:
    """One case for one fresh worker.

    Attributes:
        case: what to measure.
        sampling: when to stop.
        process: which repetition of the case this is.
        backend: import path of the backend; empty for the one that the worker itself has
            registered under the case's name, and so for the next two.
        workload: import path of the workload.
        variant: the implementation.
        quantities: the only ones to measure; empty for all, and the workload's quality.
        environment: host facts, taken once by the parent.
        pin: CPUs to start the worker on; empty for all.
        memory_limit_bytes: private memory the worker may use; None for no limit.
        parent_pid: whose death ends the worker.
        folder: where the ranks of a case leave their answers; the parent makes and removes it.
        protocol: the version that the parent speaks.
    """

    case: Case
    sampling: Sampling
    process: int = 0
    backend: str = ""
    workload: str = ""
    variant: Variant | None = None
    quantities: tuple[str, ...] = ()
    environment: Facts = field(default_factory=dict)
    pin: tuple[int, ...] = ()
    memory_limit_bytes: int | None = None
    parent_pid: int = 0
    folder: str = ""
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a worker's answer: the phase it enters, or its result, which ends the answer.

    Attributes:
        protocol: the version that the worker speaks, in every line.
        phase: the phase that begins.
        result: what came of the case.
    """

    protocol: int = PROTOCOL
    phase: str = ""
    result: Result | None = None


def encode(record: Task | Message) -> bytes:
    """Return the record as one line of JSON."""
    return msgspec.json.encode(record) + b"\n"


def protocol_of(line: bytes) -> int:
    """Return the version that a line is written in; 0 where it does not say.

    Raises:
        msgspec.MsgspecError: the line is not JSON.
    """
    return msgspec.json.decode(line, type=_Spoken).protocol


@dataclass(frozen=True, slots=True)
class _Spoken:
    """The one field that every version has."""

    protocol: int = 0


def decode_task(line: bytes) -> Task:
    """Read a task."""
    return msgspec.json.decode(line, type=Task)


def decode_message(line: bytes) -> Message:
    """Read one line of an answer.

    Raises:
        msgspec.MsgspecError: the line is not a message.
    """
    return msgspec.json.decode(line, type=Message)
