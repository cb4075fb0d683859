"""Whatever a result holds, its pages are bounded JSON inside their own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.asv_names import safe_name
from dashboards.pages import collect, write_pages
from dashboards.pages.jsonfile import MAX_LOG, MAX_REASON
from dashboards.pages.names import file_names
from harness.case_run import CaseRun
from harness.records import Outcome
from harness.stored import Contents, StoredResult
from tests.dashboards.pages.fabricated import Pages, make

Fill = Callable[[Iterable[CaseRun]], Path]
Written = Callable[..., Pages]

NAMES = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/b",
    "a b",
    "<img src=x onerror=alert(1)>",
    "con\x00trol\x1b[31m\n",
    "\udcff\udcfe",
    "\u202egnp.exe",
    "x" * 5000,
    "runs.json",
    "site",
    "-rf",
]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_stay_inside_the_data_folder(
    name: str, written: Written, tmp_path: Path
) -> None:
    one = make(
        0,
        run=name,
        workload=name,
        variant=name,
        version=name,
        params={name: name},
        facts={"machine": name or "m", "id": name, "settings": {name: name}, "kernel": name},
    )
    pages = written([one, make(0)])
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and "html" not in path.parts]
    assert outside == []
    for file in pages.bytes():
        pages(file.removesuffix(".json"))
        assert all(set(part) <= _SAFE for part in file.split("/"))
    assert len(pages("site")["workloads"]) == 2
    assert {len(pages.workload(one["slug"])["series"]) for one in pages("site")["workloads"]} == {1}


_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~")


@given(names=st.sets(st.text(max_size=8) | st.sampled_from(["a", "A", "a b", "a/b", "a_b"])))
def test_no_two_names_share_a_file(names: set[str]) -> None:
    files = file_names(names)
    assert len({file.lower() for file in files.values()}) == len(names)


def test_names_that_were_made_to_meet_do_not() -> None:
    names = {"a b", safe_name("a b"), safe_name("a b").upper()}
    assert len({file.lower() for file in file_names(names).values()}) == 3


def test_two_hostile_workloads_have_pages_of_their_own(written: Written) -> None:
    pages = written([make(0, workload="a b"), make(0, 2.0, workload=safe_name("a b"))])
    slugs = [one["slug"] for one in pages("site")["workloads"]]
    assert len(set(slugs)) == 2
    assert len({pages.workload(slug)["name"] for slug in slugs}) == 2


def test_long_texts_are_cut(written: Written) -> None:
    long = "y" * 100_000
    one = make(0, outcome=Outcome.CRASHED, reason=long, log_tail="x" + long, traceback=long)
    pages = written([one])
    [process] = pages.run(one.run)["cases"][one.case.key]["processes"][:1]
    assert len(process["log_tail"]) == len(process["traceback"]) == MAX_LOG
    assert process["log_tail"].startswith("\u2026y")
    assert len(process["reason"]) == MAX_REASON
    assert len(pages("overview")["missing"][0]["reason"]) == MAX_REASON
    assert len(pages.series()["events"][0]["reason"]) == MAX_REASON


def test_markup_is_kept_as_it_is_for_the_pages_to_show_as_text(written: Written) -> None:
    markup = "<script>alert(1)</script>"
    pages = written([make(0, outcome=Outcome.FAILED, reason=markup)])
    assert pages("overview")["missing"][0]["reason"] == markup


def test_environments_of_any_form_are_bounded(written: Written) -> None:
    one = make(0, facts={"packages": {str(i): "v" * 9000 for i in range(3000)}, "cpu": [[[]]] * 9})
    pages = written([one])
    assert len(pages.bytes()[f"runs/{pages('runs')['runs'][0]['file']}.json"]) < 3_000_000


@pytest.mark.parametrize("depth", range(900, 976, 4))
def test_settings_of_any_depth_are_shown_or_told(fill: Fill, tmp_path: Path, depth: int) -> None:
    root = fill([make(0, run="night-000", facts={"settings": "DEEP"})])
    nest(root, depth)
    found = collect(root, tmp_path / "cache")
    write_pages(found, tmp_path / "html", project="toy")
    assert len(found.pages) == (not found.problems)


def test_inputs_of_any_depth_are_compared(fill: Fill, tmp_path: Path) -> None:
    inputs = {"data": "DEEP"}
    root = fill([make(0, run=f"on-{name}", backend=name, inputs=inputs) for name in ("cpu", "gpu")])
    nest(root, 800)
    found = collect(root, tmp_path / "cache")

    def write_from_afar(frames: int) -> None:
        if frames:
            write_from_afar(frames - 1)
        else:
            write_pages(found, tmp_path / "html", project="toy")

    write_from_afar(150)
    assert len(found.pages) == 2


def nest(root: Path, depth: int) -> None:
    """Put objects within objects where the results say so."""
    nested = '{"a":' * depth + "1" + "}" * depth
    for path in root.glob("*/*-?.json"):
        path.write_text(path.read_text().replace('"DEEP"', nested))


def test_what_only_the_reader_can_follow_costs_its_run_and_is_told(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep: dict[str, object] = {}
    for _ in range(2_000):  # more than this Python's reader can, but not than that of others
        deep = {"a": deep}

    def read_deep(folder: Path) -> Contents:
        [result] = make(0, processes=1, inputs=deep).results
        return Contents((StoredResult(folder.name, folder, result),), ())

    monkeypatch.setattr("dashboards.pages.stored.read_folder", read_deep)
    found = collect(fill([make(0, run="night-000")]), tmp_path / "cache")
    [problem] = found.problems
    assert "night-000 holds values that are nested too deeply; move it away" in problem
    assert not found.pages
