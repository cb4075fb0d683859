"""Data is found by path or name, and fetched whole or not at all, from a real local server."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.data import Dataset, RemoteFile, fetch, find, present
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
        thread = threading.Thread(target=httpd.serve_forever)
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
        ("short", "cannot fetch|sent 9995 of 10000 bytes"),
        ("long", "sent more than 10000 bytes"),
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
        ("/longer.zip", "toy/train.txt in .* has not the 10000 bytes it should"),
        ("/shorter.zip", "toy/train.txt in .* has not the 10000 bytes it should"),
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
