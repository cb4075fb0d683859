"""Positional reads of many samples in few system calls, made outside the interpreter's lock.

A step's samples become a table of requests, sorted by their offset in the file: what lies close
together is one `preadv`, which scatters the bytes to where they belong. Addresses come from arrays
of this package alone; who calls has checked that each row fits.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.core.types import ExternalFunction
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.kernels.compiled import compiled

JOINED_BYTES = 2**20
"""Neighbours are joined up to so many bytes: a larger request gains nothing and keeps the other
threads waiting (a disk's driver splits it again; `max_sectors_kb` is 1280 by default on Linux)."""

_MOST_PIECES = min(1024, os.sysconf("SC_IOV_MAX"))
_DESCRIPTOR, _OFFSET, _FIRST, _PIECES, _BYTES = range(5)

# Found by name in the C library when the code is loaded, so that the machine code can be cached.
_preadv: Any = ExternalFunction(
    "preadv", types.intp(types.int32, types.intp, types.int32, types.int64)
)
_memcpy: Any = ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.uintp))


@dataclass(slots=True)
class Requests:
    """The requests of one step, and the pieces of memory that they fill.

    Attributes:
        requests: int64, shape (most, 5): descriptor, offset, first piece, pieces, bytes.
        pieces: int64, shape (2 * most, 2): address and length, as C's `struct iovec`.
        count: requests in use.
        used: pieces in use.
        useful_bytes: that belong to samples.
    """

    requests: NDArray[np.int64]
    pieces: NDArray[np.int64]
    count: int = 0
    used: int = 0
    useful_bytes: int = 0
    paths: dict[int, Path] = field(default_factory=dict)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of each request."""
        return self.requests[: self.count, _BYTES]

    def clear(self) -> None:
        """Forget all requests."""
        self.count = self.used = self.useful_bytes = 0


def requests(most: int) -> Requests:
    """Return an empty table for at most `most` rows."""
    return Requests(
        np.zeros((max(most, 1), 5), dtype=np.int64), np.zeros((2 * max(most, 1), 2), dtype=np.int64)
    )


def add(
    table: Requests,
    descriptor: int,
    path: Path,
    offsets: NDArray[np.int64],
    rows: NDArray[np.uint8],
    places: NDArray[np.int64],
    scratch: NDArray[np.uint8],
) -> None:
    """Ask for rows of one dataset, joining neighbours.

    Args:
        table: to add to, with room for a request a row.
        descriptor: to read from.
        path: of its file, for messages.
        offsets: int64, shape (rows,), in the file; any order.
        rows: uint8, C-contiguous, shape (capacity, bytes of a row): where the rows go.
        places: int64, shape (rows,): the index in `rows` of each.
        scratch: uint8: neighbours are joined across a gap of at most its length, and the gap's
            bytes go there.

    Raises:
        IndexError: a place is outside `rows`.
    """
    if len(offsets) == 0:
        return
    if not (rows.flags.c_contiguous and rows.flags.writeable) or len(places) != len(offsets):
        raise IndexError("rows are read into a writable C-contiguous array, one place each")
    _check_within(places, len(rows))
    by_offset = np.argsort(offsets, kind="stable")
    addresses = rows.ctypes.data + places[by_offset] * rows.shape[1]
    table.paths[descriptor] = path
    table.count, table.used = _join(
        table.requests,
        table.pieces,
        table.count,
        table.used,
        descriptor,
        offsets[by_offset],
        addresses,
        rows.shape[1],
        scratch.ctypes.data,
        len(scratch),
    )
    table.useful_bytes += len(offsets) * rows.shape[1]


def shares(table: Requests, parts: int) -> Sequence[tuple[int, int]]:
    """Return a table's requests in at most `parts` ranges of about equal length."""
    bounds = np.linspace(0, table.count, min(parts, table.count) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def read(table: Requests, first: int, last: int) -> None:
    """Make the requests from `first` up to `last`.

    Raises:
        AssayError: the file ends before a request's last byte, or it cannot be read.
    """
    at = first
    while True:
        at = _issue(table.requests, table.pieces.ctypes.data, at, last)
        if at == last:
            return
        _finish(table, at)
        at += 1


def copy(
    rows: NDArray[np.uint8],
    places: NDArray[np.int64],
    source: NDArray[np.uint8],
    taken: NDArray[np.int64],
) -> None:
    """Copy `source[taken]` to `rows[places]`.

    Args:
        rows: uint8, C-contiguous, shape (., bytes of a row).
        places: int64, shape (m,).
        source: as `rows`, another array with rows of the same length.
        taken: int64, shape (m,).

    Raises:
        IndexError: an index is outside its array.
    """
    if len(places) == 0:
        return
    if rows.shape[1] != source.shape[1] or len(places) != len(taken):
        raise IndexError("rows are copied one to one between rows of one length")
    _check_within(places, len(rows))
    _check_within(taken, len(source))
    _copy(rows.ctypes.data, places, source.ctypes.data, taken, rows.shape[1])


def _check_within(places: NDArray[np.int64], length: int) -> None:
    if places.min() < 0 or places.max() >= length:
        raise IndexError(f"places {places.min()} to {places.max()} in {length} rows")


def _finish(table: Requests, index: int) -> None:
    """Make a request that came back short or failed again, and say what is wrong with it."""
    descriptor, offset, first, count, size = table.requests[index].tolist()
    path = table.paths[descriptor]
    views: list[Any] = [
        memoryview((ctypes.c_char * length).from_address(address)).cast("B")
        for address, length in table.pieces[first : first + count].tolist()
    ]
    done = 0
    while done < size:
        try:
            got = os.preadv(descriptor, views, offset + done)
        except OSError as error:
            # O_DIRECT refuses to go on at the end of a file that is no multiple of a block.
            if done and os.fstat(descriptor).st_size < offset + size:
                raise _truncated(path, offset + size) from None
            raise AssayError(
                f"{path}: bytes {offset + done} to {offset + size} cannot be read: {error.strerror}"
            ) from None
        if got == 0:
            raise _truncated(path, offset + size)
        done += got
        while got:
            taken = min(got, len(views[0]))
            got -= taken
            if taken == len(views[0]):
                views.pop(0)
            else:
                views[0] = views[0][taken:]


def _truncated(path: Path, end: int) -> AssayError:
    return AssayError(
        f"{path}: ends before byte {end}: it was truncated while open; "
        "start again with the whole file"
    )


_TABLE = types.int64[:, ::1]
_VECTOR = types.int64[::1]
_INT = types.int64


@compiled(
    types.UniTuple(_INT, 2)(_TABLE, _TABLE, _INT, _INT, _INT, _VECTOR, _VECTOR, _INT, _INT, _INT),
    nogil=True,
)
def _join(
    requests: NDArray[np.int64],
    pieces: NDArray[np.int64],
    count: int,
    used: int,
    descriptor: int,
    offsets: NDArray[np.int64],
    addresses: NDArray[np.int64],
    row: int,
    scratch: int,
    gap: int,
) -> tuple[int, int]:
    begun = count
    end = 0
    for i in range(len(offsets)):
        hole = offsets[i] - end
        last = count - 1
        if (
            count > begun
            and 0 <= hole <= gap
            and requests[last, _PIECES] + 2 <= _MOST_PIECES
            and requests[last, _BYTES] + hole + row <= JOINED_BYTES
        ):
            if hole > 0:
                pieces[used, 0] = scratch
                pieces[used, 1] = hole
                used += 1
                requests[last, _PIECES] += 1
            if hole == 0 and pieces[used - 1, 0] + pieces[used - 1, 1] == addresses[i]:
                pieces[used - 1, 1] += row
            else:
                pieces[used, 0] = addresses[i]
                pieces[used, 1] = row
                used += 1
                requests[last, _PIECES] += 1
            requests[last, _BYTES] += hole + row
        else:
            requests[count, _DESCRIPTOR] = descriptor
            requests[count, _OFFSET] = offsets[i]
            requests[count, _FIRST] = used
            requests[count, _PIECES] = 1
            requests[count, _BYTES] = row
            pieces[used, 0] = addresses[i]
            pieces[used, 1] = row
            used += 1
            count += 1
        end = offsets[i] + row
    return count, used


@compiled(_INT(_TABLE, _INT, _INT, _INT), nogil=True)
def _issue(requests: NDArray[np.int64], pieces: int, first: int, last: int) -> int:
    for i in range(first, last):
        at = pieces + 16 * requests[i, _FIRST]
        got = _preadv(requests[i, _DESCRIPTOR], at, requests[i, _PIECES], requests[i, _OFFSET])
        if got != requests[i, _BYTES]:
            return i
    return last


@compiled(types.none(_INT, _VECTOR, _INT, _VECTOR, _INT), nogil=True)
def _copy(
    rows: int, places: NDArray[np.int64], source: int, taken: NDArray[np.int64], row: int
) -> None:
    for i in range(len(places)):
        _memcpy(rows + places[i] * row, source + taken[i] * row, row)
