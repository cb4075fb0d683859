"""Makes asv's dashboard whole: it works without a network, on phones, and with our pages."""

from __future__ import annotations

from pathlib import Path

from dashboards.asv_feed import repair_feed
from dashboards.asv_patches import NAVIGATION, PAGE, SCRIPTS, patched
from dashboards.offline import copy_local, offline

ASV_PAGE = "asv.html"
"""Where asv's page lies once `index.html` is ours."""


def make_whole(html_dir: Path, *, own_pages: bool) -> None:
    """Repair the dashboard that asv has written, in place.

    Args:
        html_dir: the folder, as asv's publishers leave it.
        own_pages: whether our pages come beside asv's: then asv's page becomes `asv.html`, and
            links to them.

    Raises:
        AssayError: a file is not the one that this was written for, as after a new asv release;
            nothing is changed then.
    """
    page = (html_dir / "index.html").read_text(encoding="utf-8")
    for patch in (*PAGE, *([NAVIGATION] if own_pages else [])):
        page = patched(page, patch)
    page = offline(page)
    names = {patch.file for patch in SCRIPTS}
    scripts = {name: (html_dir / name).read_text(encoding="utf-8") for name in names}
    for patch in SCRIPTS:
        scripts[patch.file] = patched(scripts[patch.file], patch)
    name = ASV_PAGE if own_pages else "index.html"
    repair_feed(html_dir, name)
    if own_pages:
        (html_dir / "index.html").unlink()
    (html_dir / name).write_text(page, encoding="utf-8")
    for script, text in scripts.items():
        (html_dir / script).write_text(text, encoding="utf-8")
    copy_local(html_dir)
