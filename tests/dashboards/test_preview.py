from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dashboards import commands
from dashboards.preview import HOST, open_server, serve
from harness.errors import AssayError


@pytest.fixture
def html(tmp_path: Path) -> Path:
    folder = tmp_path / "html"
    (folder / "graphs").mkdir(parents=True)
    (folder / "index.html").write_text("<p>the dashboard</p>")
    (folder / "graphs" / "a b.json").write_text("[]")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "within.html").symlink_to(folder / "index.html")
    return folder


@pytest.fixture
def address(html: Path) -> Iterator[tuple[str, int]]:
    with open_server(html, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(server.server_address[0]), server.server_port
        server.shutdown()
        thread.join()


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_it_listens_on_loopback_only(address: tuple[str, int]) -> None:
    assert address[0] == HOST == "127.0.0.1"
    assert address[1] > 0


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", "<p>the dashboard</p>"),
        ("/index.html?timestamp=1", "<p>the dashboard</p>"),
        ("/within.html", "<p>the dashboard</p>"),
        ("/graphs/a%20b.json", "[]"),
    ],
)
def test_files_of_the_dashboard_are_served(
    address: tuple[str, int], path: str, content: str
) -> None:
    assert get(address, path) == (200, content)


@pytest.mark.parametrize(
    "path",
    [
        "/out.txt",
        "/up/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/up/",
        "/loop",
        "/no%00name",
    ],
)
def test_nothing_outside_the_folder_is_served(address: tuple[str, int], path: str) -> None:
    status, content = get(address, path)
    assert status == 404
    assert "secret" not in content.replace("secret.txt", "")


def test_folders_are_not_listed(address: tuple[str, int]) -> None:
    assert get(address, "/graphs/")[0] == 404


def test_without_a_dashboard_the_fix_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="`assay publish` makes one"):
        serve(tmp_path, 0, print)
    with pytest.raises(AssayError, match="`assay publish` makes one"):
        CliRunner().invoke(commands.preview, ["--html", str(tmp_path)], catch_exceptions=False)


def test_a_port_that_is_taken_is_one_clear_line(html: Path) -> None:
    with open_server(html, 0) as server, pytest.raises(AssayError, match="use --port 0"):
        open_server(html, server.server_port)


def test_the_address_is_announced_before_it_serves(html: Path) -> None:
    said = []

    def announce(address: str) -> None:
        said.append(address)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve(html, 0, announce)
    assert said[0].startswith("http://127.0.0.1:")
