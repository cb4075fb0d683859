"""asv's pages in a real browser, which can reach nothing but the local server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dashboards.asv_pages import ASV_PAGE
from dashboards.site import publish
from harness.records import Outcome, Result
from tests.dashboards.browser import (
    NEEDS_BROWSER,
    open_browser,
    served,
    severe,
    text_of,
    wait_for,
)

pytestmark = NEEDS_BROWSER

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


# The colour that is drawn half way up each bar: a list for each series, "" where nothing is.
_BARS = """
const plot = $('#main-graph').data('plot');
const canvas = $('#main-graph canvas.flot-base')[0];
const scale = canvas.width / canvas.clientWidth, offset = plot.getPlotOffset();
return plot.getData().map(series => {
  const {points, pointsize} = series.datapoints, colours = [];
  for (let i = 0; i < points.length; i += pointsize) {
    const [x, y] = [series.xaxis.p2c(points[i]), series.yaxis.p2c(points[i + 1] / 2)];
    const at = [(x + offset.left) * scale, (y + offset.top + 3) * scale].map(Math.round);
    const pixel = canvas.getContext('2d').getImageData(...at, 1, 1).data;
    colours.push(pixel[3] > 60 ? pixel.slice(0, 3).join() : '');
  }
  return colours;
});
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with open_browser(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Return what serves a folder until the test ends, and gives the address."""
    with ExitStack() as stack:
        yield lambda html: stack.enter_context(served(html))


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
    return serve(report.index.parent) + ASV_PAGE


def test_the_dashboard_opens_without_a_network_and_draws_both_workloads(
    browser: Any, address: str, tmp_path: Path
) -> None:
    browser.get(address)
    wait_for(browser, lambda b: "heat time per interaction" in text_of(b))
    assert "msrep time per interaction" in text_of(browser)
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
    browser.get(f"{address}{ASV_PAGE}#heat.time")
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
    address = serve(report.index.parent) + ASV_PAGE
    (name, *_) = report.summary.benchmarks
    for page in ("", "#/summarylist", f"#{name}"):
        browser.get(f"{address}{page}")
        wait_for(browser, lambda b: "window.ran=" in text_of(b))
        for element in browser.find_elements("css selector", "a, .benchmark-plot, li"):
            browser.execute_script("window.jQuery(arguments[0]).trigger('mouseenter')", element)
        assert browser.execute_script("return window.ran") is None
        assert browser.execute_script("return document.querySelector('img[src=x]')") is None


@pytest.fixture
def by_variant(
    history_of: Any,
    measured: Callable[..., Result],
    stored: Callable[[list[Result]], Path],
    serve: Callable[[Path], str],
) -> str:
    """asv's page of two variants on two backends, whose names are the values of the x axis."""
    history = history_of(2)
    results = [
        measured(history, at, variant=variant, backend=backend, seconds=seconds)
        for at in range(2)
        for variant, seconds in (("torch", 2.0), ("numba", 1.0))
        for backend in ("cpu", "cuda")
    ]
    return serve(publish(stored(results), history.folder).index.parent) + ASV_PAGE


def test_bars_of_several_series_are_drawn_side_by_side_over_names(
    browser: Any, by_variant: str, tmp_path: Path
) -> None:
    browser.get(f"{by_variant}#heat.time?x-axis=backend")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    browser.save_screenshot(str(tmp_path / "bars.png"))
    # Two groups (cpu, cuda) of two bars: by the points that flot drew, and by the ink.
    shown = browser.execute_script(
        "return $('#main-graph').data('plot').getData()"
        ".map(s => [s.bars.barWidth, Array.from(s.datapoints.points)])"
    )
    (width, first), (_, second) = shown
    assert width == pytest.approx(0.3)
    assert first[::3] == pytest.approx([-0.15, 0.85])
    assert second[::3] == pytest.approx([0.15, 1.15])
    # Each series has a colour of its own, and one that is there.
    (blue, also_blue), (red, also_red) = browser.execute_script(_BARS)
    assert blue == also_blue != red == also_red
    assert all((blue, red))
    assert severe(browser) == []


def test_bars_of_one_series_and_of_equal_values_have_a_height(
    browser: Any,
    history_of: Any,
    measured: Callable[..., Result],
    stored: Callable[[list[Result]], Path],
    serve: Callable[[Path], str],
) -> None:
    history = history_of(1)
    results = [measured(history, variant=variant) for variant in ("torch", "numba")]
    html = publish(stored(results), history.folder).index.parent
    # asv starts the axis of a unit that it does not know at the least value.
    index = (html / "index.json").read_text()
    (html / "index.json").write_text(index.replace('"unit":"seconds"', '"unit":"joules"'))
    browser.get(f"{serve(html)}{ASV_PAGE}#heat.time?x-axis=variant")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    ((first, second),) = browser.execute_script(_BARS)
    assert first == second != ""


def pointed_at(browser: Any, point: int) -> str:
    """Move the mouse to a point or bar of the first series; give what asv tells of it."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    left, top = browser.execute_script(
        "const plot = $('#main-graph').data('plot'), {points, pointsize} ="
        " plot.getData()[0].datapoints, at = arguments[0] * pointsize;"
        "const {left, top} = plot.pointOffset({x: points[at], y: points[at + 1]});"
        "const graph = $('#main-graph')[0].getBoundingClientRect();"
        # A bar ends at its value.
        "return [graph.left + left, graph.top + top + 2].map(Math.round)",
        point,
    )
    actions = ActionBuilder(browser, duration=0)
    actions.pointer_action.move_to_location(left, top)  # type: ignore[no-untyped-call]
    actions.perform()
    return str(wait_for(browser, lambda b: b.execute_script("return $('.tooltip-inner').text()")))


def test_pointing_at_a_bar_shows_its_value_and_no_commit(browser: Any, by_variant: str) -> None:
    browser.get(f"{by_variant}#heat.time?x-axis=backend")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    assert pointed_at(browser, 0) == "250.000ms"


def test_pointing_at_a_point_of_the_history_shows_its_own_value_and_commit(
    browser: Any, address: str
) -> None:
    browser.get(f"{address}#heat.time")
    wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    # From one to another without a place between them that is none.
    tips = [pointed_at(browser, point).partition(" @ ") for point in (0, 5)]
    assert [value for value, _, _ in tips] == ["500.000ms", "750.000ms"]
    commits = [commit for _, _, commit in tips]
    assert [len(commit) for commit in commits] == [8, 8]
    assert len(set(commits)) == 2


def test_what_was_never_measured_has_no_bars_and_is_no_error(browser: Any, by_variant: str) -> None:
    browser.get(f"{by_variant}#heat.energy?x-axis=backend")
    wait_for(browser, lambda b: "commit-last; variant-numba" in text_of(b))
    assert severe(browser) == []


def test_an_anchor_that_names_no_benchmark_leads_to_the_grid(browser: Any, address: str) -> None:
    browser.get(f"{address}#no.such.benchmark")
    wait_for(browser, lambda b: "heat time per interaction" in text_of(b))
    assert severe(browser) == []


def test_asvs_navigation_leads_to_our_pages(browser: Any, address: str) -> None:
    browser.get(address)
    wait_for(browser, lambda b: "heat time per interaction" in text_of(b))
    links = browser.find_elements("css selector", "#nav li > a")
    assert [link.text for link in links][:5] == [
        "Overview", "Workloads", "Devices", "Runs", "Benchmark grid",
    ]  # fmt: skip
    browser.find_element("link text", "Overview").click()
    wait_for(browser, lambda b: b.current_url.endswith("/index.html"))


@pytest.mark.parametrize("page", ["#/", "#/summarylist", "#/regressions", "#heat.time"])
def test_asvs_pages_fit_a_phone(browser: Any, address: str, page: str, tmp_path: Path) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.get(f"{address}{page}")
    wait_for(browser, lambda b: "heat" in text_of(b))
    if page == "#heat.time":
        wait_for(browser, lambda b: b.execute_script(_INK, "#main-graph") > 2)
    browser.save_screenshot(str(tmp_path / "phone.png"))
    width, seen = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert seen == 360
    assert width <= 360
    # The legend covers nothing of the graph.
    if page == "#heat.time":
        assert browser.execute_script(
            "const [legend, canvas] = ['.legend', 'canvas'].map(name =>"
            " document.querySelector(`#main-graph ${name}`).getBoundingClientRect());"
            "return legend.height > 20 && legend.top >= canvas.bottom"
        )
    # The navigation covers nothing: what follows starts below it.
    covered = browser.execute_script(
        "const below = $('#nav')[0].getBoundingClientRect().bottom;"
        "return $('#summarygrid-display, #summarylist-body, #regressions-body, #main-graph')"
        ".filter(':visible').get().map(e => e.getBoundingClientRect().top < below)"
    )
    assert covered == [False] * len(covered)
    assert covered
