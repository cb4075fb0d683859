"""What is repaired in asv's dashboard, and how another release of asv is told."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import pytest
from asv import __file__ as asv_file
from asv.feed import write_atom

from dashboards import offline
from dashboards.asv_pages import make_whole
from dashboards.asv_patches import LINKS, NAVIGATION, PAGE, SCRIPTS, Patch
from dashboards.site import publish
from harness.errors import AssayError
from harness.records import Result

Make = Callable[..., Result]
Store = Callable[[Sequence[Result | Sequence[Result]]], Path]

VENDOR = Path(offline.__file__).with_name("vendor")
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def html(tmp_path: Path) -> Path:
    """asv's own files as its publishers leave them, without any regression."""
    folder = tmp_path / "html"
    shutil.copytree(Path(asv_file).with_name("www"), folder)
    (folder / "regressions.json").write_text('{"regressions": []}')
    write_atom(str(folder / "regressions.xml"), [], author="asv", title="x", address="x.asv")
    return folder


def loaded_by(page: Path) -> list[str]:
    return re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]*)"', page.read_text())


@pytest.mark.parametrize("own_pages", [True, False])
def test_the_page_loads_nothing_from_the_network(html: Path, own_pages: bool) -> None:
    make_whole(html, own_pages=own_pages)
    loaded = loaded_by(html / ("asv.html" if own_pages else "index.html"))
    assert len(loaded) > 15
    for name in loaded:
        assert (html / name).is_file(), name
    assert (html / "vendor" / "LICENSES.md").is_file()


def test_the_page_permits_no_script_but_the_published_files(html: Path) -> None:
    make_whole(html, own_pages=True)
    page = (html / "asv.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "script-src 'self';" in policy
    assert not re.search(r"<script\b(?![^>]*\bsrc=)|\son\w+=", page)
    assert page.index("Content-Security-Policy") < page.index("<script")


def test_asvs_page_links_to_ours_where_they_are(html: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(html, alone)
    make_whole(html, own_pages=True)
    make_whole(alone, own_pages=False)
    links = [f'<a href="{page}">{name}</a>' for name, page in LINKS]
    page = (html / "asv.html").read_text()
    places = [page.index(link) for link in links]
    assert places == sorted(places)
    assert not (html / "index.html").exists()
    assert not any(link in (alone / "index.html").read_text() for link in links)
    assert not (alone / "asv.html").exists()


@pytest.mark.parametrize("patch", [*PAGE, NAVIGATION, *SCRIPTS], ids=lambda patch: patch.file)
@pytest.mark.parametrize("times", [0, 2])
def test_a_release_that_says_it_otherwise_fails_loudly(
    html: Path, patch: Patch, times: int
) -> None:
    file = html / patch.file
    file.write_text(file.read_text().replace(patch.anchor, patch.anchor * times))
    before = {path: path.read_bytes() for path in html.rglob("*") if path.is_file()}
    with pytest.raises(AssayError) as refusal:
        make_whole(html, own_pages=True)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"asv's {patch.file} is not that of asv 0.6.6: ")
    assert f"stands there {times} times instead of once; install 'asv==0.6.6'" in line
    assert {path: path.read_bytes() for path in html.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("url", [*offline.SCRIPTS, *offline.STYLES])
def test_a_release_that_loads_another_script_fails_loudly(html: Path, url: str) -> None:
    page = html / "index.html"
    page.write_text(page.read_text().replace(url, url + ".moved"))
    with pytest.raises(AssayError, match=re.escape(f"{url} stands there 0 times")):
        make_whole(html, own_pages=True)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ('<script src="https://example.org/new.js"></script>', "https://example.org/new.js is"),
        ("<script>start()</script>", "<script> runs a script"),
        ('<p onclick="start()">x</p>', '<p onclick="start()"> runs a script'),
    ],
)
def test_a_further_script_in_the_page_fails_loudly(html: Path, extra: str, problem: str) -> None:
    page = html / "index.html"
    page.write_text(page.read_text().replace("</head>", extra + "</head>"))
    with pytest.raises(AssayError, match=re.escape(problem)):
        make_whole(html, own_pages=True)


def test_vendored_files_are_those_of_the_packages_named_with_their_licences() -> None:
    licences = (VENDOR / "LICENSES.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\S+) \| \S+ \| \S+ \| ([0-9a-f]{64}) \|$", licences, re.M)
    files = {path.name for path in VENDOR.iterdir()} - {"LICENSES.md"}
    assert {name for name, _, _ in rows} == files
    served = {Path(name) for name in (*offline.SCRIPTS.values(), *offline.STYLES.values())}
    assert files == {path.name for path in served if path.parent.name == "vendor"}
    for name, package, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert f"\n## {package}\n" in licences


def slowed(history: Any, measured: Make, machines: Sequence[str]) -> list[Result]:
    """A workload that slows down at the fifth of eight commits, on every machine alike."""
    return [
        measured(history, at, facts={"machine": machine}, seconds=3.0 if at >= 4 else 2.0)
        for at in range(8)
        for machine in machines
    ]


def entries_of(html: Path) -> list[ET.Element]:
    return list(ET.parse(html / "regressions.xml").iter(f"{ATOM}entry"))


def texts_of(entries: Sequence[ET.Element], name: str) -> list[str]:
    return [str(entry.findtext(f"{ATOM}{name}")) for entry in entries]


def test_one_regression_on_two_machines_is_two_entries_of_the_feed(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(8)
    report = publish(stored(slowed(history, measured, ["a", "b"])), history.folder)
    html = report.index.parent
    entries = entries_of(html)
    assert len(entries) == 2
    assert len(set(texts_of(entries, "id"))) == 2
    hrefs = [str(entry.find(f"{ATOM}link").get("href")) for entry in entries]  # type: ignore[union-attr]
    for href, content in zip(hrefs, texts_of(entries, "content"), strict=True):
        page, _, anchor = href.partition("#")
        assert (page, anchor.partition("?")[0]) == ("asv.html", "heat.time")
        assert (html / page).is_file()
        assert f'<a href="{href}">' in content
    assert sorted(parse_qs(href.partition("?")[2])["machine"][0] for href in hrefs) == ["a", "b"]


def test_an_entry_keeps_its_id_when_the_feed_is_made_again_and_the_values_change(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(8)
    root = stored(slowed(history, measured, ["a"]))
    html = publish(root, history.folder).index.parent
    before = texts_of(entries_of(html), "id")
    stored([measured(history, 7, facts={"machine": "a"}, seconds=3.1, started_at=2e9)])
    publish(root, history.folder)
    assert texts_of(entries_of(html), "id") == before
    assert len(before) == 1


def test_a_feed_that_asv_writes_otherwise_fails_loudly(html: Path) -> None:
    (html / "regressions.xml").write_text("not a feed")
    with pytest.raises(AssayError, match=re.escape("asv's regressions.xml is not that of asv")):
        make_whole(html, own_pages=True)


def test_an_entry_whose_series_cannot_be_told_fails_loudly(
    html: Path, history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(8)
    former = publish(stored(slowed(history, measured, ["a"])), history.folder).index.parent
    shutil.copy(former / "regressions.xml", html)
    (html / "regressions.json").write_text(json.dumps({"regressions": []}))
    with pytest.raises(AssayError, match="names 0 graphs"):
        make_whole(html, own_pages=True)
