"""Reads one JSON file that another tool wrote, which anybody may have changed: bounded, whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import zlib
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from harness.errors import AssayError

MAX_BYTES = 256 << 20
"""Of a file, packed or not: a suite of 50 fast tests with every round is about 100 MB."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Document:
    """One file's content.

    Attributes:
        name: the file as the user named it.
        digest: SHA-256 of its bytes, unpacked, in hexadecimal: the same content is the same
            measurement, packed or not.
        value: the JSON value; a number that does not fit into 64 bits, infinities and NaN are
            their text.
    """

    name: str
    digest: str
    value: Any

    def refused(self, why: str) -> AssayError:
        """Return the error for a file that cannot be taken."""
        return AssayError(
            f"{self.name} cannot be imported: {' '.join(why.split())}; give a file of "
            "`pytest --benchmark-json FILE` or `pyperf ... -o FILE`"
        )


def read(path: Path) -> Document:
    """Read a JSON file, packed by gzip or not.

    Raises:
        AssayError: it cannot be read, is no regular file, too large, damaged, or not JSON.
    """
    empty = Document(str(path), "", None)
    try:
        if path.is_dir():
            raise empty.refused("it is a folder")
        body = _read_bounded(path, empty)
        if body.startswith(_GZIP):
            with gzip.open(BytesIO(body)) as packed:
                body = _bounded(packed.read(MAX_BYTES + 1), empty)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise empty.refused(f"its gzip stream is damaged ({error})") from error
    except OSError as error:
        raise AssayError(f"{path} cannot be read ({error.strerror}); check its name") from error
    try:
        value = json.loads(body, parse_constant=str, parse_float=_real, parse_int=_whole)
    except RecursionError:
        raise empty.refused("it nests too deeply") from None
    except ValueError as error:  # also bytes that are no text, and numbers of too many digits
        raise empty.refused(f"it is not JSON ({str(error)[:100]})") from None
    return Document(str(path), hashlib.sha256(body).hexdigest(), value)


def _read_bounded(path: Path, document: Document) -> bytes:
    # Opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise document.refused("it is not a regular file")
        return _bounded(file.read(MAX_BYTES + 1), document)


def _bounded(body: bytes, document: Document) -> bytes:
    if len(body) > MAX_BYTES:
        raise document.refused(f"it is over {MAX_BYTES >> 20} MiB")
    return body


def _real(text: str) -> float | str:
    value = float(text)
    return value if isfinite(value) else text


def _whole(text: str) -> int | str:
    value = int(text)
    return value if -(2**63) <= value < 2**63 else text
