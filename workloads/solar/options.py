"""How a loader reads, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How a loader reads.

    Attributes:
        depth: steps in memory at once, the one that is trained on among them; at least 2. Fewer
            where `staging_bytes` asks for it.
        threads: that read. As many requests are under way at once: the queue depth of the disk.
            Most wait for it, so there may be more than processors.
        gap_bytes: samples that lie at most so far apart are read in one request, with what lies
            between them.
        direct: whether to pass by the page cache (O_DIRECT) where the file's alignment and file
            system allow it; None for a file larger than the available memory.
        staging_bytes: most bytes for the samples of all steps in memory.
        ahead: whether the steps of an epoch are read before it is asked for.
        digests: uint32, shape (samples, datasets), as `digest.digests` gives: every sample that is
            read is held against its own.
        delay: for a simulated file system: the seconds that a rank's requests of so many bytes
            (int64, one a request) take together. A step is not delivered sooner.
    """

    depth: int = 4
    threads: int = 16
    gap_bytes: int = 0
    direct: bool | None = None
    staging_bytes: int = 2**31
    ahead: bool = True
    digests: NDArray[np.uint32] | None = None
    delay: Callable[[NDArray[np.int64]], float] | None = None


MEMORY = ("staging_bytes", "buffer_bytes")
"""What is counted as the most at any time; all else is a sum."""


@dataclass(slots=True)
class Counters:
    """What was counted for the batches delivered so far.

    Attributes:
        samples: delivered.
        hits: of these, from the buffer.
        reads: of these, from the file; samples = hits + reads.
        refilled: read into the buffer when a training was taken up again, in no other count.
        useful_bytes: of the samples that were read.
        read_bytes: read from the file: with the gaps between neighbours, and whole chunks where
            h5py must unpack them.
        requests: reads of the file; where h5py reads, the chunks that it needs.
        staging_bytes: most memory for steps so far.
        buffer_bytes: memory of the buffer.
    """

    samples: int = 0
    hits: int = 0
    reads: int = 0
    refilled: int = 0
    useful_bytes: int = 0
    read_bytes: int = 0
    requests: int = 0
    staging_bytes: int = 0
    buffer_bytes: int = 0

    def add(self, other: Counters) -> None:
        """Add another's counts; of memory, the larger is kept."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            largest = field.name in MEMORY
            setattr(self, field.name, max(mine, theirs) if largest else mine + theirs)


def check(options: Options) -> None:
    """Raise unless a loader can read so.

    Raises:
        AssayError: names the option and what it may be.
    """
    for name, least in (("depth", 2), ("threads", 1), ("gap_bytes", 0), ("staging_bytes", 1)):
        if getattr(options, name) < least:
            raise AssayError(f"{name} is {getattr(options, name)}; it must be at least {least}")
