"""A comparison becomes one comment of its own pull request, and its text does no harm there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / ".github" / "comment.py"


class GitHub:
    """As much of GitHub's interface as a comment needs, on this machine."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, method: str) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                assert self.headers["Authorization"] == "Bearer secret"
                owner.asked.append(f"{method} {self.path}")
                answer = json.dumps(owner.answer(method, self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def do_PATCH(self) -> None:
                self._answer("PATCH")

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def answer(self, method: str, path: str, body: Any) -> Any:
        if method == "GET":
            if "/pulls?" in path:
                return self.pulls
            page = int(path.rpartition("page=")[2])
            return self.comments[(page - 1) * 100 : page * 100]
        if method == "PATCH":
            [found] = [one for one in self.comments if path.endswith(f"/comments/{one['id']}")]
            found["body"] = body["body"]
            return found
        made = {"id": 1000 + len(self.comments), "user": {"type": "Bot"}, "body": body["body"]}
        self.comments.append(made)
        return made


@pytest.fixture
def hub() -> Iterator[GitHub]:
    made = GitHub()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


HEAD = "c" * 40


def post(hub: GitHub, folder: Path, text: str | None) -> subprocess.CompletedProcess[str]:
    run = {
        "head_sha": HEAD,
        "head_branch": "a&b#c",
        "head_repository": {"owner": {"login": "guest"}},
        "html_url": "https://github.com/o/r/actions/runs/1",
    }
    (folder / "event.json").write_text(json.dumps({"workflow_run": run}))
    if text is not None:
        (folder / "comment.md").write_text(text)
    env = {
        "GITHUB_API_URL": f"http://127.0.0.1:{hub.server.server_port}",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": "secret",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
    }
    return subprocess.run(
        [sys.executable, str(SCRIPT), "comment.md"],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_pull_request_has_one_comment_that_is_renewed(hub: GitHub, tmp_path: Path) -> None:
    person = {"id": 1, "user": {"type": "User"}, "body": "<!-- assay ab --> I forge the marker"}
    hub.comments = [person, *({**person, "id": 2 + n, "body": "hm"} for n in range(120))]
    hub.pulls = [
        {"number": 6, "head": {"sha": "d" * 40}},
        {"number": 7, "head": {"sha": HEAD}},
    ]
    for text in ("| first |", "| second |"):
        answer = post(hub, tmp_path, text)
        assert answer.returncode == 0, answer.stderr
    ours = [one for one in hub.comments if one["user"]["type"] == "Bot"]
    assert len(ours) == 1
    assert "| second |" in ours[0]["body"]
    assert person["body"] == "<!-- assay ab --> I forge the marker"
    assert hub.asked[0] == "GET /repos/o/r/pulls?state=open&head=guest%3Aa%26b%23c&per_page=100"
    assert all("/issues/7/" in line or "/pulls?" in line for line in hub.asked[:-1])


def test_a_head_that_no_open_pull_request_has_gets_no_comment(hub: GitHub, tmp_path: Path) -> None:
    hub.pulls = [{"number": 6, "head": {"sha": "d" * 40}}]
    assert post(hub, tmp_path, "| mine |").returncode == 0
    assert hub.comments == []


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_a_comparison_that_wrote_nothing_posts_nothing(
    hub: GitHub, tmp_path: Path, text: str | None
) -> None:
    hub.pulls = [{"number": 7, "head": {"sha": HEAD}}]
    assert post(hub, tmp_path, text).returncode == 0
    assert hub.asked == []


@pytest.mark.parametrize(
    "hostile",
    [
        "@everyone", "\\@everyone", "<img src=x>", "<!-- assay ab -->", "<http://a.example>",
        "[click](http://a.example)", "![x](http://a.example/x.png)", "[x][y]\n\n[y]: //a.example",
        "[y]\n\n[y]: //a.example", "https://a.example", "www.a.example", "WWW.a.example",
        "#1", "o/r#12", "GH-1", "a@b.example",
    ],
)  # fmt: skip
def test_what_a_pull_request_wrote_mentions_nobody_and_links_nowhere(
    hub: GitHub, tmp_path: Path, hostile: str
) -> None:
    active = r"@\w|<[a-z!/]|#\d|\bgh-\d|www\.|://|\]\(|\]\[|\]:"
    assert re.search(active, hostile, re.I)
    hub.pulls = [{"number": 7, "head": {"sha": HEAD}}]
    assert post(hub, tmp_path, f"### heat\n\n| {hostile} |\n").returncode == 0
    body = hub.comments[0]["body"].partition("\n\n")[2]
    assert not re.search(active, body, re.I)
    assert "&" not in body, "entities are resolved before mentions are looked for"
    assert body.replace("\u200b", "") == f"### heat\n\n| {hostile} |\n"


def test_a_long_comparison_is_cut(hub: GitHub, tmp_path: Path) -> None:
    hub.pulls = [{"number": 7, "head": {"sha": HEAD}}]
    assert post(hub, tmp_path, "@x\n" * 99_999).returncode == 0
    body = hub.comments[0]["body"]
    assert body.endswith("(cut; the job has the rest)\n")
    assert len(body) < 65_536
