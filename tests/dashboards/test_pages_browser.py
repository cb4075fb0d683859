"""Our own pages in a real browser, which can reach nothing but the local server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dashboards.pages import write_pages
from dashboards.pages.static import copy_static
from tests.dashboards.browser import (
    NEEDS_BROWSER,
    accessibility_violations,
    case_of,
    emulate,
    open_browser,
    read,
    served,
    severe,
    show,
    text_of,
)
from tests.dashboards.pages_history import (
    COMMITS,
    HOSTILE,
    history,
    hostile_history,
    make_run,
    write_large_pages,
)

pytestmark = NEEDS_BROWSER

PAGES = ("index.html", "workload.html", "devices.html", "run.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(autouse=True)
def _ordinary_window(browser: Any) -> None:
    emulate(browser)
    browser.get("about:blank")
    severe(browser)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    (folder / "asv.html").write_text("<title>asv</title>", encoding="utf-8")
    left_out, problems = {"the checkout was dirty": 1}, ["0123-0.json is cut short"]
    write_pages(history(), folder, project="example", left_out=left_out, problems=problems,
                baselines={"heat": "torch"})  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with served(html) as place:
        yield place


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("hostile")
    told = {"left_out": {HOSTILE: 1}, "problems": [HOSTILE]}
    write_pages(hostile_history(), folder, project=HOSTILE, **told)  # type: ignore[arg-type]
    with served(folder) as place:
        yield place, folder


@pytest.fixture
def broken(html: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A copy of the pages whose data a test may spoil."""
    folder = tmp_path / "html"
    shutil.copytree(html, folder)
    with ExitStack() as stack:
        yield stack.enter_context(served(folder)), folder


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("ASSAY_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def views(folder: Path) -> dict[str, tuple[str, dict[str, str], tuple[str, ...]]]:
    """Every kind of page: its file, its state, and texts that it must show."""
    last, gpu = make_run(COMMITS - 1), make_run(COMMITS - 1, "-gpu")
    return {
        "overview": ("index.html", {}, (
            "40.1 % slower", "Since yesterday", "Last week", "output is 3e-2 off",
            "numba needs a host", "no powercap here", "the checkout was dirty", "cut short")),
        "workload": ("workload.html", {"w": "heat"}, (
            "torch: 2.12.0", "numba", "Peak memory", "no powercap here", "40.1 % slower",
            "All series")),
        "devices": ("devices.html", {}, (
            "fastest variant", "10.0", "skipped", "failed", "energy unavailable", "Roofline",
            "gpu-1 · cuda")),
        "runs": ("run.html", {}, (last, "dirty", "gpu-1")),
        "run": ("run.html", {"run": last}, ("output is 3e-2 off", "numba", "torch")),
        "case": ("run.html", case_of(folder, gpu, "torch"), (
            "steal", "hypervisor", "passed", "recall@20", "disturbed", "Shares of ceilings")),
        "failed": ("run.html", case_of(folder, last, "numpy"), (
            "output is 3e-2 off", "Traceback: ValueError: off", "no number")),
    }  # fmt: skip


VIEWS = ("overview", "workload", "devices", "runs", "run", "case", "failed")


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_opens_without_a_network_or_an_error_and_shows_its_key_texts(
    browser: Any, html: Path, address: str, screenshots: Path, view: str
) -> None:
    page, state, texts = views(html)[view]
    for mode, scheme, width in (
        ("light", "light", 1400),
        ("dark", "dark", 1400),
        ("phone", "light", 360),
    ):
        emulate(browser, scheme=scheme, width=width)
        show(browser, address, page, **state)
        height = browser.execute_script("return document.documentElement.scrollHeight")
        emulate(browser, scheme=scheme, width=width, height=min(height, 6000))
        browser.save_screenshot(str(screenshots / f"{view}-{mode}.png"))
        shown = text_of(browser)
        assert [text for text in texts if text.lower() not in shown.lower()] == []
        overflow = (
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert browser.execute_script(overflow) <= 0
    assert severe(browser) == []


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_to_object_to_in_light_or_dark(
    browser: Any, html: Path, address: str, view: str
) -> None:
    page, state, _ = views(html)[view]
    show(browser, address, page, **state)
    for folded in browser.find_elements("css selector", "details:not([open]) > summary"):
        browser.execute_script("arguments[0].click()", folded)
    assert accessibility_violations(browser) == []
    emulate(browser, scheme="dark")
    assert accessibility_violations(browser, "color-contrast") == []


def test_axe_would_object_to_a_picture_without_words(browser: Any, address: str) -> None:
    show(browser, address, "index.html")
    browser.execute_script("document.getElementById('main').append(new Image())")
    assert any(found.startswith("image-alt") for found in accessibility_violations(browser))


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_loads_less_than_a_megabyte_of_script_and_nothing_from_elsewhere(
    browser: Any, html: Path, address: str, view: str
) -> None:
    page, state, _ = views(html)[view]
    show(browser, address, page, **state)
    entries = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => [e.name, e.decodedBodySize])"
    )
    assert [name for name, _ in entries if not name.startswith(address)] == []
    assert sum(size for name, size in entries if name.endswith(".js")) < 1_000_000


def test_pages_hold_no_script_or_style_of_their_own_and_a_policy_that_allows_none(
    html: Path,
) -> None:
    for page in PAGES:
        text = (html / page).read_text("utf-8")
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text) == []
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in text
        assert "'unsafe" not in text


def test_the_policy_refuses_a_script_that_gets_into_a_page(browser: Any, address: str) -> None:
    show(browser, address, "index.html")
    browser.execute_script(
        "const s = document.createElement('script'); s.setAttribute('nonce', 'x');"
        "try { s.textContent = 'window.ran = 1'; document.head.append(s); } catch {}"
    )
    assert browser.execute_script("return window.ran") is None


def test_no_script_of_ours_makes_markup_of_text(html: Path) -> None:
    for script in (html / "assay").glob("*.js"):
        text = script.read_text("utf-8")
        assert (
            re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
            == []
        )
        assert text.count("\n") < 400


def test_what_is_vendored_is_unchanged() -> None:
    import hashlib

    static = Path(__file__).parents[2] / "dashboards" / "static" / "assay" / "uplot"
    for folder in (static, Path(__file__).parents[1] / "vendor"):
        rows = re.findall(
            r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (folder / "LICENSES.md").read_text(), re.M
        )
        assert len(rows) == 3
        for name, digest in rows:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_hostile_names_reasons_and_logs_are_inert_text(
    browser: Any, hostile: tuple[str, Path]
) -> None:
    address, folder = hostile
    runs, site = read(folder, "runs")["runs"], read(folder, "site")
    case = {variant: case_of(folder, runs[0]["id"], variant) for variant in (HOSTILE, "../../x")}
    slug = site["workloads"][0]["slug"]
    for page, state in (
        ("index.html", {}), ("workload.html", {"w": slug}), ("devices.html", {}), ("run.html", {}),
        ("run.html", {"run": runs[0]["id"]}), ("run.html", case[HOSTILE]),
        ("run.html", case["../../x"]),
    ):  # fmt: skip
        show(browser, address, page, **state)
        for folded in browser.find_elements("css selector", "details:not([open]) > summary"):
            browser.execute_script("arguments[0].click()", folded)
        assert "window.ran=" in text_of(browser)
        assert browser.execute_script("return window.ran") is None
        assert browser.execute_script("return document.querySelector('img')") is None
        assert severe(browser) == []


@pytest.mark.parametrize(
    ("page", "state", "told"),
    [
        ("workload.html", {"w": HOSTILE}, "There is no workload"),
        ("workload.html", {"w": "../../site"}, "There is: heat"),
        ("workload.html", {"w": "heat", "s": HOSTILE}, "There is no series"),
        ("workload.html", {"w": "heat", "at": HOSTILE}, "not on this axis"),
        ("devices.html", {"g": HOSTILE}, "There is no group"),
        ("run.html", {"run": f"../{HOSTILE}"}, "There is no run"),
        ("run.html", {"run": make_run(0), "case": "__proto__"}, "There is no case"),
    ],
)
def test_an_address_that_names_nothing_is_answered_in_words(
    browser: Any, address: str, page: str, state: dict[str, str], told: str
) -> None:
    show(browser, address, page, **state)
    assert told in text_of(browser)
    assert browser.execute_script("return window.ran") is None
    assert severe(browser) == []


def without(folder: Path, name: str) -> None:
    (folder / "data" / name).unlink()


def cut(folder: Path, name: str) -> None:
    path = folder / "data" / name
    path.write_bytes(path.read_bytes()[:50])


def emptied(folder: Path, name: str) -> None:
    (folder / "data" / name).write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "name", "page"),
    [
        (without, "site.json", "index.html"),
        (cut, "overview.json", "index.html"),
        (emptied, "overview.json", "index.html"),
        (emptied, "site.json", "workload.html"),
        (cut, "workload/heat.json", "workload.html"),
        (emptied, "workload/heat.json", "workload.html"),
        (without, "devices.json", "devices.html"),
        (emptied, "runs.json", "run.html"),
    ],
)
def test_data_that_is_absent_or_broken_is_told_in_the_page(
    browser: Any, broken: tuple[str, Path], spoil: Callable[[Path, str], None], name: str, page: str
) -> None:
    address, folder = broken
    spoil(folder, name)
    show(browser, address, page)
    assert "publish again with `assay publish`" in text_of(browser)
    # The browser itself reports that a file is not there; no script may fail.
    assert [entry for entry in severe(browser) if entry["source"] != "network"] == []


def test_an_empty_store_has_pages_that_say_so(browser: Any, tmp_path: Path) -> None:
    write_pages([], tmp_path, project="empty")
    with served(tmp_path) as address:
        for page in PAGES:
            show(browser, address, page)
            assert re.search(r"no .*yet|nothing", text_of(browser), re.IGNORECASE)
            assert "1970" not in text_of(browser)
    assert severe(browser) == []


def test_a_long_history_is_painted_soon(
    browser: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    copy_static(tmp_path)
    write_large_pages(tmp_path, commits=1000, series=500)
    with served(tmp_path) as address:
        for page in PAGES:
            show(browser, address, page)
            painted = browser.execute_script(
                "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
            ready = browser.execute_script(
                "return performance.getEntriesByName('assay-shown')[0].startTime"
            )
            print(f"{page}: first contentful paint {painted:.0f} ms, data shown {ready:.0f} ms")
            record_property(page, f"{painted:.0f} ms, {ready:.0f} ms")
            assert painted < 3000
            assert ready < 6000
    assert severe(browser) == []
