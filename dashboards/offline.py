"""Lets asv's page work without a network: its external scripts become local copies."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from dashboards.asv_patches import other_page

VENDORED = "vendor"
"""Copies of others' work, as it is; LICENSES.md says whose."""

REPAIRS = "repairs"
"""Scripts and styles of our own for asv's pages."""

SCRIPTS = {
    "https://code.jquery.com/jquery-3.3.1.min.js": "vendor/jquery.min.js",
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.min.js": (
        "vendor/jquery.flot.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.time.min.js": (
        "vendor/jquery.flot.time.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.selection.min.js": (
        "vendor/jquery.flot.selection.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/flot/0.8.3/jquery.flot.categories.min.js": (
        "vendor/jquery.flot.categories.js"
    ),
    # The only one that is replaced: it reckons with the names of categories and draws nothing.
    "https://cdn.jsdelivr.net/npm/flot-orderbars@1.0.0/js/jquery.flot.orderBars.js": (
        "repairs/bars.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/stupidtable/1.0.1/stupidtable.min.js": (
        "vendor/stupidtable.min.js"
    ),
    "https://cdnjs.cloudflare.com/ajax/libs/blueimp-md5/2.19.0/js/md5.min.js": "vendor/md5.min.js",
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/js/bootstrap.min.js": (
        "vendor/bootstrap.min.js"
    ),
}
"""What the page of asv 0.6.6 loads, and what stands in for it."""

STYLES = {
    "https://cdn.jsdelivr.net/npm/bootstrap@3.1.1/dist/css/bootstrap.min.css": (
        "vendor/bootstrap.min.css"
    ),
}

_LICENCES = "vendor/LICENSES.md"
_OWN_STYLES = "repairs/asv.css"


def offline(text: str) -> str:
    """Return asv's page loading nothing from the network and running no script of its own markup.

    Raises:
        AssayError: the page is not the one that this was written for, as after a new asv release.
    """
    for url, name in SCRIPTS.items():
        tag = f'<script src="{name}"></script>'
        text = _replace_once(text, rf'<script src="{re.escape(url)}"[^>]*></script>', tag, url)
    for url, name in STYLES.items():
        tag = f'<link rel="stylesheet" href="{name}">'
        text = _replace_once(text, rf'<link [^>]*href="{re.escape(url)}"[^>]*>', tag, url)
    rest = re.search(r'<(?:script|link|img)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]*)"', text)
    if rest:
        raise other_page("index.html", f"{rest[1]} is loaded from the network")
    inline = re.search(r"<script\b(?![^>]*\bsrc=)[^>]*>|<[^>]*\son\w+=[^>]*>", text)
    if inline:
        raise other_page("index.html", f"{inline[0]} runs a script that stands in the page")
    return text


def copy_local(html_dir: Path) -> None:
    """Copy the scripts and styles that `offline` names to where it names them."""
    with as_file(files("dashboards")) as source:
        for name in (*SCRIPTS.values(), *STYLES.values(), _LICENCES, _OWN_STYLES):
            (html_dir / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, html_dir / name)


def _replace_once(text: str, pattern: str, replacement: str, anchor: str) -> str:
    text, count = re.subn(pattern, lambda match: replacement, text)
    if count != 1:
        raise other_page("index.html", f"{anchor} stands there {count} times instead of once")
    return text
