"""The process that writes one generated file, as its standard input tells (`generate.Order`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import h5py
import msgspec
import numpy as np

from workloads.solar.generate import CANNOT_WRITE, Layout, Order
from workloads.solar.shapes import Field, fields_of, fill

_ALIGNMENT = 4096
"""Bytes: what O_DIRECT asks for on common disks, and a page of memory."""

_BLOCK_BYTES = 16 << 20
"""Samples are made and written in blocks of about this size, whatever the file's."""

_READ_BY = ("v110", "v110")
"""The file format: one that every HDF5 since 1.10 reads, with an index of fixed size for chunks."""


def main() -> None:
    """Write the file, or print why not; exit at once, because HDF5 may not survive its clean-up."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        _write(order)
    # h5py passes on what the system says, and where a file cannot be closed what HDF5 says.
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        print(os.strerror(number) if number else " ".join(str(error).split()), end="")
        sys.stdout.flush()
        os._exit(CANNOT_WRITE)


def _write(order: Order) -> None:
    fields = fields_of(order.shape)
    with h5py.File(
        order.part, "x", libver=_READ_BY, alignment_threshold=1, alignment_interval=_ALIGNMENT
    ) as file:
        # All space is given out before the first sample is written: samples lie in their order.
        datasets = [_create(file, field, order.samples, order.layout) for field in fields]
        for number, (field, dataset) in enumerate(zip(fields, datasets, strict=True)):
            _write_samples(dataset, field, number, order)
    descriptor = os.open(order.part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    Path(order.part).replace(order.path)


def _create(file: h5py.File, field: Field, samples: int, layout: Layout) -> h5py.Dataset:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # Room for whole chunks would be given out again once they are compressed.
    if not layout.gzip:
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    chunk = min(layout.samples_a_chunk, samples)
    return file.create_dataset(
        field.name,
        (samples, *field.shape),
        field.dtype,
        chunks=(chunk, *field.shape) if chunk else None,
        compression="gzip" if layout.gzip else None,
        fletcher32=layout.fletcher32,
        dcpl=settings,
    )


def _write_samples(dataset: h5py.Dataset, field: Field, number: int, order: Order) -> None:
    # Blocks end with a chunk, so that none is read back, completed and compressed again.
    chunk = min(order.layout.samples_a_chunk, order.samples) or 1
    rows = max(1, _BLOCK_BYTES // (field.row_bytes * chunk)) * chunk
    block = np.empty((min(rows, order.samples), *field.shape), field.dtype)
    for start in range(0, order.samples, rows):
        stop = min(start + rows, order.samples)
        for index in range(start, stop):
            fill(block[index - start], field, order.seed, number, index)
        dataset[start:stop] = block[: stop - start]


if __name__ == "__main__":
    main()
