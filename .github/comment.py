"""Posts a comparison as the one comment of its pull request, or renews it.

    python3 .github/comment.py FILE

The file comes from a job that ran the pull request's own code: it is taken as text that anybody
may have written. Which pull request it belongs to is never taken from it, but asked of GitHub: the
open one whose head is the very commit that the job ran on.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARKER = "<!-- assay ab -->"

MOST_CHARACTERS = 60_000
"""GitHub takes 65,536 a comment."""

_NO_WIDTH = "\u200b"
_ACTIVE = re.compile(r"[@<]|#(?=[0-9])|gh-(?=[0-9])|www(?=\.)|:(?=//)|\](?=[(:\[])", re.IGNORECASE)
"""The first half of a mention, tag, issue's number, address, link or link's target."""

_PAGE = 100
_MOST_PAGES = 20
_TIMEOUT_S = 30.0


def main(arguments: list[str]) -> int:
    """Post the file's text; return 1 where GitHub refuses it."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    path = Path(arguments[0])
    if not path.is_file() or path.is_symlink():
        print("there is nothing to post: the comparison wrote no comment")
        return 0
    with path.open("rb") as file:
        text = file.read(4 * MOST_CHARACTERS).decode("utf-8", "replace")
    if not text.strip():
        print("there is nothing to post: the comparison ended before it had any")
        return 0
    try:
        number = _pull_request(event["workflow_run"])
        if number is None:
            print("there is nothing to post to: no open pull request has this head")
            return 0
        _post(number, comment(text, event["workflow_run"]))
    except urllib.error.HTTPError as error:
        print(f"GitHub refuses: {error.code} {error.reason}", file=sys.stderr)
        return 1
    return 0


def comment(text: str, run: Mapping[str, Any]) -> str:
    """Return the comment: tables stay tables; mentions, HTML, links and pictures become text.

    GitHub looks for mentions, issues and addresses after it has resolved escapes and entities, so
    a space without width breaks what would become any.
    """
    tame = _ACTIVE.sub(rf"\g<0>{_NO_WIDTH}", text.replace("\0", ""))
    if len(tame) > MOST_CHARACTERS:
        tame = f"{tame[:MOST_CHARACTERS].rpartition(chr(10))[0]}\n\n(cut; the job has the rest)\n"
    sha, link = str(run["head_sha"])[:8], f"{run['html_url']}"
    return f"{MARKER}\nMeasured by turns at {sha} ([the job]({link})).\n\n{tame}"


def _pull_request(run: Mapping[str, Any]) -> int | None:
    """Return the number of the open pull request whose head the job ran on."""
    head = f"{run['head_repository']['owner']['login']}:{run['head_branch']}"
    query = urllib.parse.urlencode({"state": "open", "head": head, "per_page": _PAGE})
    for pull in _call("GET", f"pulls?{query}"):
        if pull["head"]["sha"] == run["head_sha"]:
            return int(pull["number"])
    return None


def _post(number: int, body: str) -> None:
    for page in range(1, _MOST_PAGES + 1):
        found = _call("GET", f"issues/{number}/comments?per_page={_PAGE}&page={page}")
        for one in found:
            if one["user"]["type"] == "Bot" and one["body"].startswith(MARKER):
                _call("PATCH", f"issues/comments/{one['id']}", {"body": body})
                return
        if len(found) < _PAGE:
            break
    _call("POST", f"issues/{number}/comments", {"body": body})


def _call(method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
