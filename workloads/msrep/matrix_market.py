"""Reads sparse matrices from Matrix Market files, plain or gzipped, that need not be trusted.

The format is the one of Boisvert, Pozo and Remington, "The Matrix Market Exchange Formats: Initial
Design" (NISTIR 5935, 1996). The header is read here and held against the size of the file before
anything is allocated. The body is read by `matrix_market_body`; SciPy's fast reader
dies of a stray NUL byte and takes `1d5` and `1.5abc` for numbers.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from harness.errors import AssayError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_INDEX = 2**31 - 1
"""Largest number of rows or columns: indices are 32-bit, as in MSREP and in SciPy's reader."""

MIN_ENTRY_BYTES = 4
"""The shortest entry is a pattern's `1 1` with its line end."""

MAX_UNPACKED_BYTES = 1 << 36
"""What a .gz may unpack to, 64 GiB: several times the text of HV15R, MSREP's largest matrix."""

MAX_RATIO = 128
"""What a .gz may grow by: numbers as text grow 3 to 20 times, a gzip bomb up to 1032 times."""

MAX_HEADER_BYTES = 1 << 20
"""Comments tell a matrix's story in a few KB; a MiB of them is damage."""

_ALWAYS_ALLOWED = 1 << 20
"""Bytes or rows of which a small file may promise more than its own size: 1 Mi costs some MB."""

_MAX_HEADER_LINE = 1 << 16
"""Comments of public collections are longer than the format allows; entries are held to it."""

_GZIP_MAGIC = b"\x1f\x8b"
_FIELDS = ("real", "integer", "pattern")
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")


@dataclass(frozen=True, slots=True)
class Header:
    """What a Matrix Market file says of itself before its first entry.

    Attributes:
        rows, columns: the matrix's shape.
        entries: how many entries the file stores; of a symmetric one, the lower triangle's.
        field: "real", "integer" or "pattern".
        symmetry: "general", "symmetric" or "skew-symmetric".
        lines: how many lines come before the first entry.
    """

    rows: int
    columns: int
    entries: int
    field: str
    symmetry: str
    lines: int


def read_header(path: Path) -> Header:
    """Return the header, checked against the file's size; reads no more than `MAX_HEADER_BYTES`.

    Raises:
        AssayError: the file is absent, is not a Matrix Market coordinate file of real numbers, or
            promises more than it can hold.
    """
    with _opened(path) as (stream, text_bytes):
        return _header(path, stream, text_bytes)


def read(path: Path) -> csr_array:
    """Return the matrix with float64 values, its indices sorted.

    Symmetric and skew-symmetric matrices come back whole. Entries that name the same place are
    summed, as `scipy.sparse` does; explicit zeros are kept; a pattern's values are 1.

    Raises:
        AssayError: as `read_header`, or an entry is missing, surplus, malformed, out of range, not
            finite, or contradicts the declared symmetry.
    """
    from workloads.msrep.matrix_market_body import read_body

    with _opened(path) as (stream, text_bytes):
        header = _header(path, stream, text_bytes)
        return read_body(path, stream, header, text_bytes)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file and bound its text's bytes, turning every way of failing into one line."""
    try:
        if not path.exists():
            raise AssayError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise AssayError(f"{path}: not a regular file; name a .mtx or .mtx.gz file")
        size = path.stat().st_size
        if size == 0:
            raise AssayError(f"{path}: the file is empty; fetch it again")
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                limit = min(MAX_UNPACKED_BYTES, max(_ALWAYS_ALLOWED, MAX_RATIO * size))
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked), limit
            else:
                yield raw, size
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AssayError(f"{path}: damaged gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise AssayError(f"{path}: cannot be read: {error.strerror or error}") from error


def _header(path: Path, stream: BinaryIO, text_bytes: int) -> Header:
    banner = _line(path, stream, 1).split()
    if len(banner) != 5 or banner[0].lower() != "%%matrixmarket":
        raise AssayError(
            f"{path}: no Matrix Market file: line 1 is not '%%MatrixMarket matrix coordinate "
            "<field> <symmetry>'"
        )
    kind, layout, field, symmetry = (word.lower() for word in banner[1:])
    if kind != "matrix" or layout != "coordinate":
        raise AssayError(
            f"{path}: holds a {kind} in {layout} format; only sparse matrices in coordinate format "
            "can be read, write it as one"
        )
    _refuse_unreadable(path, field, symmetry)
    sizes, lines = _sizes(path, stream)
    header = Header(*sizes, field=field, symmetry=symmetry, lines=lines)
    _refuse_impossible(path, header, text_bytes)
    return header


def _refuse_unreadable(path: Path, field: str, symmetry: str) -> None:
    if field not in (*_FIELDS, "complex"):
        raise AssayError(f"{path}: unknown field {field[:40]!r}; known: {', '.join(_FIELDS)}")
    if symmetry not in (*_SYMMETRIES, "hermitian"):
        raise AssayError(
            f"{path}: unknown symmetry {symmetry[:40]!r}; known: {', '.join(_SYMMETRIES)}"
        )
    if field == "complex":
        raise AssayError(
            f"{path}: the matrix is complex {symmetry}; only real matrices can be multiplied, "
            "choose another"
        )
    if symmetry == "hermitian" or (field, symmetry) == ("pattern", "skew-symmetric"):
        raise AssayError(
            f"{path}: {symmetry} with {field} values is no Matrix Market format; write it as "
            "symmetric or general"
        )


def _sizes(path: Path, stream: BinaryIO) -> tuple[tuple[int, int, int], int]:
    """Skip comments; return rows, columns and entries, and the number of their line."""
    number, used = 1, 0
    while True:
        number += 1
        line = _line(path, stream, number)
        used += len(line)
        if used > MAX_HEADER_BYTES:
            raise AssayError(f"{path}: over {MAX_HEADER_BYTES} bytes of comments; shorten them")
        words = line.split()
        if not words or words[0].startswith("%"):
            continue
        if len(words) != 3 or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
            raise AssayError(
                f"{path}: line {number} is {line.strip()[:40]!r} where 'rows columns entries' must "
                "stand; the header is damaged, fetch the file again"
            )
        return (int(words[0]), int(words[1]), int(words[2])), number


def _line(path: Path, stream: BinaryIO, number: int) -> str:
    line = stream.readline(_MAX_HEADER_LINE + 1)
    if len(line) > _MAX_HEADER_LINE:
        raise AssayError(
            f"{path}: line {number} is longer than {_MAX_HEADER_LINE} bytes; not a matrix file"
        )
    if not line:
        raise AssayError(f"{path}: ends in its header, at line {number}; fetch the file again")
    # What is no ASCII is no blank either: of NISTIR 5935's header only comments may hold it.
    return line.decode("ascii", errors="replace")


def _refuse_impossible(path: Path, header: Header, text_bytes: int) -> None:
    rows, columns, entries = header.rows, header.columns, header.entries
    if max(rows, columns) > MAX_INDEX:
        raise AssayError(
            f"{path}: promises {rows} x {columns}; at most {MAX_INDEX} rows and columns can be read"
        )
    if entries * MIN_ENTRY_BYTES > text_bytes:
        raise AssayError(
            f"{path}: promises {entries} entries, which its size cannot hold; the header is "
            "damaged, fetch the file again"
        )
    # A row pointer and vectors are allocated for every row, full or empty. Real matrices have
    # few empty rows, so a file far smaller than its dimensions is damaged or hostile.
    if max(rows, columns) > max(_ALWAYS_ALLOWED, text_bytes):
        raise AssayError(
            f"{path}: promises {rows} x {columns}, nearly all of it empty; the header is damaged, "
            "fetch the file again"
        )
    if header.symmetry != "general" and rows != columns:
        raise AssayError(
            f"{path}: claims to be {header.symmetry} but is {rows} x {columns}; write it as general"
        )
