"""Pages of cases that never ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dashboards.pages import write_pages
from harness.case_run import CaseRun
from tests.dashboards.pages.fabricated import Pages


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Pages]:
    """Return what writes the pages of cases and lets them be read."""

    def write(cases: Iterable[CaseRun], **what: Any) -> Pages:
        write_pages(list(cases), tmp_path / "html", project="toy", **what)
        return Pages(tmp_path / "html")

    return write
