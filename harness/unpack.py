"""Takes one file out of an archive that need not be trusted, a zip or a gzipped tar.

No name or size that the archive claims decides where anything is written or how much.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from harness.errors import AssayError

MAX_UNPACKED_BYTES = 1 << 36
"""64 GiB: several times the text of the largest matrix of MSREP."""

MAX_RATIO = 128
"""What an archive may grow by: numbers as text grow 3 to 20 times, a bomb up to 1032 times."""

_ALWAYS_ALLOWED = 1 << 20
"""Bytes to which even the smallest archive may grow."""

_MAX_EXTENSION_BYTES = 1 << 16
"""Of a tar member's long name or further attributes; a few hundred bytes are usual."""

_BLOCK_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"

Progress = Callable[[int, int], None]


class _BadArchiveError(Exception):
    """What is wrong with an archive."""


_DAMAGE = (
    _BadArchiveError,
    zipfile.BadZipFile,
    KeyError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    tarfile.HeaderError,
)
"""What the readers of archives raise for one that is damaged or encrypted."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was taken out."""

    sha256: str
    size_bytes: int


def unpack(
    archive: Path, member: str, target: Path, size_bytes: int, source: str, progress: Progress
) -> Unpacked:
    """Write the archive's member of this name, a plain file, to a new file.

    Args:
        archive: a .zip or .tar.gz, told apart by its first bytes.
        member: name in the archive.
        target: of the new file; there is none after an error.
        size_bytes: what the member must have; 0 where that is not known, then it is bounded.
        source: of the archive, for messages.
        progress: is told bytes done and in all.

    Raises:
        AssayError: there is no such member or two, it is a link or too large, or the archive is
            damaged.
        OSError: the target cannot be written.
    """
    try:
        with archive.open("rb") as packed, target.open("xb") as out:
            limit = min(
                MAX_UNPACKED_BYTES, max(_ALWAYS_ALLOWED, MAX_RATIO * archive.stat().st_size)
            )
            digest, done, whole = hashlib.sha256(), 0, 0
            for block, whole in _member(packed, member, size_bytes, limit):
                out.write(block)
                digest.update(block)
                done += len(block)
                progress(done, whole)
            if done != whole:
                raise _BadArchiveError(f"it has {done} of the {whole} bytes it claims")
            out.flush()
            os.fsync(out.fileno())
    except _DAMAGE as error:
        target.unlink(missing_ok=True)
        said = " ".join(str(error).split())
        raise AssayError(f"cannot unpack {member} of {source}: {said}; report it") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Unpacked(digest.hexdigest(), done)


def _member(
    packed: BinaryIO, member: str, size_bytes: int, limit: int
) -> Iterator[tuple[bytes, int]]:
    """Yield the member's bytes and with them how many there are to be."""
    is_gzip = packed.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    packed.seek(0)
    if is_gzip:
        with gzip.GzipFile(fileobj=packed) as unpacked:
            yield from _of_tar(_Bounded(unpacked, limit), member, size_bytes)
        return
    stream, whole = _of_zip(packed, member)
    _refuse_size(whole, size_bytes, limit)
    with stream:
        bounded = _Bounded(stream, whole)
        yield b"", whole
        while block := bounded.read(_BLOCK_BYTES):
            yield block, whole


def _of_zip(packed: BinaryIO, member: str) -> tuple[IO[bytes], int]:
    """Return a member opened and its size; only what is stored or deflated."""
    try:
        held = zipfile.ZipFile(packed)
        info = held.getinfo(member)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _BadArchiveError(f"it is packed by method {info.compress_type}")
        return held.open(info), info.file_size
    except (OSError, ValueError) as error:
        # Of a damaged directory, not of the disk: names and offsets that cannot be.
        raise _BadArchiveError(str(error)) from error


def _refuse_size(claimed: int, size_bytes: int, limit: int) -> None:
    if size_bytes and claimed != size_bytes:
        raise _BadArchiveError(f"it has {claimed} bytes, not the {size_bytes} it should")
    if not 0 <= claimed <= limit:
        raise _BadArchiveError(f"it claims {claimed} bytes, more than the {limit} allowed for it")


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class _Bounded:
    """A stream that may not be longer than it should."""

    def __init__(self, stream: _Readable, limit: int) -> None:
        self._stream = stream
        self.limit = limit
        self._left = limit

    def read(self, count: int) -> bytes:
        """Return at most so many bytes, none at the end."""
        block = self._stream.read(count)
        self._left -= len(block)
        if self._left < 0:
            raise _BadArchiveError(f"it unpacks to over {self.limit} bytes")
        return block

    def exactly(self, count: int) -> bytes:
        """Return so many bytes."""
        block = self.read(count)
        if len(block) < count:
            raise _BadArchiveError("it ends early")
        return block


def _of_tar(stream: _Bounded, member: str, size_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield as `_member`; reads the archive to its end, so that its checksum is checked.

    Not `tarfile`'s own reader, which holds whatever size of extended header it meets in memory.
    """
    seen = False
    further: dict[str, str] = {}
    while any(header := stream.exactly(tarfile.BLOCKSIZE)):
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        if entry.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            further |= _further(entry, stream)
            continue
        name, whole = further.get("path", entry.name), int(further.get("size", entry.size))
        stored = whole if entry.isreg() or entry.type not in tarfile.SUPPORTED_TYPES else 0
        wanted = name.removeprefix("./") == member
        if wanted:
            if seen:
                raise _BadArchiveError("it is there twice")
            if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or _sparse(further):
                raise _BadArchiveError("it is a link or no plain file")
            _refuse_size(whole, size_bytes, stream.limit)
            yield b"", whole
        seen |= wanted
        further = {}
        for block in _stored(stream, stored):
            if wanted:
                yield block, whole
    if not seen:
        raise _BadArchiveError(f"there is no item named {member!r}")
    while stream.read(_BLOCK_BYTES):
        pass


def _sparse(further: Mapping[str, str]) -> bool:
    return any(key.startswith("GNU.sparse") for key in further)


def _stored(stream: _Bounded, count: int) -> Iterator[bytes]:
    """Yield what a tar member holds, and pass over what fills its last block."""
    if count < 0:
        raise _BadArchiveError("a size in it is negative")
    left = count
    while left:
        block = stream.exactly(min(left, _BLOCK_BYTES))
        left -= len(block)
        yield block
    stream.exactly(-count % tarfile.BLOCKSIZE)


def _further(entry: tarfile.TarInfo, stream: _Bounded) -> dict[str, str]:
    """Return what a header before a member's own says of it (POSIX.1-2001, pax)."""
    if not 0 <= entry.size <= _MAX_EXTENSION_BYTES:
        raise _BadArchiveError(f"an extended header in it has {entry.size} bytes")
    text = b"".join(_stored(stream, entry.size))
    if entry.type == tarfile.GNUTYPE_LONGLINK:
        return {}  # what a link leads to
    if entry.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": text.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    found = {}
    while text:
        length, _, rest = text.partition(b" ")
        if not length.isdigit() or not len(length) + 2 < int(length[:9]) <= len(text):
            raise _BadArchiveError("an extended header in it is damaged")
        record, text = rest[: int(length) - len(length) - 2], text[int(length) :]
        key, _, value = record.decode("utf-8", "surrogateescape").partition("=")
        found[key] = value
    if not re.fullmatch("[0-9]{1,18}", found.get("size", "0")):
        raise _BadArchiveError("an extended header in it is damaged")
    return found
