from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asv.config import Config
from click.testing import CliRunner

from dashboards import commands
from dashboards.site import PublishReport, publish
from harness.errors import AssayError
from harness.records import Outcome, Result

Make = Callable[..., Result]
Store = Callable[[Sequence[Result | Sequence[Result]]], Path]


def asv(report: PublishReport, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "asv", *arguments, "--config", str(report.config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def comparison(table: str) -> dict[str, list[str]]:
    """Return the cells of asv's table (mark, before, after, ratio) by benchmark."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[-1]: row[:-1] for row in rows if len(row) == 5}


def page_of(report: PublishReport, name: str) -> Any:
    return json.loads((report.index.parent / name).read_text())


def both_workloads(history: Any, measured: Make) -> list[Result]:
    return [
        measured(history, at, workload=workload)
        for at in range(len(history.commits))
        for workload in ("heat", "msrep")
    ]


def test_a_published_dashboard_holds_both_workloads_and_every_commit(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(3)
    report = publish(stored(both_workloads(history, measured)), history.folder)
    assert report.index == history.folder / ".asv" / "html" / "index.html"
    assert report.warnings == ()
    index = page_of(report, "index.json")
    assert {"heat.time", "heat.peak_memory", "msrep.time"} <= set(index["benchmarks"])
    assert sorted(index["revision_to_hash"].values()) == sorted(history.commits)
    (graph,) = (report.index.parent / "graphs").rglob("branch-HEAD/**/heat.time.json")
    points = json.loads(graph.read_text())
    assert [values for _, values in points] == [[pytest.approx(0.5)]] * 3


def test_an_injected_slowdown_is_in_asvs_list_of_regressions(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(8)
    results = [
        measured(history, at, variant=variant, seconds=3.0 if slow and at >= 5 else 2.0)
        for at in range(8)
        for variant, slow in [("torch", True), ("numba", False)]
    ]
    report = publish(stored(results), history.folder)
    (found,) = page_of(report, "regressions.json")["regressions"]
    assert found[0] == "heat.time('cpu', 'torch', 10)"
    assert found[4:6] == [pytest.approx(0.75), pytest.approx(0.5)]
    ((_, revision, before, after),) = found[6]
    assert page_of(report, "index.json")["revision_to_hash"][str(revision)] == history.commits[5]
    assert (before, after) == (pytest.approx(0.5), pytest.approx(0.75))


def test_one_point_off_by_less_than_the_floor_is_no_regression(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(8)
    results = [measured(history, at, seconds=2.004 if at == 7 else 2.0) for at in range(8)]
    report = publish(stored(results), history.folder)
    assert page_of(report, "regressions.json") == {"regressions": []}


def test_asv_compare_and_show_work_on_the_export(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    results: list[Result | Sequence[Result]] = [
        processes(measured, history, 0, 2.0),
        processes(measured, history, 1, 4.0),
        measured(history, 0, variant="numba"),
        measured(history, 1, variant="numba", outcome=Outcome.CRASHED),
        measured(history, 0, backend="cuda", outcome=Outcome.SKIPPED),
        measured(history, 1, backend="cuda", outcome=Outcome.SKIPPED),
        measured(history, 0, variant="single", samples=1),
        measured(history, 1, variant="single", samples=1),
    ]
    report = publish(stored(results), history.folder)
    table = comparison(asv(report, "compare", *history.commits))
    assert table["heat.time('cpu', 'torch', 10)"] == ["+", "501±0.7ms", "1.00±0s", "2.00"]
    assert table["heat.time('cpu', 'numba', 10)"] == ["!", "500±0ms", "failed", "n/a"]
    assert table["heat.time('cuda', 'torch', 10)"] == ["", "n/a", "n/a", "n/a"]
    assert table["heat.time('cpu', 'single', 10)"][3] == "1.00"
    assert history.commits[0][:8] in asv(report, "show")
    details = asv(report, "show", "--details", history.commits[0])
    assert "heat.time [bench-1/py3.11-numpy2.4.0-numba0.68.1]" in details
    assert "ci_99:" in details


def test_asv_compare_decides_by_the_processes(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    # The headlines differ by less than the spread of the processes.
    results = [processes(measured, history, at, 2.0 + 0.002 * at) for at in range(2)]
    report = publish(stored(results), history.folder)
    table = comparison(asv(report, "compare", "--factor", "1.0001", *history.commits))
    assert table["heat.time('cpu', 'torch', 10)"][3] == "~1.00"


def test_a_detached_head_is_published(history_of: Any, measured: Make, stored: Store) -> None:
    history = history_of(3)
    history.git("checkout", "--quiet", history.commits[1])
    report = publish(stored(both_workloads(history, measured)), history.folder)
    assert [line.split(":")[0] for line in report.warnings] == ["1 of 3 commits are not drawn"]
    (graph,) = (report.index.parent / "graphs").rglob("branch-HEAD/**/heat.time.json")
    assert len(json.loads(graph.read_text())) == 2


def test_a_shallow_clone_is_published_with_one_warning(
    history_of: Any, measured: Make, stored: Store, tmp_path: Path
) -> None:
    history = history_of(3)
    shallow = tmp_path / "shallow"
    history.git("clone", "--quiet", "--depth", "2", history.folder.as_uri(), str(shallow))
    results = [measured(history, at) for at in (1, 2)]
    report = publish(stored(results), shallow)
    (warning,) = report.warnings
    assert "shallow clone: run `git fetch --unshallow`" in warning


def test_the_projects_own_settings_shape_the_pages(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    (history.folder / "asv.conf.json").write_text(
        """{ // with a comment
        "version": 1, "project": "named", "repo": "elsewhere", "results_dir": "no/such",
        "show_commit_url": "https://example.org/", "branches": ["main", "trunk"],
        "plugins": [".no.such.plugin"], }"""
    )
    report = publish(stored(both_workloads(history, measured)), history.folder)
    index = page_of(report, "index.json")
    assert index["project"] == "named"
    assert index["show_commit_url"] == "https://example.org/"
    assert index["params"]["branch"] == ["trunk"]


def test_along_the_ledger_new_torch_is_a_point_of_its_own(
    history_of: Any, measured: Make, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(2)
    old, new = ({"packages": {"torch": version}} for version in ("2.12.0", "2.13.0"))
    settings = {
        "show_commit_url": "https://example.org/",
        "regressions_first_commits": {"heat": history.commits[0], "msrep": None},
    }
    (history.folder / "asv.conf.json").write_text(json.dumps(settings))
    results = [
        measured(history, 0, old),
        measured(history, 0, new, started_at=history.times[0] + 999.0),
        measured(history, 1, new),
    ]
    monkeypatch.chdir(history.folder)
    report = publish(stored(results), Path(), ledger=Path("book"))
    book = history.folder / "book"
    commits = subprocess.check_output(["git", "rev-list", "main"], cwd=book, text=True).split()
    index = page_of(report, "index.json")
    assert len(commits) == 3
    assert sorted(index["revision_to_hash"].values()) == sorted(commits)
    assert index["show_commit_url"] == "#", "the ledger's commits are on no server"
    (graph,) = (report.index.parent / "graphs").rglob("branch-main/**/heat.time.json")
    assert len(json.loads(graph.read_text())) == 3


def test_publishing_again_reads_no_finished_run_again(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    root = stored([measured(history, 0)])
    publish(root, history.folder)
    (result,) = root.glob("*/*-0.json")
    result.write_text("in place, which the folder's time does not tell")
    stored([measured(history, 1)])
    assert publish(root, history.folder).warnings == ()


def test_publishing_again_replaces_the_dashboard(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    root = stored([measured(history, 0)])
    publish(root, history.folder)
    stored([measured(history, 0, workload="msrep")])
    report = publish(root, history.folder)
    assert "msrep.time" in page_of(report, "index.json")["benchmarks"]
    names = {path.name for path in (history.folder / ".asv").iterdir()}
    assert names == {".gitignore", "asv.conf.json", "cache", "html", "results"}
    assert history.git("status", "--porcelain") == ""


def test_a_dashboard_that_asv_made_by_itself_is_replaced(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(1)
    html = history.folder / ".asv" / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_text("<title>airspeed velocity</title>")
    (html / "index.json").write_text("{}")
    report = publish(stored([measured(history, 0)]), history.folder)
    assert "airspeed velocity" not in report.index.read_text()
    assert "airspeed velocity" in (html / "asv.html").read_text()


def test_a_folder_that_is_no_dashboard_is_not_deleted(
    history_of: Any, measured: Make, stored: Store, tmp_path: Path
) -> None:
    history = history_of(1)
    root = stored([measured(history, 0)])
    html = tmp_path / "photos"
    html.mkdir()
    (html / "index.html").write_text("my photos")
    with pytest.raises(AssayError, match="not a former dashboard and would be deleted"):
        publish(root, history.folder, html)
    assert (html / "index.html").read_text() == "my photos"
    for kept in (tmp_path, history.folder, root):
        with pytest.raises(AssayError, match="would be deleted"):
            publish(root, history.folder, kept)


def test_when_asv_fails_its_last_line_is_told_and_the_former_dashboard_stays(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(2)
    root = stored([measured(history, 0)])
    before = publish(root, history.folder).index.read_bytes()
    (history.folder / "asv.conf.json").write_text(
        '{"regressions_thresholds": {".*": "much"}, "repo": "."}'
    )
    with pytest.raises(AssayError, match=r"asv publish failed: .*Non-float threshold.*; see all"):
        publish(root, history.folder)
    assert (history.folder / ".asv" / "html" / "index.html").read_bytes() == before
    names = {path.name for path in (history.folder / ".asv").iterdir()}
    assert names == {".gitignore", "asv.conf.json", "cache", "html", "results"}


def test_settings_that_are_not_json_are_one_clear_line(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(1)
    for text, problem in [("{", "is not JSON"), ("[]", "holds no settings")]:
        (history.folder / "asv.conf.json").write_text(text)
        with pytest.raises(AssayError, match=f"asv.conf.json {problem}"):
            publish(stored([measured(history, 0)]), history.folder)


def test_without_asv_the_fix_is_told(
    monkeypatch: pytest.MonkeyPatch, history_of: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssayError, match=re.escape("pip install 'assay[dashboards]'")):
        publish(tmp_path, history_of(1).folder)


def test_a_folder_outside_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="name the measured repository with --repo DIR"):
        publish(tmp_path, tmp_path)


def test_results_of_another_repository_are_refused(
    history_of: Any, measured: Make, stored: Store
) -> None:
    history = history_of(1)
    root = stored([measured(history, 0, facts={"commit": "a" * 40})])
    with pytest.raises(AssayError, match="no commit with results is in the history of HEAD"):
        publish(root, history.folder)


def test_an_empty_results_folder_is_refused(history_of: Any, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="`assay run` makes some"):
        publish(tmp_path / "none", history_of(1).folder)


def test_the_command_prints_the_page_and_what_was_left_out(
    history_of: Any, measured: Make, stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(2)
    root = stored(
        [
            measured(history, 0, workload="toy"),
            measured(history, 1, workload="toy"),
            measured(history, 1, workload="toy", variant="x", facts={"dirty": True}),
        ]
    )
    arguments = ["--results", str(root), "--repo", str(history.folder)]
    said = CliRunner().invoke(commands.publish, arguments, catch_exceptions=False)
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert "1 result left out: the checkout was dirty" in lines
    assert "published 2 results of 2 commits on 1 machine" in lines
    assert lines[-1] == str(history.folder / ".asv" / "html" / "index.html")
    monkeypatch.chdir(history.folder)
    there = CliRunner().invoke(commands.publish, ["--results", str(root)], catch_exceptions=False)
    assert there.stdout.splitlines()[-1] == ".asv/html/index.html"


def test_the_projects_configuration_is_one_that_asv_reads() -> None:
    root = Path(__file__).parents[2]
    config = Config.load(str(root / "asv.conf.json"))
    assert (config.project, config.branches) == ("assay", ["HEAD"])
    assert (config.results_dir, config.html_dir) == (".asv/results", ".asv/html")
    assert config.plugins == [".dashboards.publisher"]
    assert (root / config.benchmark_dir / "__init__.py").is_file()


def processes(measured: Make, history: Any, at: int, seconds: float) -> list[Result]:
    return [
        replace(measured(history, at, seconds=seconds * (1 + 0.001 * number)), process=number)
        for number in range(7)
    ]
