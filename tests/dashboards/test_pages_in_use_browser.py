"""What a reader does with our pages, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.pages import write_pages
from tests.dashboards.browser import (
    NEEDS_BROWSER,
    case_of,
    emulate,
    open_browser,
    press,
    served,
    settled,
    severe,
    show,
    tab_to,
    text_of,
    wait_for,
)
from tests.dashboards.pages_history import COMMITS, STEPPED, commit_of, history, make_run

pytestmark = NEEDS_BROWSER


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
    write_pages(history(), folder, project="example", baselines={"heat": "torch"})
    return folder


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with served(html) as place:
        yield place


def test_a_failed_case_shows_no_number(browser: Any, html: Path, address: str) -> None:
    show(browser, address, "run.html", **case_of(html, make_run(COMMITS - 1), "numpy"))
    assert browser.find_elements("css selector", ".numbers, .plot") == []
    show(browser, address, "run.html", run=make_run(COMMITS - 1))
    row = browser.find_element("xpath", "//tr[contains(., '3e-2 off')]")
    assert re.search(r"\d[.\d]*\s(s|ms|µs|MiB|KiB|J)\b", row.text) is None
    show(browser, address, "devices.html")
    cell = browser.find_element("css selector", "td.failed")
    assert "output is 3e-2 off" in cell.text
    assert re.search(r"\d\s(s|ms|J)\b", cell.text) is None


def test_one_process_says_that_it_has_no_interval(browser: Any, html: Path, address: str) -> None:
    show(browser, address, "run.html", **case_of(html, make_run(5), "torch"))
    assert "1 process, no interval" in text_of(browser)


def test_the_overview_leads_to_the_series_at_the_commit_and_to_its_run(
    browser: Any, address: str
) -> None:
    show(browser, address, "index.html")
    line = browser.find_element("xpath", "//ul[@class='lines']/li[contains(., '40.1 % slower')]")
    evidence = line.find_element("class name", "evidence").get_attribute("href")
    line.find_element("class name", "case").click()
    settled(browser)
    assert "workload.html" in browser.current_url
    readout = browser.find_element("class name", "readout").text
    assert commit_of(STEPPED)[:8] in readout
    assert "523.1 ms" in readout
    browser.get(evidence)
    settled(browser)
    assert browser.find_element("tag name", "h1").text.startswith("heat numba")


def test_charts_draw_every_chosen_series_and_their_strip(browser: Any, address: str) -> None:
    show(browser, address, "workload.html", w="heat")
    ink = """
    const pixels = document.querySelector(arguments[0] + ' canvas').getContext('2d');
    const {width, height} = pixels.canvas, data = pixels.getImageData(0, 0, width, height).data;
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 200) colours.add(data.slice(i, i + 3).join());
    return [...colours];
    """
    blue, orange, green = "11,98,196", "194,65,12", "11,122,95"
    for chart in ("#chart-time", "#chart-peak_memory"):
        assert {blue, orange, green} <= set(browser.execute_script(ink, chart))
    assert browser.find_elements("id", "chart-energy") == []
    browser.find_element("id", "theme").click()
    browser.find_element("id", "theme").click()
    dark_blue = "107,176,255"
    wait_for(browser, lambda b: dark_blue in b.execute_script(ink, "#chart-time"))
    assert blue not in browser.execute_script(ink, "#chart-time")
    browser.find_element("id", "theme").click()
    browser.find_element("css selector", ".legend button").click()
    settled(browser)
    assert blue in browser.execute_script(ink, "#chart-time")
    assert green not in browser.execute_script(ink, "#chart-time")


def test_the_address_holds_what_is_shown(browser: Any, address: str) -> None:
    show(browser, address, "workload.html", w="heat", y="log", rel="1", x="10,30")
    assert (
        browser.find_element("css selector", "[aria-pressed]").get_attribute("aria-pressed")
        == "true"
    )
    browser.find_element("xpath", "//button[text()='All commits']").click()
    assert "x=" not in browser.current_url
    browser.find_elements("css selector", "input[type=checkbox]:checked")[0].click()
    settled(browser)
    assert "s=" in browser.current_url
    assert "y=log" in browser.current_url
    drawn = browser.find_element("class name", "legend").text
    url = browser.current_url
    browser.get("about:blank")
    browser.get(url)
    settled(browser)
    assert browser.find_element("class name", "legend").text == drawn
    assert severe(browser) == []


def test_a_drag_zooms_and_a_double_click_returns(browser: Any, address: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    show(browser, address, "workload.html", w="heat")
    plot = browser.find_element("css selector", "#chart-time .u-over")
    actions = ActionChains(browser)
    actions.move_to_element_with_offset(plot, 50, 0).click_and_hold()
    actions.move_by_offset(100, 0).release().perform()
    wait_for(browser, lambda b: "x=" in b.current_url)
    low, high = re.search(r"x=([\d.]+)%2C([\d.]+)", browser.current_url).groups()  # type: ignore[union-attr]
    assert 15 < float(low) < float(high) < 35
    browser.find_element("css selector", "#chart-peak_memory + * + details summary").click()
    cells = "#chart-peak_memory ~ details tbody tr"
    rows = wait_for(browser, lambda b: b.find_elements("css selector", cells))
    assert 3 <= len(rows) < 40
    ActionChains(browser).double_click(plot).perform()
    wait_for(browser, lambda b: "x=" not in b.current_url)


def test_everything_is_reached_and_worked_with_the_keyboard(browser: Any, address: str) -> None:
    enter = "\ue007"
    show(browser, address, "workload.html", w="heat")
    tab_to(browser, ".skip", most=1)
    press(browser, enter)
    assert browser.execute_script("return document.activeElement.id") == "main"
    assert "w=heat" in browser.current_url
    tab_to(browser, "#chart-time")
    readout = browser.find_element("class name", "readout")
    newest = readout.text
    assert commit_of(COMMITS - 1)[:8] in newest
    press(browser, "\ue012", "\ue012")  # arrow left
    assert commit_of(COMMITS - 3)[:8] in readout.text
    press(browser, "\ue011")  # home
    assert commit_of(0)[:8] in readout.text
    press(browser, "+")
    assert "x=" in browser.current_url
    press(browser, "0", "\ue010", "\ue015", enter)  # all, end, arrow down, open the run
    wait_for(browser, lambda b: "run.html" in b.current_url)
    settled(browser)
    assert severe(browser) == []


def test_marks_of_a_scatter_are_links_that_tell_their_values(browser: Any, address: str) -> None:
    show(browser, address, "devices.html")
    tab_to(browser, "a.spot")
    status = browser.execute_script(
        "return document.activeElement.closest('figure').querySelector('[role=status]').textContent"
    )
    assert "torch on gpu-1" in status
    assert "J" in status


def test_speed_ups_are_taken_against_the_chosen_device(browser: Any, address: str) -> None:
    from selenium.webdriver.support.ui import Select

    show(browser, address, "devices.html")
    matrix = "return document.querySelector('.matrix').innerText"
    assert "10.0" in browser.execute_script(matrix)
    label = browser.find_element("xpath", "//label[contains(., 'Speed-up against')]/select")
    Select(label).select_by_visible_text("gpu-1 · cuda")
    assert "0.10" in browser.execute_script(matrix)
    assert "ref=" in browser.current_url


def test_the_chosen_theme_lasts(browser: Any, address: str) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    show(browser, address, "index.html")
    light = browser.execute_script(background)
    button = browser.find_element("id", "theme")
    button.click()
    button.click()
    assert button.text == "Theme: dark"
    dark = browser.execute_script(background)
    assert dark != light
    show(browser, address, "run.html")
    assert browser.execute_script(background) == dark
    browser.find_element("id", "theme").click()
    assert browser.execute_script(background) == light
