"""Finds input files by path or by name, and fetches public data sets with their checksums."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from harness.errors import AssayError

if TYPE_CHECKING:
    from harness.download import Downloaded
    from harness.unpack import Unpacked

_TIMEOUT_S = 30.0
"""A server that sends nothing for so long has stalled."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a data set: where it is fetched from and what it must be.

    Attributes:
        name: of the file in the data set's folder.
        url: of what is downloaded: the file, or a .zip or .tar.gz archive that holds it.
        sha256: of what is downloaded; empty where its publisher gives none. Then that of the first
            whole download is recorded beside the file, and all later ones are held against it.
        size_bytes: of what is downloaded; 0 where it is not known.
        member: name in the archive; empty where the download is the file.
        member_bytes: size of the member once unpacked; 0 where it is not known.
        listed_sha256: what somebody else found the download to have. The user is told whether the
            first download agrees.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int
    member: str = ""
    member_bytes: int = 0
    listed_sha256: str = ""

    @property
    def stored_bytes(self) -> int:
        """Return the size of the file in the data set's folder; 0 where it is not known."""
        return self.member_bytes if self.member else self.size_bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """What the first whole download of a file without a published checksum was.

    Attributes:
        url: of the download.
        sha256: of the download.
        size_bytes: of the download.
        stored_sha256: of the file that it became.
        stored_bytes: of the file that it became.
    """

    url: str
    sha256: str
    size_bytes: int
    stored_sha256: str
    stored_bytes: int


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
        if all(_is_whole(folder, file) for file in dataset.files):
            return folder
    return None


def origin(path: Path) -> Origin | None:
    """Return what was recorded of a fetched file when it was first downloaded, if anything was.

    Raises:
        AssayError: the record is damaged.
    """
    record = _record_of(path)
    if not os.path.exists(record):  # noqa: PTH110 - unlike Path's, says no to a name too long
        return None
    try:
        return Origin(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise AssayError(
            f"{record} is damaged; delete it to trust the next download of {path.name}"
        ) from error


def refuse_changed(path: Path, sha256: str) -> None:
    """Hold a file that is about to be used against the record of its first download.

    Args:
        path: of the file.
        sha256: what it has now.

    Raises:
        AssayError: it is not the file that was fetched, or the record is damaged.
    """
    first = origin(path)
    if first is not None and first.stored_sha256 != sha256:
        raise AssayError(
            f"{path} has changed since it was fetched: sha256 {sha256}, recorded "
            f"{first.stored_sha256}; delete it and fetch it again"
        )


def fetch(
    dataset: Dataset,
    folder: Path,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    tell: Callable[[str], None] = lambda message: None,
    timeout_s: float = _TIMEOUT_S,
) -> Path:
    """Download what is missing of the data set into `folder / dataset.folder`; return that folder.

    A file appears under its name only when it is whole and its checksum is right. A download that
    was broken off is gone on with if the server still has the same file.

    Args:
        dataset: what to download.
        folder: a data folder.
        progress: is told a name, the bytes done and the bytes in all, 0 where these are not known.
        tell: is told of the checksums that were taken on trust.
        timeout_s: how long a server may be silent.

    Raises:
        AssayError: the server does not answer, stalls, or sends another length or content; or the
            folder cannot be written.
    """
    target = folder / dataset.folder
    for file in dataset.files:
        if not _is_whole(target, file):
            try:
                target.mkdir(parents=True, exist_ok=True)
                _fetch_file(file, target, progress, tell, timeout_s)
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


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")


def _is_whole(folder: Path, file: RemoteFile) -> bool:
    path = folder / file.name
    size_bytes = file.stored_bytes
    if not size_bytes:
        try:
            first = origin(path)
        except AssayError:
            return False
        if first is None:
            return False
        size_bytes = first.stored_bytes
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes


def _fetch_file(
    file: RemoteFile,
    folder: Path,
    progress: Callable[[str, int, int], None],
    tell: Callable[[str], None],
    timeout_s: float,
) -> None:
    from harness import download
    from harness.unpack import Unpacked, unpack

    path = folder / file.name
    first = None if file.sha256 else origin(path)
    with download.opened(folder / f".{file.name}.part") as part:
        if _is_whole(folder, file):
            return  # another process has fetched it meanwhile
        size_bytes = file.size_bytes or (first.size_bytes if first else 0)
        got = download.download(file.url, part, file.name, size_bytes, progress, timeout_s)
        unpacked = folder / f".{file.name}.unpacked"
        try:
            _refuse_other(file, got.sha256, first, path)
            stored = Unpacked(got.sha256, got.size_bytes)
            if file.member:
                unpacked.unlink(missing_ok=True)
                stored = unpack(
                    part.path, file.member, unpacked, file.member_bytes, file.url,
                    lambda done, total: progress(file.member, done, total),
                )  # fmt: skip
        except AssayError:
            part.discard()
            raise
        if not file.sha256 and first is None:
            _record(file, path, got, stored, tell)
        if file.member:
            unpacked.replace(path)
            part.discard()
        else:
            part.become(path)


def _refuse_other(file: RemoteFile, sha256: str, first: Origin | None, path: Path) -> None:
    if file.sha256 and sha256 != file.sha256:
        raise AssayError(
            f"{file.url} has changed: sha256 {sha256}, expected {file.sha256}; do not use it "
            "before you know why"
        )
    if first is not None and sha256 != first.sha256:
        raise AssayError(
            f"{file.url} has changed since its first download: sha256 {sha256}, recorded "
            f"{first.sha256}; delete {_record_of(path)} if you trust the new one"
        )


def _record(
    file: RemoteFile,
    path: Path,
    got: Downloaded,
    stored: Unpacked,
    tell: Callable[[str], None],
) -> None:
    """Write what a first download was, before it gets its name."""
    record = _record_of(path)
    first = Origin(file.url, got.sha256, got.size_bytes, stored.sha256, stored.size_bytes)
    record.write_text(json.dumps(asdict(first), indent=2) + "\n", encoding="utf-8")
    known = ""
    if file.listed_sha256:
        agrees = got.sha256 == file.listed_sha256
        known = ", as others found it" if agrees else f", others found {file.listed_sha256}"
    tell(
        f"{file.name} is trusted on first use: its download has sha256 {got.sha256}{known}; "
        f"recorded in {record}, later downloads are held against it"
    )
