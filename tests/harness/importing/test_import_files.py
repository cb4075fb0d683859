"""Importing is safe to repeat, honest about what is missing, and fit for every other command."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import store
from harness.errors import AssayError
from harness.importing import document, import_files
from harness.importing.commits import resolve
from harness.importing.facts import unix_time

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


class Suite(Protocol):
    folder: Path
    commit: str
    whole: Path
    summary: Path

    def changed(self, place: Path, **facts: Any) -> Path: ...


def of_commit(suite: Suite, place: Path, number: int, commit: str, slower: float = 1.0) -> Path:
    """Write the suite's file as a later session at another commit would have saved it."""
    value = json.loads(suite.whole.read_text())
    day = f"2024-01-{number + 1:02}"
    info = {**value["commit_info"], "id": commit, "time": f"{day}T00:00:00+00:00"}
    # A session's own noise, the same for each of its rounds.
    noise = random.Random(number)
    for test in value["benchmarks"]:
        factor = slower * noise.gauss(1, 0.01)
        stats = test["stats"]
        stats["data"] = [one * factor for one in stats["data"]]
        stats["mean"] *= factor
    facts = {"commit_info": info, "datetime": f"{day}T01:00:00+00:00"}
    return suite.changed(place, benchmarks=value["benchmarks"], **facts)


def test_the_same_file_twice_adds_nothing_and_says_so(
    suite: Suite, tmp_path: Path, assay: Assay
) -> None:
    first = assay("import", str(suite.whole))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("imported 8 benchmarks from whole.json\n")
    [run] = [path.name for path in (tmp_path / "results").iterdir()]
    assert first.stdout.endswith(f"see them with: assay show --run {run}\n")
    files = sorted(path.name for path in (tmp_path / "results" / run).iterdir())
    again = assay("import", str(suite.whole), str(suite.summary))
    assert again.returncode == 0
    assert again.stdout.count(f"is in run {run} already: nothing was added") == 2
    assert [path.name for path in (tmp_path / "results").iterdir()] == [run]
    assert sorted(path.name for path in (tmp_path / "results" / run).iterdir()) == files


def test_what_two_machines_import_alike_merges_into_one(
    suite: Suite, pyperf_file: Path, tmp_path: Path, assay: Assay
) -> None:
    later = of_commit(suite, tmp_path / "later.json", 1, suite.commit)
    copy = tmp_path / "copy.json"
    copy.write_bytes(suite.whole.read_bytes())
    import_files([suite.whole, pyperf_file, later], tmp_path / "here")
    import_files([later, pyperf_file, copy], tmp_path / "there")
    merged = assay("store", "merge", "here", "there", "--into", "both")
    assert (merged.returncode, merged.stderr) == (0, ""), merged.stdout
    runs = {path.name for path in (tmp_path / "both").iterdir()}
    assert runs == {path.name for path in (tmp_path / "here").iterdir()}
    assert runs == {path.name for path in (tmp_path / "there").iterdir()}


def test_files_of_one_commit_and_machine_are_processes_of_one_run(
    suite: Suite, tmp_path: Path
) -> None:
    files = [
        of_commit(suite, tmp_path / f"{number}.json", number, suite.commit) for number in range(3)
    ]
    same = {"id": suite.commit, "time": "2023-11-14T22:13:20+00:00", "dirty": False}
    for file in files:
        file.write_text(json.dumps({**json.loads(file.read_text()), "commit_info": same}))
    [run] = import_files([*reversed(files)], tmp_path / "results").runs
    assert (run.cases, run.results) == (8, 24)
    results = [stored.result for stored in store.read(tmp_path / "results").results]
    started = [result.started_at for result in results if result.process == 2]
    assert set(started) == {unix_time("2024-01-03T01:00:00Z")}


def test_imported_results_go_through_every_command(
    suite: Suite, pyperf_file: Path, tmp_path: Path, assay: Assay, assay_program: str
) -> None:
    root, repo = str(tmp_path / "results"), str(suite.folder)
    assert assay("import", "--results", root, str(suite.whole)).returncode == 0
    named = subprocess.run(
        [assay_program, "import", "--results", root, "--commit", "HEAD",
         "-w", "loops", str(pyperf_file)],
        cwd=repo,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert named.returncode == 0, named.stderr
    assert named.stderr == ""
    shown = assay("show", "--all", "--json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    assert {row["workload"] for row in rows} == {"parsers", "loops"}
    for row in rows:
        assert row["time_s"]["median"] > 0
        assert row["per"] == "call"
        assert row["verification"] is None
        assert "imported" in row["flags"]
        assert row["commit"] == suite.commit
    [loops] = [row for row in rows if row["workload"] == "loops"]
    assert loops["time_s"]["ci_low"] < loops["time_s"]["median"] < loops["time_s"]["ci_high"]
    assert loops["peak_bytes"] is None
    published = assay("publish", "--repo", repo, "--html", str(tmp_path / "html"))
    assert published.returncode == 0, published.stderr
    assert "published 9 results of 1 commit on 1 machine" in published.stdout
    assert (tmp_path / "html" / "index.html").is_file()


def test_an_injected_slowdown_is_compared_and_detected(
    suite: Suite, tmp_path: Path, assay: Assay
) -> None:
    commits = [f"{number:040x}" for number in range(1, 25)]
    files = [
        str(of_commit(suite, tmp_path / f"{n}.json", n, commit, 1.0 if n < 14 else 1.5))
        for n, commit in enumerate(commits)
    ]
    imported = assay("import", *files)
    assert imported.returncode == 0, imported.stderr
    assert imported.stderr == ""
    found = assay("detect", "--json")
    assert found.returncode == 1, found.stderr
    steps = [one for one in json.loads(found.stdout) if one["kind"] == "step"]
    assert {(one["verdict"], one["commit"]) for one in steps} == {("regression", commits[14])}
    assert len(steps) == 8
    compared = assay("compare", commits[0], commits[20], "--json")
    ratios = [row["ratio"]["estimate"] for row in json.loads(compared.stdout)]
    assert len(ratios) == 8
    assert all(1.4 < ratio < 1.6 for ratio in ratios)


def test_a_file_without_a_commit_is_kept_with_a_warning(
    suite: Suite, pyperf_file: Path, tmp_path: Path, assay: Assay
) -> None:
    done = assay("import", str(pyperf_file))
    assert done.returncode == 0
    assert done.stderr == (
        "warning: sum.json: no commit is known, so no time axis has it; name it with --commit\n"
    )
    dirty = suite.changed(tmp_path / "dirty.json", commit_info={"id": "a" * 40, "dirty": True,
                          "time": "2024-01-01T00:00:00Z"})  # fmt: skip
    told = assay("import", str(dirty))
    assert "dirty.json: measured with uncommitted changes" in told.stderr
    assert assay("show", "--json").returncode == 0
    refused = assay("publish", "--repo", str(suite.folder))
    assert refused.returncode == 2
    assert "nothing to publish" in refused.stderr


def test_the_machine_can_be_named_for_runners_that_are_called_anew_each_night(
    suite: Suite, tmp_path: Path
) -> None:
    import_files([suite.whole], tmp_path, machine="runner")
    machines = {stored.result.environment["machine"] for stored in store.read(tmp_path).results}
    assert machines == {"runner"}


def test_a_commit_that_contradicts_the_file_is_refused(suite: Suite, tmp_path: Path) -> None:
    other = resolve(suite.folder, "HEAD")
    assert other.id == suite.commit
    file = suite.changed(tmp_path / "file.json", commit_info={"id": "b" * 40})
    with pytest.raises(AssayError, match="was measured at commit bbbbbbbb, as it says"):
        import_files([file], tmp_path / "results", commit=other)


@pytest.mark.parametrize("name", ["no-such-branch", "--all", "HEAD..HEAD", "", "\0"])
def test_a_commit_that_git_does_not_know_is_refused(suite: Suite, name: str) -> None:
    with pytest.raises(AssayError, match=r"leave out --commit|git knows no commit"):
        resolve(suite.folder, name)


def test_a_suite_never_mixes_with_an_installed_workload(
    suite: Suite, tmp_path: Path, assay: Assay
) -> None:
    done = assay("import", str(suite.whole), "-w", "fake")
    assert done.returncode == 2
    assert "would be mixed with workload 'fake'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_one_bad_file_keeps_all_out(suite: Suite, tmp_path: Path, assay: Assay) -> None:
    (tmp_path / "other.json").write_text('{"commits": []}')
    done = assay("import", str(suite.whole), "other.json")
    assert done.returncode == 2
    assert done.stderr == (
        "assay: other.json cannot be imported: it is of neither pytest-benchmark nor pyperf; "
        "give a file of `pytest --benchmark-json FILE` or `pyperf ... -o FILE`\n"
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 200_000, "it nests too deeply"),
        (b"9" * 10_000, "it is not JSON"),
        (b"NaN", "it is of neither"),
        (b"\x1f\x8bno", "its gzip stream is damaged"),
        (gzip.compress(b"{}" * 1000)[:-9], "its gzip stream is damaged"),
        (b'{"version": "1.0", "benchmarks": []}', "it holds no benchmark"),
        (b'{"version": "1.0", "benchmarks": [{"runs": [{"values": [1e400]}]}]}', "got `str`"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, body: bytes, message: str) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(body)
    with pytest.raises(AssayError, match=message) as refusal:
        import_files([file], tmp_path / "results")
    assert "\n" not in str(refusal.value)


def test_a_run_of_another_tool_that_calls_itself_imported_is_passed_over(
    suite: Suite, tmp_path: Path
) -> None:
    [run] = import_files([suite.whole], tmp_path / "results").runs
    header = tmp_path / "results" / run.run / "run.json"
    value = json.loads(header.read_text())
    value["run"]["settings"]["imported"] = [["not", "a", "name"], 3]
    header.write_text(json.dumps(value))
    assert import_files([suite.summary], tmp_path / "results").known == {}


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "/dev/zero"):
        with pytest.raises(AssayError, match=r"it is a folder|it is not a regular file"):
            import_files([tmp_path / name], tmp_path / "results")
    with pytest.raises(AssayError, match="cannot be read"):
        import_files([tmp_path / "none"], tmp_path / "results")


def test_files_are_bounded_before_and_after_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 1 << 20)
    large, bomb = tmp_path / "large.json", tmp_path / "bomb.json.gz"
    large.write_bytes(b" " * (1 << 20) + b"{}")
    bomb.write_bytes(gzip.compress(b" " * (100 << 20)))
    assert bomb.stat().st_size < 1 << 20
    for file in (large, bomb):
        with pytest.raises(AssayError, match="it is over 1 MiB"):
            import_files([file], tmp_path / "results")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at]
    for key, inner in items:
        found += _places(inner, (*at, key)) if isinstance(inner, dict | list) else [(*at, key)]
    return found


@pytest.mark.parametrize("tool", ["pytest-benchmark", "pyperf"])
@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_stands_anywhere_in_a_file_it_is_refused_or_can_be_read_back(
    suite: Suite,
    pyperf_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tool: str,
    data: st.DataObject,
) -> None:
    value = json.loads((suite.whole if tool == "pytest-benchmark" else pyperf_file).read_text())
    value["benchmarks"] = value["benchmarks"][:1]
    if tool == "pytest-benchmark":
        value["benchmarks"][0]["stats"]["data"] = [1.0, 2.0]
    *way, last = data.draw(st.sampled_from([place for place in _places(value) if place]))
    inner = value
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(_VALUES)
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "file.json").write_text(json.dumps(value))
    stored = 0
    with suppress(AssayError):
        report = import_files([folder / "file.json"], folder / "results")
        stored = sum(one.results for one in report.runs)
    assert (folder / "results").exists() == (stored > 0)
    contents = store.read(folder / "results")
    assert contents.problems == ()
    assert len(contents.results) == stored
