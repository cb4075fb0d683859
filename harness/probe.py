"""Measures a device's ceilings in a fresh process, with the pin, threads and environment of a run.

Started as `python -m harness.probe ANSWER_FD`, with the request on stdin.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness import limits
from harness.isolate import Ending, OtherProtocolError, converse, other_protocol
from harness.protocols import MeasuresCeilings
from harness.records import Ceiling
from harness.registry import resolve
from harness.task import PROTOCOL, protocol_of

_LOG_LINE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a probe.

    Attributes:
        ceilings: what was measured; empty where there is a reason.
        reason: why there are none, in one line.
    """

    ceilings: tuple[Ceiling, ...] = ()
    reason: str = ""


def measure_ceilings(
    backend_path: str,
    *,
    device_index: int,
    pin: Sequence[int],
    env: Mapping[str, str],
    timeout_s: float,
    python: str | Path = sys.executable,
) -> Probe:
    """Return the ceilings of a device, or the reason why there are none; a run goes on without.

    Args:
        backend_path: import path of the backend.
        device_index: which of its devices.
        pin: CPUs that the run's workers run on; empty for all.
        env: variables that the workers are started with.
        timeout_s: after this long the probe is killed.
        python: the interpreter of the probe, which imports its own Assay.

    Raises:
        AssayError: there is no such interpreter, or `pin` names a CPU that is not there; no worker
            would start either.
    """
    heard: list[Probe] = []

    def take(line: bytes) -> bool:
        spoken = protocol_of(line)
        if spoken == 0:
            raise ValueError("no answer of a probe")
        if spoken != PROTOCOL:
            raise other_protocol(spoken)
        heard.append(msgspec.json.decode(line, type=_Answer).probe)
        return True

    request = _Request(backend_path, device_index, os.getpid())
    try:
        ending = converse(
            "harness.probe",
            msgspec.json.encode(request),
            take,
            timeout_s=timeout_s,
            env=env,
            pin=pin,
            python=python,
        )
    except OtherProtocolError as error:
        return Probe(reason=str(error))
    return heard[0] if heard else Probe(reason=_silence(ending, timeout_s))


def main() -> None:
    """Read the request from standard input, measure, and answer on the descriptor in argv."""
    answer = int(sys.argv[1])
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=_Request)
    limits.die_with_parent(request.parent_pid)
    limits.no_core_dumps()
    line = msgspec.json.encode(_Answer(_probed(request))) + b"\n"
    while line:
        line = line[os.write(answer, line) :]


@dataclass(frozen=True, slots=True)
class _Request:
    backend: str
    device_index: int
    parent_pid: int
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class _Answer:
    probe: Probe
    protocol: int = PROTOCOL


def _probed(request: _Request) -> Probe:
    # A driver or kernel may fail in any way; the run is worth more than its ceilings.
    try:
        device = resolve(request.backend).open(request.device_index)
        if not isinstance(device, MeasuresCeilings):
            return Probe(reason="its device has no ceilings(); its results are held against none")
        ceilings = tuple(device.ceilings())
    except BaseException as error:
        return Probe(reason=" ".join(f"{type(error).__name__}: {error}".split())[:500])
    for ceiling in ceilings:
        if not ceiling.values or not all(0 < value < math.inf for value in ceiling.values):
            named = f"{ceiling.quantity} of {ceiling.level}"
            return Probe(reason=f"its device measured {list(ceiling.values)} as {named}")
    return Probe(ceilings) if ceilings else Probe(reason="its device measured none")


def _silence(ending: Ending, timeout_s: float) -> str:
    if ending.timed_out:
        return f"the probe ran longer than {timeout_s:g} s"
    last = (ending.log_tail.strip().splitlines() or ["without a word"])[-1]
    return f"the probe ended with status {ending.status}: {last[:_LOG_LINE_CHARACTERS]}"


if __name__ == "__main__":
    main()
