"""Downloads one file over HTTP into a part that a later attempt goes on from."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from harness.errors import AssayError

_BLOCK_BYTES = 1 << 18

Progress = Callable[[str, int, int], None]
"""Is told a name, the bytes done and the bytes in all, 0 where these are not known."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a whole part holds."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Source:
    """What a part is the beginning of.

    Attributes:
        url: where it comes from.
        validator: the strong ETag or else the time of change, as sent; what a server must still
            say for a part to be gone on with (RFC 9110, section 13.1.5). "" forbids it.
        size_bytes: of the whole; 0 where the server does not say.
    """

    url: str
    validator: str
    size_bytes: int


class _BrokenOffError(Exception):
    """Why a server's answer ended early."""


class Part:
    """A part on disk, beside it what it is the beginning of. Held by one process at a time."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self._note = _note_of(path)

    def source(self) -> _Source | None:
        """Return what is known of it, None where it must be begun anew."""
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Source)
        except (OSError, msgspec.MsgspecError):
            return None

    def begins(self, source: _Source) -> None:
        """Empty it, for it is to hold something else."""
        self.file.truncate(0)
        self.file.seek(0)
        if source.validator:
            self._note.write_text(json.dumps(asdict(source)), encoding="utf-8")
        else:
            self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove it and what is known of it."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Give what it holds the name of the file that it was to be."""
        os.fsync(self.file.fileno())
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[Part]:
    """Open or make a part; afterwards it is kept only if a later attempt can go on from it.

    Raises:
        AssayError: another process holds it.
        OSError: it cannot be written.
    """
    while True:
        # Not `tempfile`, whose files nobody else may read: this is to have the mode of any other.
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AssayError(
                    f"{path.name} in {path.parent} is being fetched by another process; wait for it"
                ) from None
            if not _is_at(file, path):
                continue  # its holder has just given it another name
            part = Part(path, file)
            try:
                yield part
            finally:
                if part.source() is None or not _size(path):
                    part.discard()
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def download(
    url: str, part: Part, name: str, size_bytes: int, progress: Progress, timeout_s: float
) -> Downloaded:
    """Complete the part.

    A part is gone on from where the server says that its file is still the same one; else it is
    begun anew.

    Args:
        url: of the file.
        part: what there is of it.
        name: for `progress`.
        size_bytes: what it must have; 0 where that is not known.
        progress: is told how far it is.
        timeout_s: how long the server may be silent.

    Raises:
        AssayError: the server cannot be reached, stalls, ends early, or sends another size.
        OSError: the part cannot be written.
    """
    source, have = _begun(part, url)
    answer = _asked(url, source, have, timeout_s)
    if source is not None and not _goes_on(answer, source, have):
        if answer.status != http.client.OK:
            answer.close()
            answer = _asked(url, None, 0, timeout_s)
        source, have = None, 0
    with answer:
        if source is None:
            if answer.status != http.client.OK:
                raise _unreachable(url, f"it answers {answer.status} {answer.reason}")
            source = _announced(url, answer)
            _refuse_wrong_size(source, size_bytes)
            part.begins(source)
        _refuse_without_space(part.path.parent, url, source.size_bytes - have)
        size_bytes = size_bytes or source.size_bytes or _whole_size(answer)
        return _completed(answer, part, source, name, size_bytes, progress)


def _begun(part: Part, url: str) -> tuple[_Source | None, int]:
    """Return what the part is the beginning of and how much of it there is, or None and 0."""
    source, have = part.source(), part.file.seek(0, os.SEEK_END)
    if source is not None and source.size_bytes and have == source.size_bytes:
        have -= 1  # whole, yet its use failed; the last byte says whether the server still has it
        part.file.truncate(have)
    if source is None or source.url != url or not have or have > (source.size_bytes or have):
        return None, 0
    return source, have


def _asked(
    url: str, source: _Source | None, have: int, timeout_s: float
) -> http.client.HTTPResponse:
    headers = {} if source is None else {"Range": f"bytes={have}-", "If-Range": source.validator}
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and source is not None:
            error.close()
            return _asked(url, None, 0, timeout_s)
        raise _unreachable(url, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from error
    return answer


def _unreachable(url: str, error: Exception | str) -> AssayError:
    said = " ".join(str(error).split())
    return AssayError(f"cannot fetch {url}: {said}; try again later")


def _goes_on(answer: http.client.HTTPResponse, source: _Source, have: int) -> bool:
    """Return whether what comes is the rest of the same file."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return False
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have:
        return False
    whole = _whole_size(answer)
    same = _validator(answer) in ("", source.validator)
    return same and (not whole or not source.size_bytes or whole == source.size_bytes)


def _whole_size(answer: http.client.HTTPResponse) -> int:
    """Return the size of the whole file where an answer of a part tells it, else 0."""
    told = re.fullmatch(
        r"bytes [0-9]+-[0-9]+/([0-9]{1,18})", answer.headers.get("Content-Range", "")
    )
    return int(told[1]) if told is not None else 0


def _announced(url: str, answer: http.client.HTTPResponse) -> _Source:
    length = answer.headers.get("Content-Length", "")
    chunked = answer.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if not chunked and not re.fullmatch("[0-9]{1,18}", length):
        raise AssayError(
            f"{url} comes without its size, so nobody can tell whether it is whole; report it"
        )
    size_bytes = int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
    return _Source(url, _validator(answer), size_bytes)


def _validator(answer: http.client.HTTPResponse) -> str:
    tag = answer.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("Last-Modified", "")


def _refuse_wrong_size(source: _Source, size_bytes: int) -> None:
    if size_bytes and source.size_bytes not in (0, size_bytes):
        raise AssayError(
            f"{source.url} has {source.size_bytes} bytes, not the {size_bytes} it should; do not "
            "use it before you know why"
        )


def _refuse_without_space(folder: Path, url: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AssayError(
            f"{url} needs {needed} more bytes and {folder} has {free} free; free space or choose "
            "another folder with --folder"
        )


def _completed(
    answer: http.client.HTTPResponse,
    part: Part,
    source: _Source,
    name: str,
    size_bytes: int,
    progress: Progress,
) -> Downloaded:
    """Append what comes; return what the part then holds."""
    digest = hashlib.sha256()
    done = 0
    part.file.seek(0)
    while block := part.file.read(_BLOCK_BYTES):
        digest.update(block)
        done += len(block)
    try:
        for block in _blocks(answer):
            done += len(block)
            if size_bytes and done > size_bytes:
                break
            part.file.write(block)
            digest.update(block)
            progress(name, done, size_bytes)
    except _BrokenOffError as error:
        raise _stopped(source, done, size_bytes, str(error)) from error
    finally:
        part.file.flush()
    if size_bytes and done < size_bytes:
        raise _stopped(source, done, size_bytes, "it sends no more")
    if size_bytes and done > size_bytes:
        part.discard()
        raise AssayError(
            f"{source.url} sent more than {size_bytes} bytes; do not use it before you know why"
        )
    return Downloaded(digest.hexdigest(), done)


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        # Not `read`, which waits for a whole block and drops it when the server stalls.
        while block := answer.read1(_BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(" ".join(str(error).split()) or type(error).__name__) from error


def _stopped(source: _Source, done: int, size_bytes: int, why: str) -> AssayError:
    of = f" of {size_bytes}" if size_bytes else ""
    again = "the same command goes on from there" if source.validator else "try again later"
    return AssayError(f"{source.url} stopped after {done}{of} bytes: {why}; {again}")
