"""`assay data` fetches what a workload names, says what it took on trust, and where things are."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.commands import data_progress
from harness.commands.data_progress import transfer_progress
from tests.conftest import Assay

TEXT = b"%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 1\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def toy(tmp_path: Path, plugin_folder: Path) -> Iterator[Path]:
    """The folder in which `assay data fetch toy --folder` puts its file, from a local server."""
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "toy.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("toy/toy.mtx")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    info = plugin_folder / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assay.workloads]\ntoys = toys:TOYS\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as httpd:
        (plugin_folder / "toys.py").write_text(
            "from harness.data import Dataset, RemoteFile\n"
            f"URL = 'http://127.0.0.1:{httpd.server_port}/toy.tar.gz'\n"
            "FILE = RemoteFile('toy.mtx', URL, '', 0, member='toy/toy.mtx')\n"
            "class Toys:\n"
            "    def datasets(self):\n"
            "        return (Dataset('toy', 'a toy', 'no terms', (FILE,), 'toy'),)\n"
            "TOYS = Toys()\n"
        )
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield tmp_path / "data" / "toy"
        httpd.shutdown()
        thread.join()


def test_a_matrix_without_a_published_checksum_is_fetched_and_its_checksum_told(
    assay: Assay, toy: Path
) -> None:
    answer = assay("data", "fetch", "toy", "--folder", str(toy.parent))
    assert (answer.returncode, answer.stdout) == (0, f"{toy}\n")
    assert (toy / "toy.mtx").read_bytes() == TEXT
    record = json.loads((toy / "toy.mtx.origin.json").read_text())
    assert answer.stderr.startswith("toy.mtx is trusted on first use: ")
    assert record["sha256"] in answer.stderr
    assert answer.stderr.count("\n") == 1
    again = assay("data", "fetch", "toy", ASSAY_DATA=str(toy.parent))
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{toy}\n", "")


def test_a_size_that_is_not_known_is_said_to_be_so(assay: Assay, toy: Path) -> None:
    assert "toy (toys, size unknown): a toy" in assay("data", "list").stdout
    rows = {row["name"]: row for row in json.loads(assay("data", "list", "--json").stdout)}
    assert rows["toy"]["bytes"] is None
    assert rows["gowalla"]["bytes"] > 1_000_000


def test_plain_lines_tell_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with transfer_progress() as progress:
        progress.moved("x", 1 << 20, 1 << 30)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(data_progress, "_EVERY_S", 0.0)
    with transfer_progress() as progress:
        progress.moved("x", 1 << 20, 1 << 30)
        progress.moved("x", 1 << 29, 1 << 30)
        progress.moved("y", 1 << 20, 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "x: 1.00 MiB of 1.00 GiB"
    assert lines[1].startswith("x: 512 MiB of 1.00 GiB, ETA ")
    assert lines[2] == "y: 1.00 MiB"
