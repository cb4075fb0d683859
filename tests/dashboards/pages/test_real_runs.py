"""Results of worker processes that really ran become pages."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.pages import collect, write_pages
from harness import store
from harness.case_run import case_runs
from tests.dashboards.pages.fabricated import Pages

VARIANTS = ("exact", "half", "wrong", "segfaults", "needs-unicorn")


@pytest.fixture
def results(tmp_path: Path, assay: Callable[..., Any]) -> Path:
    """Two commits at which five variants of the fake workload ran, in two processes each."""
    (tmp_path / ".gitignore").write_text("*\n")
    git("init", "--quiet", folder=tmp_path)
    for number in range(2):
        git("commit", "--quiet", "--allow-empty", "-m", f"change {number}", folder=tmp_path)
        chosen = [option for name in VARIANTS for option in ("--variant", name)]
        size = ("-p", "step_s=0.5", "--processes", "2")
        done = assay("run", "-w", "fake", "-b", "fake", *chosen, *size)
        assert done.returncode == 1, done.stderr  # for what is wrong and what crashes
    return tmp_path / "results"


def git(*arguments: str, folder: Path) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_real_runs_are_drawn_as_they_were(results: Path, tmp_path: Path) -> None:
    found = collect(results, tmp_path / "cache", baselines={"fake": "exact"})
    html = tmp_path / "html"
    write_pages(found, html, project="fakes", repo=tmp_path, baselines={"fake": "exact"})
    pages = Pages(html)
    index = pages.workload("fake")
    assert [subject for _, _, subject in index["commits"]] == ["change 0", "change 1"]
    outcomes = {one["variant"]: one["last"]["outcome"] for one in index["series"]}
    assert outcomes == {
        "exact": "ok",
        "half": "ok",
        "wrong": "failed",
        "segfaults": "crashed",
        "needs-unicorn": "skipped",
    }
    [half] = [one for one in index["series"] if one["variant"] == "half"]
    assert half["quantities"]["time"]["last"][0] == 0.0625  # half a step, over four items
    assert half["quantities"]["energy"]["last"][0] == 0.625
    whole = pages(f"workload/fake/{half['id']}")
    assert whole["quantities"]["time"]["x"] == [0, 1]
    run = pages.run(pages("runs")["runs"][0]["id"])
    case = run["cases"][half["last"]["case"]]
    assert case["speedup"]["ratio"][0] == pytest.approx(2.0)
    assert case["processes"][0]["verification"]["passed"] is True
    missing = {one["outcome"]: one["count"] for one in pages("overview")["missing"]}
    assert missing == {"failed": 1, "crashed": 1, "skipped": 1}

    contents = store.read(results)
    cases = case_runs((stored.run, stored.result) for stored in contents.results)
    direct = tmp_path / "direct"
    write_pages(cases, direct, project="fakes", repo=tmp_path, baselines={"fake": "exact"})
    assert Pages(direct).bytes() == pages.bytes()
