"""The dashboard's data tell every number with its doubt, and everything else as what it is."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.pages import write_pages
from dashboards.pages.jsonfile import MAX_LOG, MAX_REASON, facts, number, text, write_json
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.records import Measurement, Outcome, Quality, Status
from harness.repetition import process_interval
from harness.verdict import ratio_of_groups
from tests.dashboards.pages.fabricated import DAY_S, FIRST_S, NO_COUNTER, Pages, commit, make

Written = Callable[..., Pages]


def nights(
    count: int, seconds: Callable[[int], float] = lambda _: 1.0, **what: Any
) -> list[CaseRun]:
    return [make(number, seconds(number), **what) for number in range(count)]


def test_a_headline_is_the_interval_that_the_command_shows(written: Written) -> None:
    one = make(0)
    pages = written([one])
    [series] = pages.workload()["series"]
    expected = process_interval(one.groups("time"))
    estimate, low, high = series["quantities"]["time"]["last"]
    assert (estimate, low, high) == pytest.approx(
        (expected.estimate, expected.low, expected.high), rel=1e-5
    )
    points = pages.series()["quantities"]["time"]
    assert (points["y"], points["low"], points["high"]) == ([estimate], [low], [high])
    assert (points["unit"], points["item"], points["processes"]) == ("s", "interaction", [3])


def test_one_process_has_a_number_and_no_interval(written: Written) -> None:
    pages = written([make(0, processes=1)])
    assert pages.workload()["series"][0]["quantities"]["time"]["last"][1:] == [None, None]


def test_a_regression_is_told_with_its_evidence(written: Written) -> None:
    cases = nights(40, lambda number: 1.2 if number >= 34 else 1.0)
    overview = written(cases)("overview")
    [change] = [one for one in overview["changes"] if one["quantity"] == "time"]
    assert (change["kind"], change["verdict"]) == ("step", "regression")
    assert (change["before"], change["commit"]) == (commit(33), commit(34))
    assert change["ratio"][1] < 1.2 < change["ratio"][2]
    assert change["run"] == cases[34].run
    assert change["case"] == cases[34].case.key
    assert change["period"] in ("day", "week")
    assert overview["devices"][0]["changes"]["week"] == [1, 0, 0]


def test_what_became_known_long_ago_is_older(written: Written) -> None:
    overview = written(nights(60, lambda number: 1.2 if number >= 20 else 1.0))("overview")
    assert {change["period"] for change in overview["changes"]} == {"older"}


def test_regressions_come_before_improvements_and_the_surest_first(written: Written) -> None:
    def factor(variant: str) -> Callable[[int], float]:
        after = {"better": 0.7, "worse": 1.1, "worst": 1.4}[variant]
        return lambda number: after if number >= 20 else 1.0

    names = ("better", "worse", "worst")
    cases = [one for name in names for one in nights(40, factor(name), variant=name)]
    changes = [one for one in written(cases)("overview")["changes"] if one["quantity"] == "time"]
    assert [change["label"].split()[0] for change in changes] == ["worst", "worse", "better"]


def test_an_environment_that_moves_nothing_is_told_once(written: Written) -> None:
    cases = [
        make(number, variant=variant, facts={"id": "e1" if number < 20 else "e2"})
        for variant in ("a", "b", "c")
        for number in range(40)
    ]
    changes = [
        change
        for change in written(cases)("overview")["changes"]
        if change["kind"] == "environment" and change["count"] > 1
    ]
    [change] = changes
    assert "environment, not code: e1 became e2" in change["note"]


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILED, Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT]
)
def test_a_failed_case_shows_no_number_anywhere(written: Written, outcome: Outcome) -> None:
    good = make(0)
    bad = make(1, outcome=outcome, reason="it broke; mend it")
    # A worker may have died after it had measured: those numbers are of nothing.
    bad = CaseRun(bad.run, tuple(replace(one, **_numbers(good)) for one in bad.results))
    pages = written([good, bad])
    [series] = pages.workload()["series"]
    assert series["last"]["outcome"] == str(outcome)
    assert series["quantities"]["time"] == {
        "unit": "s", "last": None, "status": "", "reason": "", "n": 1,
    }  # fmt: skip
    whole = pages.series()
    assert whole["quantities"]["time"]["x"] == [0]
    [event] = [one for one in whole["events"] if one["quantity"] is None]
    assert (event["x"], event["outcome"], event["reason"]) == (1, str(outcome), "it broke; mend it")
    for row in pages("devices")["groups"][0]["rows"]:
        for cell in row["cells"].values():
            assert (cell["time"], cell["energy"], cell["speedup"], cell["roof"]) == (
                None, None, {}, None,
            )  # fmt: skip
    [missing] = pages("overview")["missing"]
    assert (missing["outcome"], missing["count"], missing["new"]) == (str(outcome), 1, True)
    assert pages.run(bad.run)["cases"][bad.case.key]["headlines"] == {}


def _numbers(one: CaseRun) -> dict[str, Any]:
    return {"measurements": one.results[0].measurements, "work": one.results[0].work}


def test_what_is_beyond_its_ceiling_is_no_point(written: Written) -> None:
    pages = written([make(0), make(1, 1e-9, flags=("impossible",))])
    assert pages.series()["quantities"]["time"]["x"] == [0]
    [event] = [one for one in pages.series()["events"] if one["quantity"] is None]
    assert (event["x"], event["outcome"]) == (1, "impossible")
    [series] = pages.workload()["series"]
    assert series["quantities"]["time"]["status"] == "impossible"
    assert series["quantities"]["time"]["last"] is None


def test_a_skip_is_one_event_over_all_its_commits(written: Written) -> None:
    skips = [make(number, outcome=Outcome.SKIPPED, reason="needs bf16") for number in range(1, 5)]
    pages = written([make(0), *skips, make(5)])
    [event] = [one for one in pages.series()["events"] if one["quantity"] is None]
    assert (event["x"], event["to"], event["outcome"]) == (1, 4, "skipped")
    assert pages("overview")["missing"] == []


def test_what_is_not_measured_says_why(written: Written) -> None:
    pages = written(nights(3))
    energy = pages.workload()["series"][0]["quantities"]["energy"]
    assert energy == {
        "unit": "J", "last": None, "status": "unavailable", "reason": NO_COUNTER, "n": 0,
    }  # fmt: skip
    [event] = pages.series()["events"]
    assert (event["quantity"], event["x"], event["to"]) == ("energy", 0, 2)
    [told] = pages("overview")["unavailable"]
    assert (told["quantity"], told["reason"], told["count"]) == ("energy", NO_COUNTER, 1)
    assert pages("devices")["devices"][0]["energy"] == NO_COUNTER


def test_one_process_that_cannot_resolve_a_quantity_leaves_no_number(written: Written) -> None:
    one = make(0, energy=1.0)
    unresolvable = Measurement(
        "energy", "J", "package", "rapl", status=Status.UNRESOLVABLE, reason="too short"
    )
    measurements = (*one.results[2].measurements[:2], unresolvable)
    worst = replace(one.results[2], measurements=measurements)
    pages = written([CaseRun(one.run, (*one.results[:2], worst))])
    energy = pages.workload()["series"][0]["quantities"]["energy"]
    assert (energy["last"], energy["status"]) == (None, "unresolvable")


def test_another_environment_of_a_commit_is_a_point_after_it(written: Written) -> None:
    newer = {"id": "e2", "packages": {"torch": "2.13.0"}}
    pages = written([make(0), make(1), make(1, 1.5, at=60.0, facts=newer), make(2, facts=newer)])
    whole = pages.series()
    assert whole["quantities"]["time"]["x"] == [0, 1, 1.5, 2]
    assert whole["quantities"]["time"]["env"] == [0, 0, 1, 1]
    assert whole["envs"] == [["e1", ""], ["e2", "packages torch: 2.12.0 \u2192 2.13.0"]]


def test_other_settings_are_a_line_of_their_own(written: Written) -> None:
    one_thread = {"settings": {"threads": 1}, "id": "e1-1"}
    pages = written([make(0), make(0, 3.0, facts=one_thread)])
    assert {one["settings"] for one in pages.workload()["series"]} == {"", "threads=1"}
    assert {group["label"] for group in pages.workload()["groups"]} == {"", "threads=1"}
    assert len(pages("devices")["groups"]) == 2


def test_a_dirty_checkout_is_on_no_axis(written: Written) -> None:
    dirty = make(1, 9.0, facts={"dirty": True})
    pages = written([make(0), dirty])
    assert len(pages.workload()["commits"]) == 1
    [row] = pages("devices")["groups"][0]["rows"][1:]
    assert row["cells"]["0"]["dirty"] is True
    assert pages.run(dirty.run)["cases"][dirty.case.key]["series"] is None
    assert pages("runs")["runs"][0]["dirty"] is True


def test_only_the_current_version_of_a_workload_is_drawn(written: Written) -> None:
    pages = written([make(0, 9.0), make(1, version="2")])
    assert pages.workload()["version"] == "2"
    assert len(pages.workload()["series"]) == 1
    assert len(pages.workload()["commits"]) == 1


def test_devices_are_compared_by_what_one_takes_of_the_others_time(written: Written) -> None:
    here = make(0, 1.0, energy=2.0)
    there = make(0, 4.0, backend="cuda", facts={"machine": "gpu", "device": {"model": "H"}})
    pages = written([here, there])
    devices = {one["machine"]: one["id"] for one in pages("devices")["devices"]}
    best, row = pages("devices")["groups"][0]["rows"]
    assert best["best"] is True
    cell = row["cells"][devices["bench"]]
    expected = ratio_of_groups(base=here.groups("time"), candidate=there.groups("time"))
    assert cell["speedup"][devices["gpu"]] == pytest.approx(
        [expected.estimate, expected.low, expected.high], rel=1e-4
    )
    assert cell["energy"][0] == pytest.approx(2.0)
    assert cell["roof"]["dtype"] == "float32"
    assert cell["roof"]["intensity"] == 2.0
    assert cell["roof"]["flop_rate"][0] == pytest.approx(2e9, rel=0.02)
    assert (cell["roof"]["level"], cell["roof"]["share"]) == ("DRAM", pytest.approx(0.1, rel=0.02))
    assert row["cells"][devices["gpu"]]["energy"] is None


def test_devices_that_had_other_inputs_are_not_compared(written: Written) -> None:
    cases = [make(0, inputs={"nnz": 7}), make(0, inputs={"nnz": 8}, facts={"machine": "other"})]
    for row in written(cases)("devices")["groups"][0]["rows"]:
        assert [cell["speedup"] for cell in row["cells"].values()] == [{}, {}]


def test_a_run_is_told_in_full(written: Written) -> None:
    one = make(
        0,
        quality=Quality({"recall@20": 0.18}),
        spans={"import": 0.5},
        log_tail="ready\n",
        flags=("warm",),
    )
    baseline = make(0, 2.0, variant="numba", run=one.run)
    pages = written([one, baseline], baselines={"heat": "numba"})
    whole = pages.run(one.run)
    case = whole["cases"][one.case.key]
    assert (case["slug"], case["series"]) == ("heat", _line(pages, "torch")["id"])
    assert case["speedup"]["baseline"] == "numba"
    assert case["speedup"]["ratio"][0] == pytest.approx(2.0, rel=0.02)
    assert case["shares"][0]["name"] == "memory_rate DRAM"
    first = case["processes"][0]
    assert first["log_tail"] == "ready\n"
    assert first["quality"]["values"] == {"recall@20": 0.18}
    assert whole["environments"][first["environment"]]["machine"] == "bench"
    time, peak, energy = first["measurements"]
    assert time["values"][2] == pytest.approx(1.0, rel=0.02)
    assert time["noise"] == [["involuntary_switches", 1], ["load1", 0.5]]
    assert time["disturbed"] == [3]
    assert (peak["per_item"], peak["values"]) == (False, [4096, 4097])
    assert (energy["values"], energy["reason"]) == ([], NO_COUNTER)
    assert _line(pages, "numba")["baseline"] is True


def _line(pages: Pages, variant: str) -> dict[str, Any]:
    [found] = [one for one in pages.workload()["series"] if one["variant"] == variant]
    return dict(found)


def test_many_samples_are_thinned_and_say_so(written: Written) -> None:
    times = Measurement("time", "s", "p", "clock", values=tuple(1 + i / 1e4 for i in range(1001)))
    one = make(0, measurements=(times,), processes=1)
    [measured] = written([one]).run(one.run)["cases"][one.case.key]["processes"][0]["measurements"]
    assert (len(measured["values"]) <= 400, measured["thinned"]) == (True, 1001)
    assert measured["values"][0] == pytest.approx(0.25)


def test_commits_have_their_subjects_where_the_repository_knows_them(
    written: Written, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    git = ["git", "-C", str(repo), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "--quiet", str(repo)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "<b>faster</b>"], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    one = make(0, facts={"commit": done.stdout.strip()})
    assert written([one, make(1)], repo=repo).workload()["commits"] == [
        [done.stdout.strip(), FIRST_S, "<b>faster</b>"],
        [commit(1), FIRST_S + DAY_S, ""],
    ]


def test_no_results_are_pages_without_any(written: Written) -> None:
    pages = written([])
    assert pages("site")["workloads"] == []
    assert pages("overview")["changes"] == []
    assert pages("runs") == {"runs": []}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.randoms(use_true_random=False))
def test_the_order_of_the_results_changes_no_byte(tmp_path: Path, order: Any) -> None:
    newer = {"id": "e2", "packages": {"torch": "2.13.0"}}
    cases = [
        *nights(14, lambda number: 1.3 if number > 8 else 1.0),
        *nights(14, variant="numba", facts={"machine": "other"}),
        make(3, at=50.0),
        make(3, 1.4, at=70.0, facts=newer),
        make(4, at=70.0, facts=newer, outcome=Outcome.TIMEOUT, reason="too slow"),
        make(5, version="0"),
        make(6, at=90.0, facts={"dirty": True}),
        make(7, workload="msrep", outcome=Outcome.SKIPPED, reason="needs a device"),
    ]
    first = tmp_path / "first"
    if not first.exists():
        write_pages(cases, first, project="toy")
    order.shuffle(cases)
    write_pages(cases, tmp_path / "then", project="toy")
    assert Pages(tmp_path / "then").bytes() == Pages(first).bytes()


def test_long_lists_are_cut_and_say_how_much_is_left(written: Written) -> None:
    cases = [
        make(0, variant=f"v{number}", outcome=Outcome.FAILED, reason=f"reason {number}")
        for number in range(210)
    ]
    problems = [f"file {number} is damaged" for number in range(130)]
    overview = written(cases, problems=problems, left_out={"dirty": 3, "old": 5})("overview")
    assert (len(overview["missing"]), overview["more"]["missing"]) == (200, 10)
    assert (len(overview["problems"]), overview["more"]["problems"]) == (100, 30)
    assert overview["left_out"] == [["old", 5], ["dirty", 3]]


def test_what_cannot_be_measured_is_cut_and_says_how_much_is_left(written: Written) -> None:
    energy = make(0).result.measurements[2]
    cases = [
        make(0, variant=f"v{number}", measurements=(replace(energy, reason=f"reason {number}"),))
        for number in range(210)
    ]
    overview = written(cases)("overview")
    assert (len(overview["unavailable"]), overview["more"]["unavailable"]) == (200, 10)


def test_values_that_are_nested_too_deeply_are_one_line(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(2_000):
        deep = {"a": deep}
    with pytest.raises(AssayError, match="nested too deeply"):
        write_pages([make(0, facts={"kernel": deep})], tmp_path / "html", project="toy")


def test_equal_failures_are_one_line(written: Written) -> None:
    cases = [
        make(0, variant=f"v{number}", outcome=Outcome.FAILED, reason="the same")
        for number in range(30)
    ]
    [missing] = written(cases)("overview")["missing"]
    assert (missing["count"], len(missing["cases"])) == (30, 20)


def test_a_full_disk_is_one_line_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "html").write_text("a file")
    with pytest.raises(AssayError, match="cannot write"):
        write_pages([make(0)], tmp_path / "html", project="toy")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_null(value: float | None, tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"value": number(value), "facts": facts({"a": value})})
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"value": None, "facts": {"a": None}}


def test_numbers_keep_six_digits_and_whole_ones_their_form() -> None:
    assert number(1.23456789e-9) == 1.23457e-9
    assert number(4096.0) == 4096
    assert isinstance(number(4096.0), int)
    assert facts(2**63) == str(2**63)


def test_every_text_is_bounded() -> None:
    assert len(text("x" * 1000, MAX_REASON)) == MAX_REASON
    deep: Any = "leaf"
    for _ in range(50):
        deep = {"deeper": [deep] * 2}
    assert len(json.dumps(facts(deep))) < MAX_LOG
