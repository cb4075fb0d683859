"""Finds input files by path or by name, and fetches public data sets with their checksums."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import stat
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import AssayError

_BLOCK_BYTES = 1 << 16
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a data set: where it is fetched from and what it must be.

    Attributes:
        name: of the file in the data set's folder.
        url: of what is downloaded: the file, or a zip archive that holds it.
        sha256: of what is downloaded.
        size_bytes: of what is downloaded.
        member: name in the archive; empty where the download is the file.
        member_bytes: size of the member once unpacked.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int
    member: str = ""
    member_bytes: int = 0

    @property
    def stored_bytes(self) -> int:
        """Return the size of the file in the data set's folder."""
        return self.member_bytes if self.member else self.size_bytes


@dataclass(frozen=True, slots=True)
class Dataset:
    """A public input that `assay data` knows.

    Attributes:
        name: what a parameter may say instead of a path.
        summary: one line.
        terms: source and terms of use.
        files: what it consists of.
        folder: path below a data folder; the data set itself where it has several files.
    """

    name: str
    summary: str
    terms: str
    files: tuple[RemoteFile, ...]
    folder: str


def roots(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the folders searched for data: `ASSAY_DATA`, then the user's data folder."""
    own = Path(platformdirs.user_data_dir("assay"))
    given = environ.get("ASSAY_DATA")
    return [Path(given), own] if given else [own]


def find(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file or folder that a parameter names: a path, or a path below a data folder.

    Raises:
        AssayError: there is no such file; says where it was looked for.
    """
    candidates = list(dict.fromkeys([_own(name), *(root / name for root in roots(environ))]))
    for candidate in candidates:
        # A name may be one that no file can have: too long, or below a folder that is closed.
        with contextlib.suppress(OSError, ValueError):
            candidate.stat()
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise AssayError(
        f"no file or folder {name!r}; looked at {looked}; `assay data list` tells more"
    )


def present(dataset: Dataset, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that holds every file of the data set at its full size, or None."""
    for root in roots(environ):
        folder = root / dataset.folder
        if all(_has(folder / file.name, file.stored_bytes) for file in dataset.files):
            return folder
    return None


def fetch(
    dataset: Dataset,
    folder: Path,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:
    """Download what is missing of the data set into `folder / dataset.folder`; return that folder.

    A file appears under its name only when it is whole and its checksum is right.

    Raises:
        AssayError: the server does not answer, sends another length, or another content; or the
            folder cannot be written.
    """
    target = folder / dataset.folder
    for file in dataset.files:
        if not _has(target / file.name, file.stored_bytes):
            try:
                target.mkdir(parents=True, exist_ok=True)
                _download(file, target, progress)
            except OSError as error:
                raise AssayError(
                    f"cannot write to {target}: {error.strerror or error}; free space or choose "
                    "another folder with --folder"
                ) from error
    return target


def _own(name: str) -> Path:
    """The path with the home folder for "~"; as it is where there is no such user."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _has(path: Path, size_bytes: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes


def _download(file: RemoteFile, folder: Path, progress: Callable[[str, int, int], None]) -> None:
    digest = hashlib.sha256()
    done = 0
    # Not `tempfile`, whose files nobody else may read: this one is to have the mode of any other.
    part_path = folder / f".{file.name}.{secrets.token_hex(8)}"
    with part_path.open("xb") as part:
        try:
            for block in _blocks(file.url):
                done += len(block)
                if done > file.size_bytes:
                    break
                part.write(block)
                digest.update(block)
                progress(file.name, done, file.size_bytes)
            part.flush()
            os.fsync(part.fileno())
            if done != file.size_bytes:
                more = "more than" if done > file.size_bytes else f"{done} of"
                raise AssayError(
                    f"{file.url} sent {more} {file.size_bytes} bytes; try again, or report it"
                )
            if digest.hexdigest() != file.sha256:
                raise AssayError(
                    f"{file.url} has changed: sha256 {digest.hexdigest()}, expected {file.sha256}; "
                    "do not use it before you know why"
                )
            if file.member:
                _unpack(part_path, file)
            part_path.replace(folder / file.name)
        finally:
            part_path.unlink(missing_ok=True)


def _unpack(archive: Path, file: RemoteFile) -> None:
    """Put the member in the archive's place.

    Only this member is read, at most to its known size, and it is written where the caller says:
    no name or size that the archive claims decides anything.
    """
    unpacked = archive.with_name(f"{archive.name}.member")
    done = 0
    try:
        with (
            zipfile.ZipFile(archive) as held,
            held.open(file.member) as member,
            unpacked.open("xb") as out,
        ):
            while block := member.read(min(_BLOCK_BYTES, file.member_bytes - done + 1)):
                done += len(block)
                if done > file.member_bytes:
                    break
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if done != file.member_bytes:
            raise AssayError(
                f"{file.member} in {file.url} has not the {file.member_bytes} bytes it should; "
                "report it"
            )
        unpacked.replace(archive)
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, zlib.error) as error:
        said = " ".join(str(error).split())
        raise AssayError(f"cannot unpack {file.member} of {file.url}: {said}; report it") from error
    finally:
        unpacked.unlink(missing_ok=True)


def _blocks(url: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            while block := answer.read(_BLOCK_BYTES):
                yield block
    except (OSError, http.client.HTTPException) as error:
        said = " ".join(str(error).split())
        raise AssayError(f"cannot fetch {url}: {said}; try again later") from error
