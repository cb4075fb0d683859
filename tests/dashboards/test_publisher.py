"""Plain `asv publish` with our plug-in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asv.util import UserError
from click.testing import CliRunner

from dashboards import commands
from dashboards.publisher import Dashboard
from harness.records import Result
from workloads.heat import WORKLOAD as HEAT

Make = Callable[..., Result]
Store = Callable[[Sequence[Result | Sequence[Result]]], Path]

SETTINGS: dict[str, Any] = {
    "version": 1,
    "repo": ".",
    "branches": ["HEAD"],
    "results_dir": ".asv/results",
    "html_dir": ".asv/by-asv",
    "plugins": [".dashboards.publisher"],
}


def asv_publish(folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "asv", "publish"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / ".asv" / "by-asv"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def repo(history_of: Any, measured: Make, stored: Store) -> Path:
    """A repository whose results are published, and asv's configuration with our plug-in."""
    history = history_of(3)
    results = [
        measured(history, at, variant=v, version=HEAT.version)
        for at in range(3)
        for v in ("torch", "block")
    ]
    root = stored([*results, measured(history, 2, variant="x", facts={"dirty": True})])
    (history.folder / "assay.toml").write_text(f"results = {json.dumps(str(root))}\n")
    arguments = ["--results", str(root), "--repo", str(history.folder)]
    CliRunner().invoke(commands.publish, arguments, catch_exceptions=False)
    settings = SETTINGS | {"project": history.folder.name}
    (history.folder / "asv.conf.json").write_text(json.dumps(settings))
    return Path(history.folder)


def test_asv_publish_makes_the_dashboard_that_assay_publish_makes(repo: Path) -> None:
    ours, theirs = tree(repo / ".asv" / "html"), tree(asv_publish(repo))
    assert set(ours) == set(theirs)
    differ = {name for name in ours if ours[name] != theirs[name]}
    # asv writes the names of its plug-ins into the first, and when it published into the others.
    assert differ <= {"index.json", "info.json", "regressions.xml"}
    assert "asv.html" in ours
    assert any(name.startswith("data/workload/") for name in ours)


def test_without_stored_results_asvs_page_stays_the_first(repo: Path) -> None:
    (repo / "assay.toml").write_text('results = "none"\n')
    html = asv_publish(repo)
    page = (html / "index.html").read_text()
    assert "airspeed velocity" in page
    assert "vendor/jquery.min.js" in page
    assert "Overview" not in page
    assert not (html / "asv.html").exists()


def test_another_release_of_asv_is_one_line_of_asvs(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>something new</html>")
    config = SimpleNamespace(html_dir=str(tmp_path), project="x", repo=".")
    with pytest.raises(UserError, match=r"asv's index\.html is not that of asv") as refusal:
        Dashboard.publish(config, None, None, None, None)
    assert len(str(refusal.value).splitlines()) == 1
