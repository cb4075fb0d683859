"""A real Chromium for the tests of pages, and what a reader does in it."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from dashboards.preview import open_server

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not ((BROWSER and DRIVER) or os.environ.get("CI")),
        reason="chromium or chromedriver is missing",
    ),
]

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"

_SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
    "--disable-dev-shm-usage", "--window-size=1400,1000", "--hide-scrollbars",
    # Whatever is not local fails at once, also where the machine has a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@contextmanager
def open_browser(profile: Path) -> Iterator[Any]:
    """Yield a Chromium that can reach nothing but this machine; its profile starts empty."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(html: Path) -> Iterator[str]:
    """Serve a folder as `assay preview` does; yield the address, with a slash at its end."""
    server = open_server(html, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(browser: Any, condition: Callable[[Any], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30, poll_frequency=0.02).until(condition)


def severe(browser: Any) -> list[Any]:
    """What the console holds since it was last asked: errors, refused scripts, failed loads."""
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def text_of(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def emulate(browser: Any, *, scheme: str = "light", width: int = 1400, height: int = 1000) -> None:
    """Ask for light or dark, and for a window of a size; below 600 px it is a phone."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def accessibility_violations(browser: Any, *rules: str) -> list[str]:
    """Return what axe-core objects to: the rule, what it says, and the first elements.

    Args:
        browser: shows the page.
        rules: the only rules to check; all where none is named.
    """
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const [only, done] = arguments;"
        "const options = only.length ? {runOnly: only} : {};"
        "axe.run({...options, resultTypes: ['violations']})"
        ".then(r => done(r.violations), e => done(String(e)))",
        list(rules),
    )
    assert isinstance(found, list), found
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
    ]


def show(browser: Any, address: str, page: str, **state: str) -> None:
    """Open a page afresh and wait until it shows its data."""
    browser.get("about:blank")
    browser.get(f"{address}{page}#{urlencode(state)}")
    settled(browser)


def settled(browser: Any) -> None:
    busy = (
        "return document.querySelector('#main[aria-busy=false]')"
        " && !document.querySelector('main [aria-busy=true]')"
    )
    wait_for(browser, lambda b: b.execute_script(busy))


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def tab_to(browser: Any, selector: str, most: int = 80) -> None:
    """Reach an element with the Tab key alone."""
    for _ in range(most):
        press(browser, "\ue004")
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def read(folder: Path, *names: str) -> Any:
    return json.loads(folder.joinpath("data", *names).with_suffix(".json").read_text("utf-8"))


def case_of(folder: Path, run: str, variant: str) -> dict[str, str]:
    entry = next(one for one in read(folder, "runs")["runs"] if one["id"] == run)
    cases = json.loads((folder / "data" / "runs" / f"{entry['file']}.json").read_text("utf-8"))
    key = next(key for key, one in cases["cases"].items() if one["variant"] == variant)
    return {"run": run, "case": key}
