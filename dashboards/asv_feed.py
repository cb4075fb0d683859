"""Repairs asv's Atom feed of regressions: an entry for each machine, and links that lead there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

from dashboards.asv_patches import other_page

_ATOM = "http://www.w3.org/2005/Atom"
_FILE = "regressions.xml"


def repair_feed(html_dir: Path, page: str) -> None:
    """Rewrite the feed in place.

    asv makes an entry's id of the benchmark and its commits. The same regression on two machines,
    or under two versions of Python, is one entry to a feed reader then, so the id gets a digest of
    everything that tells series apart: the path of the series' graph.

    Args:
        html_dir: asv's dashboard.
        page: the name of asv's page in it.

    Raises:
        AssayError: the feed is not as asv 0.6.6 writes it.
    """
    path = html_dir / _FILE
    found = json.loads((html_dir / "regressions.json").read_text(encoding="utf-8"))
    regressions: dict[str, list[Sequence[Any]]] = {}
    for regression in found["regressions"]:
        regressions.setdefault(regression[0], []).append(regression)
    ET.register_namespace("", _ATOM)
    try:
        tree = ET.parse(path)
    except ET.ParseError as error:
        raise other_page(_FILE, f"it is not XML ({error})") from error
    seen = set()
    for entry in tree.iter(f"{{{_ATOM}}}entry"):
        identity, title, link, content = (
            _child(entry, name) for name in ("id", "title", "link", "content")
        )
        href = link.get("href") or ""
        graph = _graph_of(href, regressions.get(_name_in(title.text or ""), ()))
        digest = hashlib.sha256(graph.encode()).hexdigest()[:16]
        identity.text = f"{identity.text}/{digest}"
        if identity.text in seen:
            raise other_page(_FILE, f"two entries have the id {identity.text}")
        seen.add(identity.text)
        moved = page + href.removeprefix("index.html")
        content.text = (content.text or "").replace(f'href="{href}"', f'href="{moved}"')
        link.set("href", moved)
    tree.write(path, xml_declaration=True, encoding="utf-8")


def _child(entry: ET.Element, name: str) -> ET.Element:
    child = entry.find(f"{{{_ATOM}}}{name}")
    if child is None:
        raise other_page(_FILE, f"an entry has no {name}")
    return child


def _name_in(title: str) -> str:
    """Return what an entry's title, "12.00% NAME" or "3 units NAME", says is slower."""
    return title.partition(" ")[2].removeprefix("units ")


def _graph_of(href: str, alike: Sequence[Sequence[Any]]) -> str:
    """Return the path of the graph that an entry is about; it does not say so itself."""
    page, _, query = href.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    found: set[str] = {
        graph
        for name, graph, params, *_ in alike
        if page == f"index.html#{name.partition('(')[0]}"
        and all(given.get(key) == str(value) for key, value in params.items())
    }
    if len(found) != 1:
        raise other_page(_FILE, f"an entry's link {href!r} names {len(found)} graphs")
    return found.pop()
