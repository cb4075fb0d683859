"""Plans as files: made once, followed by any rank, and resumed at any epoch without planning again.

A plan file is little-endian and has a header and one record for each epoch from 0::

    header   8 bytes   b"assayPLN"
             u32       version of this form, 1
             i64 x 6   samples, batch, ranks, slots, epochs, seed
             u32       bytes of the name
             bytes     the policy's name, UTF-8
             u32       CRC-32 of all of the header before it
    record   i64       epoch
             i64 x n   the samples, in the order of training
             i32 x n   rank of each
             i32 x n   source of each: a slot, or -1 where it is read
             i32 x n   target of each: a slot, or -1 where it is dropped
             u32       CRC-32 of all of the record before it

All records have one length, so that an epoch's is found by its number.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from harness.errors import AssayError
from workloads.solar.epoch_plan import EpochPlan, Planner, Training
from workloads.solar.orders import checked, checked_start

_MAGIC = b"assayPLN"
_VERSION = 1
_FIXED = struct.Struct("<8sI6qI")
_EPOCH = struct.Struct("<q")
_SUM = struct.Struct("<I")
_LONGEST_NAME = 255
_A_SAMPLE = 8 + 3 * 4


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A planner that reads its plans from a file, an epoch at a time.

    Which of the training's epochs `solar-paper` visits when is not in the file: its plans are
    validated with the planner that made them.

    Attributes:
        path: of the file.
        name: of the policy that made the plans.
        training: what is planned for.
        planned: how many epochs are in the file.
        start: where the first record begins, in bytes.
    """

    path: Path
    name: str
    training: Training
    planned: int
    start: int

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch in the file from `start`.

        Raises:
            AssayError: the training has no such epoch, or the file is damaged.
        """
        checked_start(self.training, start)
        with _opened(self.path) as file:
            for epoch in range(start, self.planned):
                file.seek(self.start + epoch * _record_bytes(self.training))
                yield _read_record(self, epoch, file)


def write(path: Path, planner: Planner, plans: Iterable[EpochPlan]) -> None:
    """Write plans to a file, an epoch at a time; the file is there when all of it is written.

    Args:
        path: of the file; one that is there is replaced.
        planner: whose plans they are.
        plans: of epochs 0, 1, ... in turn; of a training without end, as many as are wanted.

    Raises:
        AssayError: the file cannot be written, or the plans are not those of epochs 0, 1, ...
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(_header(planner))
            for epoch, plan in enumerate(plans):
                if plan.epoch != epoch:
                    raise AssayError(f"the plan of epoch {epoch} is that of epoch {plan.epoch}")
                file.write(_record(plan))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise AssayError(f"{path}: the plan cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> PlanFile:
    """Return the planner of a file; an epoch's plan is read and checked when it is asked for.

    Raises:
        AssayError: it is no plan file, or a damaged or truncated one.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        fixed = file.read(_FIXED.size)
        if len(fixed) < _FIXED.size or not fixed.startswith(_MAGIC):
            raise AssayError(f"{path} is not a plan file")
        _, version, *numbers, length = _FIXED.unpack(fixed)
        if version != _VERSION:
            raise AssayError(f"{path} is a plan file of version {version}; write it anew")
        if length > _LONGEST_NAME:
            raise AssayError(f"{path} is damaged: its policy's name has {length} bytes")
        name, crc = file.read(length), file.read(_SUM.size)
    if crc != _SUM.pack(zlib.crc32(fixed + name)):
        raise AssayError(f"{path} is damaged or truncated in its header; write it anew")
    training = Training(*numbers)
    try:
        checked(training)
    except AssayError as error:
        raise AssayError(f"{path} is damaged: {error}") from error
    start = _FIXED.size + length + _SUM.size
    planned, rest = divmod(size - start, _record_bytes(training))
    if rest or (training.epochs and planned > training.epochs):
        raise AssayError(
            f"{path} has not the length of a plan file: it is truncated; write it anew"
        )
    return PlanFile(path, name.decode(errors="replace"), training, planned, start)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise AssayError(f"{path}: the plan cannot be read: {error.strerror}") from error


def _header(planner: Planner) -> bytes:
    training = planner.training
    numbers = (
        training.samples, training.batch, training.ranks,
        training.slots, training.epochs, training.seed,
    )  # fmt: skip
    name = planner.name.encode()[:_LONGEST_NAME]
    head = _FIXED.pack(_MAGIC, _VERSION, *numbers, len(name)) + name
    return head + _SUM.pack(zlib.crc32(head))


def _record(plan: EpochPlan) -> bytes:
    parts = [
        _EPOCH.pack(plan.epoch),
        plan.order.astype("<i8").tobytes(),
        *(part.astype("<i4").tobytes() for part in (plan.rank, plan.source, plan.target)),
    ]
    body = b"".join(parts)
    return body + _SUM.pack(zlib.crc32(body))


def _record_bytes(training: Training) -> int:
    return _EPOCH.size + training.samples * _A_SAMPLE + _SUM.size


def _read_record(plan: PlanFile, epoch: int, file: BinaryIO) -> EpochPlan:
    samples = plan.training.samples
    record = file.read(_record_bytes(plan.training))
    body, crc = record[: -_SUM.size], record[-_SUM.size :]
    if len(record) < _record_bytes(plan.training) or crc != _SUM.pack(zlib.crc32(body)):
        raise AssayError(f"{plan.path} is damaged or truncated in epoch {epoch}; write it anew")
    (number,) = _EPOCH.unpack_from(body)
    order = np.frombuffer(body, "<i8", samples, _EPOCH.size).astype(np.int64)
    rest = np.frombuffer(body, "<i4", 3 * samples, _EPOCH.size + 8 * samples)
    rank, source, target = rest.reshape(3, samples).astype(np.int32)
    # What follows indexes a file and buffers with these: they must be in range.
    limits = (
        (order, 0, samples), (rank, 0, plan.training.ranks),
        (source, -1, plan.training.slots), (target, -1, plan.training.slots),
    )  # fmt: skip
    if number != epoch or any(part.min() < low or part.max() >= top for part, low, top in limits):
        raise AssayError(f"{plan.path} is not a plan of its training in epoch {epoch}")
    return EpochPlan(epoch, order, rank, source, target)
