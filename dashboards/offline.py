"""Makes asv's pages work without a network: its external scripts become local copies."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from harness.errors import AssayError

FOLDER = "vendor"

SCRIPTS = {
    "https://code.jquery.com/jquery-3.3.1.min.js": "jquery.min.js",
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.min.js": "jquery.flot.js",
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.time.min.js": (
        "jquery.flot.time.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.selection.min.js": (
        "jquery.flot.selection.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.categories.min.js": (
        "jquery.flot.categories.js"
    ),
    "https://cdn.jsdelivr.net/npm/flot-orderbars@1.0.0/js/jquery.flot.orderBars.js": (
        "jquery.flot.orderBars.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/stupidtable/1.0.1/stupidtable.min.js": (
        "stupidtable.min.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/blueimp-md5/2.19.0/js/md5.min.js": "md5.min.js",
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/js/bootstrap.min.js": "bootstrap.min.js",
}
"""What the page of asv 0.6.6 loads, and the copy that stands in for it."""

STYLES = {
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/css/bootstrap.min.css": "bootstrap.min.css",
}

LICENCES = "LICENSES.md"


def make_offline(html_dir: Path) -> None:
    """Let the published page load nothing from the network; changes `index.html` in place.

    Raises:
        AssayError: the page is not the one that this was written for, as after a new asv release.
    """
    page = html_dir / "index.html"
    text = page.read_text(encoding="utf-8")
    for url, name in SCRIPTS.items():
        tag = f'<script src="{FOLDER}/{name}" onerror="js_load_failure()"></script>'
        text = _replace_once(text, rf'<script src="{re.escape(url)}"[^>]*></script>', tag, url)
    for url, name in STYLES.items():
        tag = f'<link rel="stylesheet" href="{FOLDER}/{name}">'
        text = _replace_once(text, rf'<link [^>]*href="{re.escape(url)}"[^>]*>', tag, url)
    rest = re.search(r'<(?:script|link|img)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]*)"', text)
    if rest:
        raise _other_page(f"{rest[1]} is loaded from the network")
    _copy_vendored(html_dir / FOLDER)
    page.write_text(text, encoding="utf-8")


def _replace_once(text: str, pattern: str, replacement: str, anchor: str) -> str:
    text, count = re.subn(pattern, lambda match: replacement, text)
    if count != 1:
        raise _other_page(f"{anchor} stands there {count} times instead of once")
    return text


def _other_page(what: str) -> AssayError:
    return AssayError(
        f"asv's index.html is not that of asv 0.6.6: {what}; install 'asv==0.6.6' or report it"
    )


def _copy_vendored(target: Path) -> None:
    target.mkdir(exist_ok=True)
    with as_file(files("dashboards") / FOLDER) as source:
        for name in (*SCRIPTS.values(), *STYLES.values(), LICENCES):
            shutil.copyfile(source / name, target / name)
