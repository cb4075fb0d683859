"""A results folder is read once: what is kept gives the same pages, and never old ones."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboards.asv_export import export
from dashboards.pages import collect, write_pages
from dashboards.pages.packing import packed
from harness import store
from harness.case_run import CaseRun, case_runs
from harness.errors import AssayError
from harness.records import Outcome
from harness.stored import run_folders
from tests.dashboards.pages.fabricated import Pages, make
from tests.killing import kill_a_worker

Fill = Callable[[Iterable[CaseRun]], Path]


def cases_of(count: int) -> list[CaseRun]:
    cases = []
    for number in range(count):
        run = f"night-{number:03}"
        slow = 1.2 if number >= count // 2 else 1.0
        cases += [
            make(number, slow, run=run, energy=2.0),
            make(number, run=run, variant="numba", flags=("impossible",) if number == 2 else ()),
            make(number, run=run, backend="cuda", outcome=Outcome.SKIPPED, reason="no GPU here"),
        ]
    return cases


def stored_cases(root: Path) -> list[CaseRun]:
    contents = store.read(root)
    return case_runs((stored.run, stored.result) for stored in contents.results)


def pages_of(root: Path, html: Path) -> dict[str, bytes]:
    write_pages(collect(root, html.parent / "cache"), html, project="toy")
    return Pages(html).bytes()


def test_what_is_collected_gives_the_pages_of_what_is_stored(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(14))
    write_pages(stored_cases(root), tmp_path / "direct", project="toy")
    expected = Pages(tmp_path / "direct").bytes()
    assert pages_of(root, tmp_path / "first") == expected
    assert pages_of(root, tmp_path / "again") == expected


def test_many_runs_are_read_by_several_processes_to_the_same_end(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(cases_of(18))
    write_pages(stored_cases(root), tmp_path / "direct", project="toy")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    # Here, and not in other processes, none of the runs can be kept.
    monkeypatch.setattr("dashboards.pages.stored.replace_file", None)
    assert pages_of(root, tmp_path / "first") == Pages(tmp_path / "direct").bytes()


def test_a_worker_that_was_killed_is_one_line(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(cases_of(18))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    with pytest.raises(AssayError, match="was killed, for want of memory perhaps"):
        collect(root, tmp_path / "cache")
    killer.join()


def test_a_run_that_stays_as_it_is_is_not_read_again(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    before = pages_of(root, tmp_path / "html")
    for path in root.glob("*/*-?.json"):
        path.write_text("no result")  # in place, which the folder's time does not tell
    assert pages_of(root, tmp_path / "html") == before


def test_a_run_to_which_something_was_added_is_read_again(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    pages_of(root, tmp_path / "html")
    extra = make(1, variant="new")
    path = root / "night-001" / f"{extra.case.key}-0.json"
    store.write_record(path, "result", extra.results[0])
    assert b'"variant":"new"' in pages_of(root, tmp_path / "html")["workload/heat.json"]


def test_a_run_that_was_deleted_is_forgotten(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    pages_of(root, tmp_path / "html")
    for path in (root / "night-001").iterdir():
        path.unlink()
    (root / "night-001").rmdir()
    assert len(collect(root, tmp_path / "cache").pages) == 1
    assert len(list((tmp_path / "cache" / "runs").iterdir())) == 3


@pytest.mark.parametrize("suffix", ["run", "cases", "json"])
def test_a_cache_that_lost_something_is_made_again(fill: Fill, tmp_path: Path, suffix: str) -> None:
    root = fill(cases_of(3))
    before = pages_of(root, tmp_path / "html")
    for path in (tmp_path / "cache" / "runs").glob(f"*.{suffix}"):
        path.unlink()
    assert pages_of(root, tmp_path / "html") == before
    assert len(collect(root, tmp_path / "cache").cases()) == 9


def test_a_page_that_was_cut_short_is_made_again(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(3))
    before = pages_of(root, tmp_path / "html")
    path = next((tmp_path / "cache" / "runs").glob("*.json"))
    os.truncate(path, path.stat().st_size - 9)
    assert pages_of(root, tmp_path / "html") == before


def test_pages_of_cases_in_memory_leave_the_cache_as_it_is(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    before = pages_of(root, tmp_path / "html")
    other = [make(0, 7.0, run=f"night-{number:03}") for number in range(2)]
    write_pages(other, tmp_path / "html", project="toy")
    assert pages_of(root, tmp_path / "html") == before


def test_a_run_that_is_deleted_meanwhile_is_left_out(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(cases_of(2))

    def listed(root: Path) -> list[Path]:
        found = run_folders(root)
        shutil.rmtree(root / "night-001")
        return found

    monkeypatch.setattr("dashboards.pages.stored.run_folders", listed)
    found = collect(root, tmp_path / "cache")
    assert (set(found.pages), found.problems) == ({"night-000"}, ())


@pytest.mark.parametrize("damage", [lambda found: found[:-9], bytes.swapcase, lambda _: b""])
def test_a_damaged_cache_is_made_again(
    fill: Fill, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    root = fill(cases_of(3))
    before = pages_of(root, tmp_path / "html")
    for path in (tmp_path / "cache" / "runs").glob("*.run"):
        path.write_bytes(damage(path.read_bytes()))
    assert pages_of(root, tmp_path / "html") == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found[:-9],
        lambda found: found.replace(b"torch", b"\xff\xfe\xff\xfe\xff"),
        lambda found: found.replace(b"2.12.0", b"9.12.0"),
        lambda _: packed({"environments": [], "cases": [], "places": [[0]]}),
    ],
    ids=["cut", "no UTF-8", "one bit", "another shape"],
)
def test_damaged_cases_are_one_line_with_the_fix(
    fill: Fill, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    found = collect(fill(cases_of(1)), tmp_path / "cache")
    [path] = (tmp_path / "cache" / "runs").glob("*.cases")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AssayError, match="is damaged; delete"):
        found.cases()


def test_damage_in_the_store_is_told_every_time(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    path = next(root.glob("*/*-0.json"))
    path.write_text("{")
    for _ in range(2):
        [problem] = collect(root, tmp_path / "cache").problems
        assert str(path) in problem
        assert "is damaged" in problem


def test_damage_that_was_mended_in_place_is_told_no_more(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(2))
    before = pages_of(root, tmp_path / "html")
    path = next(root.glob("*/*-0.json"))
    whole, folder = path.read_bytes(), path.parent.stat()
    path.write_text("{")
    shutil.rmtree(tmp_path / "cache")
    assert collect(root, tmp_path / "cache").problems
    path.write_bytes(whole)
    assert path.parent.stat().st_mtime_ns == folder.st_mtime_ns
    assert collect(root, tmp_path / "cache").problems == ()
    assert pages_of(root, tmp_path / "html") == before


def test_a_run_without_a_name_in_utf_8_is_told(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(1))
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).mkdir()
    found = collect(root, tmp_path / "cache")
    assert len(found.pages) == 1
    [problem] = found.problems
    assert "is not UTF-8" in problem


def test_condensed_cases_export_as_whole_ones_do(fill: Fill, tmp_path: Path) -> None:
    root = fill(cases_of(4))
    export(stored_cases(root), tmp_path / "whole")
    export(collect(root, tmp_path / "cache").cases(), tmp_path / "condensed")
    whole, condensed = (files(tmp_path / name) for name in ("whole", "condensed"))
    assert whole == condensed


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_cache_that_cannot_be_written_is_one_line_with_the_fix(
    fill: Fill, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(AssayError, match=r"cannot write .*cache"):
        collect(fill(cases_of(1)), tmp_path / "cache")


def test_a_night_reads_on_in_each_series_to_the_same_pages(fill: Fill, tmp_path: Path) -> None:
    cases = cases_of(30)
    early = fill(one for one in cases if one.run < "night-026")
    pages_of(early, tmp_path / "html")
    readings = tmp_path / "cache" / "readings"
    former = readings.read_bytes()
    root = fill(one for one in cases if one.run >= "night-026")
    write_pages(stored_cases(root), tmp_path / "direct", project="toy")
    assert pages_of(root, tmp_path / "html") == Pages(tmp_path / "direct").bytes()
    assert readings.read_bytes() != former
    readings.write_bytes(former[:-3])  # damaged
    assert pages_of(root, tmp_path / "html") == Pages(tmp_path / "direct").bytes()


@st.composite
def a_night(draw: st.DrawFn, number: int) -> list[CaseRun]:
    """What one machine measured at one commit, of which it may have measured some before."""
    machine, at = draw(st.sampled_from(["bench", "other"])), draw(st.sampled_from([0.0, 60.0]))
    facts = {
        "machine": machine,
        "id": draw(st.sampled_from(["e1", "e2"])),
        "dirty": draw(st.integers(0, 5)) == 0,
    }
    commit = draw(st.integers(0, number))
    found = []
    for variant in sorted(draw(st.sets(st.sampled_from(["a", "b", "c"]), min_size=1))):
        params = dict(draw(st.permutations([("size", 10), ("dim", 64)])))
        outcome = draw(st.sampled_from([*[Outcome.OK] * 4, Outcome.SKIPPED, Outcome.CRASHED]))
        found.append(
            make(
                commit,
                draw(st.sampled_from([0.0, 1.0, 1.3])),
                run=f"night-{number:03}",
                at=at,
                variant=variant,
                params=params,
                version=draw(st.sampled_from(["1", "1", "1", "2"])),
                processes=draw(st.sampled_from([1, 3])),
                energy=draw(st.sampled_from([None, 2.0])),
                outcome=outcome,
                reason="" if outcome is Outcome.OK else "it ended",
                flags=draw(st.sampled_from([(), (), ("impossible",)])),
                facts=facts,
            )
        )
    return found


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_publishing_night_by_night_gives_the_bytes_of_publishing_at_once(
    fill: Fill, tmp_path: Path, data: st.DataObject
) -> None:
    nights = [data.draw(a_night(number)) for number in range(data.draw(st.integers(1, 16)))]
    shutil.rmtree(tmp_path)
    # Results may be merged late, and several nights at a time.
    for night in data.draw(st.permutations(nights)):
        root = fill(night)
        if data.draw(st.integers(0, 3)) == 0:
            pages_of(root, tmp_path / "html")
    published = pages_of(root, tmp_path / "html")
    at_once = tmp_path / "once"
    write_pages(stored_cases(root), at_once, project="toy")
    expected = Pages(at_once).bytes()
    assert {name: published.get(name) for name in expected} == expected


def test_a_number_that_no_reader_could_hold_costs_its_run_and_is_told(
    fill: Fill, tmp_path: Path
) -> None:
    root = fill(cases_of(2))
    path = min((root / "night-001").glob("*-0.json"))
    content = json.loads(path.read_bytes())
    content["result"]["inputs"] = {"rows": 2**70}
    path.write_text(json.dumps(content))
    found = collect(root, tmp_path / "cache")
    [problem] = found.problems
    assert "night-001" in problem
    assert "more than 64 bits; move it away" in problem
    assert set(found.pages) == {"night-000"}
