"""Downloads go on where they stopped, against a local server that misbehaves as it is told to."""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from harness.download import Downloaded, download, opened
from harness.errors import AssayError

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2


@dataclass
class Server:
    """What the server does, and what it was asked for.

    Attributes:
        body: what it serves.
        tag: its ETag; empty for none.
        changed: its Last-Modified; empty for none.
        sends: how many bytes of an answer it sends before it closes the connection or stalls.
        stalls: whether it then keeps silent instead of closing.
        claims: the Content-Length it claims; "" for the truth, "none" for no header.
        ranges: "honoured", "ignored", or "wrong": another part than was asked for.
        asked: Range and If-Range of each request.
    """

    body: bytes = BODY
    tag: str = '"one"'
    changed: str = ""
    sends: int | None = None
    stalls: bool = False
    claims: str = ""
    chunked: bool = False
    ranges: str = "honoured"
    status: int = 200
    url: str = ""
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        does = cast("Listener", self.server).does
        span, condition = self.headers["Range"], self.headers["If-Range"]
        does.asked.append((span, condition))
        if does.status != 200:
            self.send_error(does.status)
            return
        begin = 0
        if span and does.ranges != "ignored" and condition in (does.tag, does.changed):
            begin = int(span.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(does.body):
                self.send_error(416)
                return
            self.send_response(206)
            told = begin + 1 if does.ranges == "wrong" else begin
            last = len(does.body) - 1
            self.send_header("Content-Range", f"bytes {told}-{last}/{last + 1}")
        else:
            self.send_response(200)
        if does.tag:
            self.send_header("ETag", does.tag)
        if does.changed:
            self.send_header("Last-Modified", does.changed)
        self.send_body(does, does.body[begin:])

    def send_body(self, does: Server, body: bytes) -> None:
        self.close_connection = True
        if does.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif does.claims != "none":
            self.send_header("Content-Length", does.claims or str(len(body)))
        self.end_headers()
        sent = body[: does.sends]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent) if does.chunked else sent)
        if does.chunked and does.sends is None:
            self.wfile.write(b"0\r\n\r\n")
        if does.stalls:
            self.wfile.flush()
            does.release.wait(20)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    def log_error(self, *args: object) -> None: ...


class Listener(ThreadingHTTPServer):
    does: Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback."""
    with Listener(("127.0.0.1", 0), Handler) as httpd:
        httpd.does = Server(url=f"http://127.0.0.1:{httpd.server_port}/file")
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield httpd.does
        httpd.does.release.set()
        httpd.shutdown()
        thread.join()


def get(server: Server, folder: Path, size_bytes: int = 0, timeout_s: float = 10.0) -> Downloaded:
    with opened(folder / "part") as part:
        got = download(server.url, part, "file", size_bytes, lambda *progress: None, timeout_s)
        part.become(folder / "file")
    return got


def break_off(server: Server, folder: Path) -> None:
    server.sends = HALF
    with pytest.raises(AssayError, match=rf"stopped after {HALF} of {len(BODY)} bytes: "):
        get(server, folder)
    server.sends = None
    assert (folder / "part").read_bytes() == BODY[:HALF]


def whole(folder: Path) -> bool:
    """Whether the file is right and nothing is left beside it."""
    return (folder / "file").read_bytes() == BODY and [path.name for path in folder.iterdir()] == [
        "file"
    ]


def test_a_whole_download_has_its_checksum_and_leaves_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    assert get(server, tmp_path) == Downloaded(SHA256, len(BODY))
    assert whole(tmp_path)
    assert server.asked == [(None, None)]


@pytest.mark.parametrize(("tag", "changed"), [('"one"', ""), ("", "Mon, 01 Jan 2024 00:00:00 GMT")])
def test_a_download_that_was_cut_is_gone_on_with(
    server: Server, tmp_path: Path, tag: str, changed: str
) -> None:
    server.tag, server.changed = tag, changed
    break_off(server, tmp_path)
    assert get(server, tmp_path) == Downloaded(SHA256, len(BODY))
    assert whole(tmp_path)
    assert server.asked[1:] == [(f"bytes={HALF}-", tag or changed)]


def test_a_stalled_download_is_one_line_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.sends, server.stalls = HALF, True
    with pytest.raises(AssayError, match=r"timed out; the same command goes on from there$"):
        get(server, tmp_path, timeout_s=0.3)
    assert (tmp_path / "part").read_bytes() == BODY[:HALF]
    server.sends, server.stalls = None, False
    assert get(server, tmp_path).sha256 == SHA256
    assert whole(tmp_path)
    assert server.asked[1:] == [(f"bytes={HALF}-", '"one"')]


@pytest.mark.parametrize(
    "change",
    [
        lambda server: setattr(server, "tag", '"two"'),
        lambda server: setattr(server, "ranges", "ignored"),
        lambda server: setattr(server, "ranges", "wrong"),
        lambda server: setattr(server, "url", server.url + "?other"),
    ],
    ids=["another ETag", "ranges ignored", "another range", "another address"],
)
def test_what_may_not_be_the_same_file_is_fetched_from_its_start(
    server: Server, tmp_path: Path, change: Callable[[Server], None]
) -> None:
    break_off(server, tmp_path)
    change(server)
    (tmp_path / "part").write_bytes(b"?" * HALF)  # would show if it were gone on with
    assert get(server, tmp_path).sha256 == SHA256
    assert whole(tmp_path)


def test_a_part_that_has_become_too_long_is_begun_anew(server: Server, tmp_path: Path) -> None:
    break_off(server, tmp_path)
    (tmp_path / "part").write_bytes(BODY * 2)
    assert get(server, tmp_path).sha256 == SHA256
    assert whole(tmp_path)


def test_a_part_longer_than_what_the_server_now_has_is_begun_anew(
    server: Server, tmp_path: Path
) -> None:
    break_off(server, tmp_path)
    server.body = BODY[:1000]
    assert get(server, tmp_path).size_bytes == 1000
    assert server.asked[1:] == [(f"bytes={HALF}-", '"one"'), (None, None)]


def test_a_whole_part_whose_use_failed_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    with opened(tmp_path / "part") as part:
        download(server.url, part, "file", 0, lambda *progress: None, 10.0)
    assert get(server, tmp_path).sha256 == SHA256
    assert server.asked[1:] == [(f"bytes={len(BODY) - 1}-", '"one"')]


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_kept(
    server: Server, tmp_path: Path, tag: str
) -> None:
    server.tag, server.sends = tag, HALF
    with pytest.raises(AssayError, match=r"stopped after .*; try again later$"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_chunks_are_put_together_and_a_missing_last_one_is_noticed(
    server: Server, tmp_path: Path
) -> None:
    server.chunked = True
    assert get(server, tmp_path).sha256 == SHA256
    (tmp_path / "file").unlink()
    server.sends = HALF
    with pytest.raises(AssayError, match=rf"stopped after {HALF} bytes: IncompleteRead.*"):
        get(server, tmp_path)


@pytest.mark.parametrize(
    ("claims", "size_bytes", "message"),
    [
        (
            str(len(BODY) + 5),
            0,
            rf"stopped after {len(BODY)} of {len(BODY) + 5} bytes: it sends no",
        ),
        (
            str(len(BODY) - 5),
            len(BODY),
            rf"has {len(BODY) - 5} bytes, not the {len(BODY)} it should",
        ),
        (str(10**17), 0, r"needs 10{17} more bytes and .* has \d+ free; free space"),
        ("none", 0, "comes without its size"),
        ("many", len(BODY), "comes without its size"),
    ],
)
def test_a_lie_about_the_length_is_one_line_and_no_file(
    server: Server, tmp_path: Path, claims: str, size_bytes: int, message: str
) -> None:
    server.claims = claims
    with pytest.raises(AssayError, match=message) as caught:
        get(server, tmp_path, size_bytes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file").exists()


def test_chunks_beyond_the_size_that_a_file_must_have_are_refused(
    server: Server, tmp_path: Path
) -> None:
    server.chunked = True
    with pytest.raises(AssayError, match=f"sent more than {len(BODY) - 5} bytes"):
        get(server, tmp_path, len(BODY) - 5)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("status", [206, 404, 416, 503])
def test_an_answer_that_is_no_file_is_one_line_and_no_file(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.status = status
    with pytest.raises(AssayError, match=rf"cannot fetch http.*{status}.*; try again later$"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_outlives_a_server_that_is_away(server: Server, tmp_path: Path) -> None:
    break_off(server, tmp_path)
    server.status = 503
    with pytest.raises(AssayError, match="503"):
        get(server, tmp_path)
    server.status = 200
    assert get(server, tmp_path).sha256 == SHA256
    assert server.asked[2:] == [(f"bytes={HALF}-", '"one"')]


def test_two_processes_do_not_write_one_part(server: Server, tmp_path: Path) -> None:
    with (tmp_path / "part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(AssayError, match="is being fetched by another process"):
            get(server, tmp_path)
    assert get(server, tmp_path).sha256 == SHA256
