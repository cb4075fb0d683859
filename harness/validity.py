"""Reads one stored record, which anybody may have written: bounded, whole, and possible.

A file of the right form can still hold what no run writes: no items, a date in another age, a list
for a machine's name. That is told here, once, so that nothing else that reads results meets it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import AssayError
from harness.records import Measurement, Result, Work

SCHEMA = 1
"""Raised when a reader of the old form would misread the new one; adding a field does not."""

MAX_FILE_BYTES = 64 << 20
"""A result of 10,000 samples with noise is about 2 MB; anything far beyond is not ours."""

MAX_TIME_S = 4102444800.0
"""Unix time of the year 2100: no result starts later, and none takes as long."""

MAX_MAGNITUDE = 1e18
"""A sample in SI units: 30 billion years, an exabyte, an exajoule."""

MAX_WORK = 1e24
"""Items, FLOP or bytes of one step: a million exaFLOP, a year of the fastest machine's work."""

MIN_POSITIVE = 1e-24
"""A quotient of two numbers within these limits, and its square, are still finite floats."""

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A commit's name by SHA-1 or SHA-256, in full."""

_ENVELOPE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_Record = TypeVar("_Record")


def read_result(path: Path) -> Result:
    """Read one result file.

    Raises:
        AssayError: it is not whole, not a result, too large, a link, of a newer Assay, or holds
            what cannot have been measured.
    """
    result = read_record(path, Result, "result")
    if (found := flaw(result)) is not None:
        raise _damaged(path, found)
    return result


def started_at(path: Path) -> float:
    """Return when a result was started, Unix time in s; 0 where that cannot be told."""
    try:
        start_s = read_record(path, _Start, "result").started_at
    except AssayError:
        return 0.0
    return start_s if 0 <= start_s <= MAX_TIME_S else 0.0


def read_record(path: Path, kind: type[_Record], key: str) -> _Record:
    """Read the record of that kind under `key`; links are not followed and pipes not waited for.

    Raises:
        AssayError: it is not whole, of another kind, too large, a link, or of a newer Assay.
    """
    body = _read_bounded(path)
    try:
        envelope = _ENVELOPE.decode(body)
        schema = msgspec.json.decode(envelope["schema"], type=int)
        if schema > SCHEMA:
            raise AssayError(
                f"{path} was written by a newer Assay (schema {schema}, this one reads {SCHEMA}); "
                "upgrade with `pip install -U assay`"
            )
        return msgspec.json.decode(envelope[key], type=kind)
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(
            path, f"no {error}" if isinstance(error, KeyError) else str(error)
        ) from error


def flaw(result: Result) -> str | None:
    """Return what in a result cannot have been measured, in a few words; None where all can."""
    return next(_flaws(result), None)


@dataclass(frozen=True, slots=True)
class _Start:
    """The one field of a result that tells when it was started."""

    started_at: float = 0.0


def _damaged(path: Path, why: str) -> AssayError:
    return AssayError(f"{path} is damaged ({why}); move it away or restore it")


def _read_bounded(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise AssayError(f"{path} cannot be read ({error.strerror}); move it away") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise AssayError(f"{path} is damaged (not a regular file); move it away")
        if found.st_size > MAX_FILE_BYTES:
            raise AssayError(f"{path} is damaged (over {MAX_FILE_BYTES >> 20} MiB); move it away")
        # One read of the size that the file has: room for the largest takes longer than decoding.
        return os.read(descriptor, found.st_size)
    except OSError as error:
        raise AssayError(f"{path} cannot be read ({error.strerror}); move it away") from error
    finally:
        os.close(descriptor)


def _flaws(result: Result) -> Iterator[str]:
    for name, value in (("started_at", result.started_at), ("duration_s", result.duration_s)):
        if not 0 <= value <= MAX_TIME_S:
            yield f"{name} is {value:g} s"
    yield from _environment_flaws(result.environment)
    if result.work is not None:
        yield from _work_flaws(result.work)
    for measurement in result.measurements:
        yield from _measurement_flaws(measurement)
    for ceiling in result.ceilings:
        for rate in ceiling.values:
            if not MIN_POSITIVE <= rate <= MAX_MAGNITUDE:
                yield f"a ceiling of {ceiling.quantity[:40]} is {rate:g}"


def _environment_flaws(environment: Mapping[str, Any]) -> Iterator[str]:
    for name in ("machine", "id", "commit"):
        if not isinstance(environment.get(name), str | None):
            yield f"environment.{name} is not text"
    commit = environment.get("commit")
    if isinstance(commit, str) and not COMMIT.fullmatch(commit):
        yield "environment.commit is not 40 hexadecimal digits"
    if not isinstance(environment.get("dirty"), bool | None):
        yield "environment.dirty is neither true nor false"
    date = environment.get("commit_time")
    if date is not None and (
        isinstance(date, bool) or not isinstance(date, int | float) or not 0 <= date <= MAX_TIME_S
    ):
        yield "environment.commit_time is no time before the year 2100"


def _work_flaws(work: Work) -> Iterator[str]:
    if not MIN_POSITIVE <= work.items <= MAX_WORK:
        yield f"work.items is {work.items:g}"
    for name, amounts in (("flops", work.flops), ("bytes", work.bytes)):
        for amount in amounts.values():
            if not 0 <= amount <= MAX_WORK:
                yield f"work.{name} is {amount:g}"


def _measurement_flaws(measurement: Measurement) -> Iterator[str]:
    name, values = measurement.quantity[:40], measurement.values
    # Of most measurements the least, the largest and the sum (for NaN) say that all are ordinary.
    ordinary = not values or (
        MIN_POSITIVE <= min(values) <= max(values) <= MAX_MAGNITUDE and isfinite(sum(values))
    )
    if not ordinary:
        for value in values:
            if not (value == 0 or MIN_POSITIVE <= abs(value) <= MAX_MAGNITUDE):
                yield f"a value of {name} is {value:g}"
    if len(measurement.noise) not in (0, len(values)):
        yield f"{name} has {len(values)} values and noise of {len(measurement.noise)}"
    if measurement.steps_per_sample < 1:
        yield f"{name} has {measurement.steps_per_sample} steps a sample"
