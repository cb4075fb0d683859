"""Pages of cases that never ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dashboards.pages import write_pages
from harness import store
from harness.case_run import CaseRun
from tests.dashboards.pages.fabricated import Pages


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Pages]:
    """Return what writes the pages of cases and lets them be read."""

    def write(cases: Iterable[CaseRun], **what: Any) -> Pages:
        write_pages(list(cases), tmp_path / "html", project="toy", **what)
        return Pages(tmp_path / "html")

    return write


@pytest.fixture
def fill(tmp_path: Path) -> Callable[[Iterable[CaseRun]], Path]:
    """Return what stores cases of runs as finished runs, and gives the results folder."""

    def write(cases: Iterable[CaseRun]) -> Path:
        root = tmp_path / "results"
        runs: dict[str, list[CaseRun]] = {}
        for one in cases:
            runs.setdefault(one.run, []).append(one)
        for run, own in runs.items():
            folder = root / run
            folder.mkdir(parents=True)
            for result in (result for one in own for result in one.results):
                path = folder / f"{result.case.key}-{result.process}.json"
                store.write_record(path, "result", result)
            store.write_record(folder / "finished", "finished_at", 0.0)
        return root

    return write
