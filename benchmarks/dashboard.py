"""Times what publishing a long history takes: reading, exporting, asv's pages and our own.

    python benchmarks/dashboard.py             # 1,000 commits x 500 series; 8 GB of disk, 15 min
    python benchmarks/dashboard.py --quick     # a small one, in under a minute

Plain `asv publish` and our pages are made in turns, and of each the median is told. Our pages are
timed as a night finds them: with all runs but the newest published before. What a first publishing
takes is told apart. docs/dashboard.md says what the numbers mean.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import click

# Python puts the script's own folder on the path, not the repository that it belongs to.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.dashboard_history import History, make_history
from dashboards.asv_export import export
from dashboards.pages import collect, write_pages

QUICK = (60, 30)
_Value = TypeVar("_Value")


@click.command()
@click.option("--commits", default=1000, show_default=True)
@click.option("--series", default=500, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="How often each is timed.")
@click.option("--quick", is_flag=True, help="A small history, once.")
@click.option("--most", type=float, help="Exit with 1 where ours take more than this share.")
@click.option("--work", type=click.Path(path_type=Path), help="Where the files go for the time.")
def main(
    commits: int, series: int, rounds: int, quick: bool, most: float | None, work: Path | None
) -> int:
    """Time publishing of a made-up history."""
    if quick:
        (commits, series), rounds = QUICK, 1
    folder = Path(tempfile.mkdtemp(prefix="dashboard-", dir=work))
    try:
        history = make_history(folder / "history", commits=commits, series=series)
        share = _measure(history, folder, rounds)
    finally:
        shutil.rmtree(folder)
    return int(most is not None and share > most)


def _measure(history: History, folder: Path, rounds: int) -> float:
    cache, html = folder / "cache", folder / "html"
    newest = max(history.results.iterdir())
    rest = newest.rename(folder / newest.name)
    first_s, former = _timed(lambda: collect(history.results, cache))
    drawn_s, _ = _timed(lambda: write_pages(former, html, project="x", repo=history.project))
    readings = (cache / "readings").read_bytes()
    rest.rename(newest)
    taken: dict[str, list[float]] = {}

    def note(what: str, work: Callable[[], _Value]) -> _Value:
        seconds, value = _timed(work)
        taken.setdefault(what, []).append(seconds)
        return value

    stored = note("reading, with one new run", lambda: collect(history.results, cache))
    note("export", lambda: export(stored.cases(), folder / "results"))
    config = _asv_config(history, folder)
    for number in range(rounds):
        if number:
            _forget_newest(newest, cache, folder)
            stored = note("reading, with one new run", lambda: collect(history.results, cache))
        note("asv publish", lambda: _asv_publish(config))
        shutil.rmtree(html, ignore_errors=True)
        (cache / "readings").write_bytes(readings)
        draw = partial(write_pages, stored, html, project="x", repo=history.project)
        note("our pages", draw)
    ours = median(taken["reading, with one new run"]) + median(taken["our pages"])
    share = ours / median(taken["asv publish"])
    click.echo(f"{history.commits} commits x {3 * history.cases} series")
    click.echo(f"{first_s:8.1f} s  reading, with an empty cache")
    click.echo(f"{drawn_s:8.1f} s  our pages, with an empty cache")
    for what, seconds in taken.items():
        click.echo(f"{median(seconds):8.1f} s  {what}")
    click.echo(f"reading and our pages take {share:.2f} of asv publish")
    return share


def _forget_newest(newest: Path, cache: Path, folder: Path) -> None:
    """Make the newest run new to the cache again."""
    away = newest.rename(folder / newest.name)
    collect(newest.parent, cache)
    away.rename(newest)


def _timed(work: Callable[[], _Value]) -> tuple[float, _Value]:
    started = time.perf_counter()
    value = work()
    return time.perf_counter() - started, value


def _asv_config(history: History, folder: Path) -> Path:
    config = folder / "asv.conf.json"
    settings = {
        "version": 1,
        "project": "x",
        "repo": str(history.project),
        "branches": ["main"],
        "results_dir": str(folder / "results"),
        "html_dir": str(folder / "asv-html"),
        "env_dir": str(folder / "env"),
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    return config


def _asv_publish(config: Path) -> None:
    command = [sys.executable, "-m", "asv", "publish", "--config", str(config)]
    subprocess.run(command, check=True, capture_output=True, cwd=config.parent)


if __name__ == "__main__":
    sys.exit(main(standalone_mode=False))
