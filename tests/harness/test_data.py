"""Data is found by path or name, and fetched whole or not at all, from a real local server."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.data import Dataset, RemoteFile, fetch, find, origin, present, refuse_changed
from harness.errors import AssayError

BODY = b"0 1 2\n1 3\n" * 1000


def archive(member: str = "toy/train.txt", body: bytes = BODY) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("../../escaped.txt", "never unpacked")
        written.writestr(zipfile.ZipInfo(member), body)
    return held.getvalue()


ARCHIVES = {
    "/right.zip": archive(),
    "/longer.zip": archive(body=BODY * 1000),
    "/shorter.zip": archive(body=BODY[:-1]),
    "/other.zip": archive(member="toy/test.txt"),
    "/none.zip": BODY,
    "/torn.zip": archive()[:50] + b"?" * 20 + archive()[70:],
}


class Handler(BaseHTTPRequestHandler):
    """Serves BODY, or misbehaves as the path says."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        sent = ARCHIVES | {"/short": BODY[:-5], "/long": BODY * 2, "/changed": BODY[::-1]}
        body = sent.get(self.path, BODY)
        if self.path == "/babble":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) if self.path == "/short" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    def log_error(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def dataset(url: str) -> Dataset:
    digest = hashlib.sha256(BODY).hexdigest()
    file = RemoteFile("train.txt", url, digest, len(BODY))
    return Dataset("toy", "a toy", "none", (file,), "toy")


def test_a_data_set_is_fetched_checked_and_then_present(server: str, tmp_path: Path) -> None:
    toy = dataset(f"{server}/train")
    environ = {"ASSAY_DATA": str(tmp_path)}
    assert present(toy, environ) is None
    seen: list[tuple[str, int, int]] = []
    folder = fetch(toy, tmp_path, lambda *progress: seen.append(progress))
    assert (folder / "train.txt").read_bytes() == BODY
    assert present(toy, environ) == folder
    assert seen[-1] == ("train.txt", len(BODY), len(BODY))


@pytest.mark.parametrize("path", ["/train", "/right.zip"])
def test_what_is_fetched_has_the_mode_of_any_other_file(
    server: str, tmp_path: Path, path: str
) -> None:
    toy = zipped(server, path) if path in ARCHIVES else dataset(f"{server}{path}")
    former = os.umask(0o027)
    try:
        folder = fetch(toy, tmp_path)
    finally:
        os.umask(former)
    assert (folder / "train.txt").stat().st_mode & 0o777 == 0o640


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "train.txt").write_bytes(BODY)
    assert fetch(dataset("http://127.0.0.1:1/never"), tmp_path) == tmp_path / "toy"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("short", "stopped after 9995 of 10000 bytes: .*; try again later"),
        ("long", "has 20000 bytes, not the 10000 it should"),
        ("changed", "has changed: sha256"),
        ("missing", "cannot fetch .*404"),
        ("babble", "cannot fetch .*no HTTP at all.*; try again"),
    ],
)
def test_anything_but_the_whole_right_file_is_refused_and_leaves_nothing(
    server: str, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(AssayError, match=message):
        fetch(dataset(f"{server}/{path}"), tmp_path)
    assert list((tmp_path / "toy").iterdir()) == []


def zipped(url: str, path: str) -> Dataset:
    sent = ARCHIVES[path]
    file = RemoteFile(
        "train.txt",
        f"{url}{path}",
        hashlib.sha256(sent).hexdigest(),
        len(sent),
        member="toy/train.txt",
        member_bytes=len(BODY),
    )
    return Dataset("toy", "a toy", "none", (file,), "toy")


def test_a_file_is_taken_out_of_its_archive_and_nothing_else(server: str, tmp_path: Path) -> None:
    toy = zipped(server, "/right.zip")
    folder = fetch(toy, tmp_path)
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [("train.txt", BODY)]
    assert present(toy, {"ASSAY_DATA": str(tmp_path)}) == folder
    assert [path.name for path in tmp_path.rglob("*")] == ["toy", "train.txt"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/longer.zip",
            "cannot unpack toy/train.txt of .*: it has .* bytes, not the 10000 it should",
        ),
        (
            "/shorter.zip",
            "cannot unpack toy/train.txt of .*: it has .* bytes, not the 10000 it should",
        ),
        ("/other.zip", "cannot unpack toy/train.txt of .*: .*no item named"),
        ("/none.zip", "cannot unpack toy/train.txt of .*: File is not a zip file"),
        ("/torn.zip", "cannot unpack toy/train.txt of "),
    ],
)
def test_an_archive_without_the_right_file_is_refused_and_leaves_nothing(
    server: str, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(AssayError, match=message):
        fetch(zipped(server, path), tmp_path)
    assert list((tmp_path / "toy").iterdir()) == []


def packed(body: bytes, name: str = "toy/train.txt") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as written:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        written.addfile(member, io.BytesIO(body))
    return held.getvalue()


@pytest.fixture
def trusted(server: str, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set without a published checksum or size, in a gzipped tar."""
    monkeypatch.setitem(ARCHIVES, "/trusted.tar.gz", packed(BODY))
    file = RemoteFile("train.txt", f"{server}/trusted.tar.gz", "", 0, member="toy/train.txt")
    return Dataset("toy", "a toy", "none", (file,), "toy")


def test_the_first_download_without_a_checksum_is_recorded_and_told(
    trusted: Dataset, tmp_path: Path
) -> None:
    environ = {"ASSAY_DATA": str(tmp_path)}
    assert present(trusted, environ) is None
    told: list[str] = []
    folder = fetch(trusted, tmp_path, tell=told.append)
    path = folder / "train.txt"
    assert path.read_bytes() == BODY
    assert sorted(one.name for one in folder.iterdir()) == ["train.txt", "train.txt.origin.json"]
    assert present(trusted, environ) == folder
    first = origin(path)
    assert first is not None
    sent = ARCHIVES["/trusted.tar.gz"]
    assert (first.sha256, first.size_bytes) == (hashlib.sha256(sent).hexdigest(), len(sent))
    assert (first.stored_sha256, first.stored_bytes) == (hashlib.sha256(BODY).hexdigest(), 10_000)
    assert len(told) == 1
    assert first.sha256 in told[0]


@pytest.mark.parametrize(("agrees", "said"), [(True, ", as others found it; "), (False, "found 0")])
def test_a_checksum_that_others_list_is_compared_but_does_not_decide(
    trusted: Dataset, tmp_path: Path, agrees: bool, said: str
) -> None:
    listed = hashlib.sha256(ARCHIVES["/trusted.tar.gz"]).hexdigest() if agrees else "0" * 64
    files = (replace(trusted.files[0], listed_sha256=listed),)
    told: list[str] = []
    fetch(replace(trusted, files=files), tmp_path, tell=told.append)
    assert said in told[0]


def test_a_later_download_is_held_against_the_first(
    trusted: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(trusted, tmp_path) / "train.txt"
    path.unlink()
    assert present(trusted, {"ASSAY_DATA": str(tmp_path)}) is None
    told: list[str] = []
    fetch(trusted, tmp_path, tell=told.append)
    assert (path.read_bytes(), told) == (BODY, [])
    path.unlink()
    sent = bytearray(ARCHIVES["/trusted.tar.gz"])
    sent[9] ^= 1  # what system packed it: the same content, another archive
    monkeypatch.setitem(ARCHIVES, "/trusted.tar.gz", bytes(sent))
    with pytest.raises(AssayError, match=r"has changed since its first download: .*; delete .*ori"):
        fetch(trusted, tmp_path)
    assert not path.exists()
    path.with_name("train.txt.origin.json").unlink()
    fetch(trusted, tmp_path, tell=told.append)
    assert (path.read_bytes(), len(told)) == (BODY, 1)


def test_a_later_use_is_held_against_the_first_download(trusted: Dataset, tmp_path: Path) -> None:
    path = fetch(trusted, tmp_path) / "train.txt"
    refuse_changed(path, hashlib.sha256(BODY).hexdigest())
    with pytest.raises(AssayError, match=r"train.txt has changed since it was fetched: .* again$"):
        refuse_changed(path, "0" * 64)
    refuse_changed(tmp_path / ("n" * 250), "0" * 64)  # nothing is recorded of it
    path.with_name("train.txt.origin.json").write_text("{")
    with pytest.raises(AssayError, match=r"origin.json is damaged; delete it"):
        refuse_changed(path, "0" * 64)
    assert present(trusted, {"ASSAY_DATA": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (packed(BODY, "toy/test.txt"), "there is no item named 'toy/train.txt'"),
        (packed(BODY)[:-20], "cannot unpack toy/train.txt of .*; report it"),
        (BODY, "File is not a zip file"),
    ],
    ids=["another member", "torn", "no archive"],
)
def test_an_archive_that_cannot_be_used_is_neither_kept_nor_recorded(
    trusted: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    message: str,
) -> None:
    monkeypatch.setitem(ARCHIVES, "/trusted.tar.gz", sent)
    with pytest.raises(AssayError, match=message):
        fetch(trusted, tmp_path)
    assert list((tmp_path / "toy").iterdir()) == []


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"cannot fetch http://127.0.0.1:1/x: .*; try again"):
        fetch(dataset("http://127.0.0.1:1/x"), tmp_path)


@pytest.mark.parametrize("folder", ["/proc/nope", "file", "file/below"])
def test_a_folder_that_cannot_be_written_is_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(AssayError, match=rf"^cannot write to {folder}/toy: .*; .* --folder$"):
        fetch(dataset(f"{server}/train"), Path(folder))


def test_a_full_disk_is_told_as_what_it_is_and_leaves_nothing(server: str, tmp_path: Path) -> None:
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(AssayError, match=r"cannot write to .*toy: File too large; free space"):
            fetch(dataset(f"{server}/train"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert list((tmp_path / "toy").iterdir()) == []


@pytest.mark.parametrize("name", ["~nosuchuser/x", "n" * 300, "a/" * 3000, "nul\0", "bytes\udce9"])
def test_a_name_that_no_file_can_have_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssayError, match=r"^no file or folder .*; looked at "):
        find(name, {"ASSAY_DATA": str(tmp_path)})


def test_a_name_is_a_path_or_a_path_below_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "a.mtx").touch()
    environ = {"ASSAY_DATA": str(tmp_path)}
    assert find("matrices/a.mtx", environ) == tmp_path / "matrices" / "a.mtx"
    assert find(str(tmp_path / "matrices"), {}) == tmp_path / "matrices"
    with pytest.raises(AssayError, match=r"no file or folder 'b.mtx'; looked at b.mtx, "):
        find("b.mtx", environ)
