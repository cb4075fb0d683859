"""The published dashboard in a real browser, which can reach nothing but the local server."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dashboards.preview import open_server
from dashboards.site import publish
from harness.records import Outcome, Result

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not ((BROWSER and DRIVER) or os.environ.get("CI")),
        reason="chromium or chromedriver is missing",
    ),
]

_SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
    "--disable-dev-shm-usage", "--window-size=1400,1000",
    # Whatever is not local fails at once, also where the machine has a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

# Whether the plot holds anything but its background: the canvas that flot draws the lines on.
_INK = """
const canvas = document.querySelector(arguments[0] + ' canvas.flot-base');
if (!canvas) return 0;
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const colours = new Set();
for (let i = 0; i < pixels.length; i += 4)
  if (pixels[i + 3] > 200) colours.add(pixels.slice(i, i + 3).join());
return colours.size;
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*_SWITCHES, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Return what serves a folder until the test ends, and gives the address."""
    with ExitStack() as stack:

        def start(html: Path) -> str:
            server = stack.enter_context(open_server(html, 0))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


@pytest.fixture
def address(
    history_of: Any,
    measured: Callable[..., Result],
    stored: Callable[[list[Result]], Path],
    serve: Callable[[Path], str],
) -> str:
    """A dashboard of two workloads on eight commits, one variant of which became slower."""
    history = history_of(8)
    results = [
        measured(
            history,
            at,
            workload=workload,
            variant=variant,
            seconds=3.0 if (workload, variant) == ("heat", "numba") and at >= 5 else 2.0,
        )
        for at in range(8)
        for workload in ("heat", "msrep")
        for variant in ("torch", "numba")
    ]
    results.append(measured(history, 7, backend="cuda", outcome=Outcome.SKIPPED))
    report = publish(stored(results), history.folder)
    return serve(report.index.parent)


def wait_for(browser: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30).until(condition)


def severe(browser: Any) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def text_of(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def test_the_dashboard_opens_without_a_network_and_draws_both_workloads(
    browser: Any, address: str, tmp_path: Path
) -> None:
    browser.get(address)
    wait_for(browser, lambda b: "heat time per interaction" in text_of(b))
    assert "msrep time per interaction" in text_of(browser)
    assert not browser.current_url.endswith("error.html")
    grid_plot = '[id="summarygrid-heat.time"]'
    wait_for(browser, lambda b: b.execute_script(_INK, grid_plot) > 1)
    browser.save_screenshot(str(tmp_path / "grid.png"))

    for workload in ("heat", "msrep"):
        browser.get(f"{address}#{workload}.time")
        wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
        assert "variant-numba" in text_of(browser)
        assert not browser.find_element("id", "error-message").is_displayed()
        browser.save_screenshot(str(tmp_path / f"{workload}.png"))

    browser.get(f"{address}#/summarylist")
    wait_for(browser, lambda b: "heat energy per interaction, not measured" in text_of(b))
    assert "750.000ms" in text_of(browser)
    browser.save_screenshot(str(tmp_path / "list.png"))

    browser.get(f"{address}#/regressions")
    wait_for(browser, lambda b: "1.50x" in text_of(b))
    assert "numba" in text_of(browser)
    browser.save_screenshot(str(tmp_path / "regressions.png"))

    browser.get(f"{address}#heat.energy")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 0)
    browser.save_screenshot(str(tmp_path / "energy.png"))
    assert severe(browser) == []


def test_a_first_dashboard_shows_its_one_commit_as_a_point(
    browser: Any,
    history_of: Any,
    measured: Callable[..., Result],
    stored: Callable[[list[Result]], Path],
    serve: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    history = history_of(1)
    address = serve(publish(stored([measured(history)]), history.folder).index.parent)
    browser.get(f"{address}#heat.time")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    browser.save_screenshot(str(tmp_path / "point.png"))
    assert severe(browser) == []


def test_hostile_names_run_no_script_in_the_pages(
    browser: Any,
    history_of: Any,
    measured: Callable[..., Result],
    stored: Callable[[list[Result]], Path],
    serve: Callable[[Path], str],
) -> None:
    script = "<img src=x onerror=\"window.ran='yes'\">"
    facts = {
        "machine": script,
        "kernel": script,
        "cpu": {"model": script, "architecture": script, "logical_cpus": script},
        "packages": {"numpy": script},
    }
    history = history_of(2)
    results = [
        measured(
            history, at, facts=facts, workload=script, variant=variant, params={script: script}
        )
        for at in range(2)
        for variant in (script, "plain")
    ]
    report = publish(stored(results), history.folder)
    address = serve(report.index.parent)
    (name, *_) = report.summary.benchmarks
    for page in ("", "#/summarylist", f"#{name}"):
        browser.get(f"{address}{page}")
        wait_for(browser, lambda b: "window.ran=" in text_of(b))
        for element in browser.find_elements("css selector", "a, .benchmark-plot, li"):
            browser.execute_script("window.jQuery(arguments[0]).trigger('mouseenter')", element)
        assert browser.execute_script("return window.ran") is None
        assert browser.execute_script("return document.querySelector('img[src=x]')") is None
