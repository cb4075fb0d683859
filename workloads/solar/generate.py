"""Makes HDF5 files of the shapes that surrogates are trained on, in the layouts to be compared.

A file appears under its name only when it is whole; what is broken off leaves nothing behind. A
process of its own writes it (`write_file`): HDF5 2.0 takes down its process where the disk is full.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import AssayError
from workloads.solar.shapes import Field, fields_of

CANNOT_WRITE = 3
"""Exit status of the writing process when it has printed why."""

_CHUNK_LIMIT_BYTES = (1 << 32) - 1
"""HDF5 stores the size of a chunk in 32 bits (documentation of H5Pset_chunk)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples lie in a file. Datasets and chunks begin at multiples of 4096 bytes.

    Attributes:
        samples_a_chunk: 0 for a contiguous dataset.
        gzip: whether chunks are compressed.
        fletcher32: whether each chunk carries a checksum, which h5py checks when it reads.
    """

    samples_a_chunk: int = 0
    gzip: bool = False
    fletcher32: bool = False

    def __str__(self) -> str:
        filters = [name for name in ("gzip", "fletcher32") if getattr(self, name)]
        chunks = f"{self.samples_a_chunk} a chunk" if self.samples_a_chunk else "contiguous"
        return ", ".join([chunks, *filters])


@dataclass(frozen=True, slots=True)
class Order:
    """What the writing process is told.

    Attributes:
        part: the file to write.
        path: the name that it gets when it is whole.
        shape: of a sample, one of `shapes.SHAPES`.
        samples: how many.
        layout: how they lie.
        seed: of their content.
    """

    part: str
    path: str
    shape: str
    samples: int
    layout: Layout
    seed: int


def generate(path: Path, shape: str, samples: int, *, layout: Layout, seed: int) -> None:
    """Write a file; sample i of it is what `shapes.sample(shape, seed, i)` returns.

    Args:
        path: of the file; one that is there is replaced when the new one is whole.
        shape: one of `shapes.SHAPES`.
        samples: how many.
        layout: how they lie.
        seed: of their content, not negative.

    Raises:
        AssayError: there is no such shape or layout, or the file cannot be written, such as where
            the disk is full.
    """
    fields = fields_of(shape)
    _check(fields, samples, layout, seed)
    _check_room(path, file_bytes(shape, samples), layout)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    order = Order(str(part), str(path), shape, samples, layout, seed)
    command = [sys.executable, "-P", "-m", "workloads.solar.write_file"]
    try:
        # What locks the file's name stays locked while a child that outlives this process writes.
        done = subprocess.run(
            command, input=msgspec.json.encode(order), capture_output=True, close_fds=False
        )
    finally:
        part.unlink(missing_ok=True)
    if done.returncode == CANNOT_WRITE:
        raise _cannot_write(path, done.stdout.decode())
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _cannot_write(path, f"its process ended with {done.returncode}: {said[-1:]}")


def file_bytes(shape: str, samples: int) -> int:
    """Return the bytes that the samples of a file take."""
    return samples * sum(field.row_bytes for field in fields_of(shape))


def remove_parts(path: Path) -> None:
    """Remove what killed processes have left of a file; none may be writing it."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        with suppress(FileNotFoundError):
            part.unlink()


def _check(fields: tuple[Field, ...], samples: int, layout: Layout, seed: int) -> None:
    if samples < 1:
        raise AssayError(f"a file of {samples} samples; take 1 or more")
    if seed < 0:
        raise AssayError(f"seed {seed} is negative; take 0 or more")
    if layout.samples_a_chunk < 0:
        raise AssayError(f"{layout.samples_a_chunk} samples a chunk; take 0 for contiguous")
    if not layout.samples_a_chunk and (layout.gzip or layout.fletcher32):
        raise AssayError(f"HDF5 filters chunks only, not {layout}; take 1 or more samples a chunk")
    largest = max(field.row_bytes for field in fields)
    if largest * min(layout.samples_a_chunk, samples) > _CHUNK_LIMIT_BYTES:
        most = _CHUNK_LIMIT_BYTES // largest
        raise AssayError(
            f"{layout.samples_a_chunk} samples a chunk pass HDF5's 4 GiB; take at most {most}"
        )


def _check_room(path: Path, needed: int, layout: Layout) -> None:
    """Find a full disk before it is filled; how far gzip gets is not known."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise _cannot_write(path, str(error.strerror)) from error
    if needed > free and not layout.gzip:
        raise _cannot_write(path, f"{needed:,} bytes are needed and {free:,} are free")


def _cannot_write(path: Path, why: str) -> AssayError:
    return AssayError(f"cannot write {path}: {why}; make room or take another folder")
