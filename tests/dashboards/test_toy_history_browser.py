"""A history of 60 commits that is really measured, published, and opened in a browser.

`nox -s dashboard` runs this with ASSAY_TOY, a folder that benchmarks/toy_history.py has filled, and
ASSAY_SCREENSHOTS, where the pictures of the documentation go.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.site import publish
from tests.dashboards.browser import (
    NEEDS_BROWSER,
    emulate,
    open_browser,
    served,
    severe,
    text_of,
    wait_for,
)

pytestmark = NEEDS_BROWSER

GENERATOR = Path(__file__).parents[2] / "benchmarks" / "toy_history.py"
SLOWDOWN = "Answer with what will be printed"


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published pages of the toy's history."""
    given = os.environ.get("ASSAY_TOY")
    toy = Path(given) if given else tmp_path_factory.mktemp("toy") / "history"
    if not given:
        subprocess.run([sys.executable, str(GENERATOR), "--out", str(toy)], check=True)
    return publish(toy / "results", toy / "project", toy / "html").index.parent


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with served(html) as where:
        yield where


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def picture(browser: Any, tmp_path: Path) -> Any:
    """Return what saves a picture of the window."""
    folder = Path(os.environ.get("ASSAY_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: browser.save_screenshot(str(folder / f"{name}.png"))


def test_the_injected_slowdown_is_a_regression_on_overview(
    browser: Any, address: str, picture: Any
) -> None:
    emulate(browser, height=1200)
    browser.get(address)
    wait_for(browser, lambda b: "regression" in text_of(b) and SLOWDOWN in told(b))
    assert "horner" in text_of(browser)
    assert "failed" in text_of(browser)
    picture("overview")
    assert severe(browser) == []


def test_the_slowdown_the_failures_and_the_growth_are_on_the_workload_page(
    browser: Any, address: str, picture: Any
) -> None:
    emulate(browser, height=1300)
    browser.get(f"{address}workload.html")
    wait_for(browser, lambda b: b.find_elements("css selector", "canvas"))
    wait_for(browser, lambda b: "regression" in told(b))
    words = told(browser)
    assert re.search(r"x the time|slower", words)
    assert re.search(r"x the memory|more memory", words)
    assert "verification rejected the output" in words
    picture("workload")
    emulate(browser, scheme="dark", height=1300)
    picture("workload-dark")
    emulate(browser, width=390, height=844)
    picture("workload-phone")
    assert severe(browser) == []


def test_both_machines_stand_side_by_side(browser: Any, address: str, picture: Any) -> None:
    emulate(browser, height=1200)
    browser.get(f"{address}devices.html")
    wait_for(browser, lambda b: "toy-a" in text_of(b) and "toy-b" in text_of(b))
    assert "skipped" in text_of(browser)
    picture("devices")
    assert severe(browser) == []


def test_the_run_that_proves_it_is_one_click_away(browser: Any, address: str, picture: Any) -> None:
    emulate(browser, height=1200)
    browser.get(address)
    wait_for(browser, lambda b: b.find_elements("css selector", "main a[href*='run.html#']"))
    [link, *_] = browser.find_elements("css selector", "main a[href*='run.html#']")
    browser.get(link.get_attribute("href"))
    wait_for(browser, lambda b: "sum of powers, all points" in told(b))
    picture("run")
    assert severe(browser) == []


def test_the_slowdown_is_in_the_list_of_asv_too(browser: Any, address: str, picture: Any) -> None:
    emulate(browser, height=900)
    browser.get(f"{address}asv.html#/regressions")
    wait_for(browser, lambda b: "horner" in text_of(b))
    picture("asv-regressions")
    browser.get(f"{address}asv.html#/summarylist")
    wait_for(browser, lambda b: "polynomial time per point" in text_of(b))
    assert severe(browser) == []


def told(browser: Any) -> str:
    """All of the page's text, of what is folded away too."""
    return str(browser.execute_script("return document.body.textContent"))
