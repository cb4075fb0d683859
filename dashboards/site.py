"""Publishes stored results: our pages, and asv's, made to work without a network."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dashboards.asv_export import ExportSummary, export
from dashboards.asv_pages import ASV_PAGE, make_whole
from dashboards.folders import replacing
from dashboards.ledger import BRANCH, on_ledger, write_ledger
from dashboards.pages import collect, write_pages
from harness.checkout import run_git
from harness.errors import AssayError

CACHE = "cache"
"""What stored runs tell, in the work folder: a run is read once."""

_GIT_TIMEOUT_S = 60.0  # a list of all commits of a large repository takes some seconds

_TAKEN_FROM_PROJECT = (
    "project",
    "project_url",
    "show_commit_url",
    "hash_length",
    "branches",
    "regressions_first_commits",
    "regressions_thresholds",
)
"""What of a project's own asv.conf.json shapes the pages; the rest is about running benchmarks."""


@dataclass(frozen=True, slots=True)
class PublishReport:
    """What was published.

    Attributes:
        index: the page to open, through a web server such as `assay preview`.
        config: an asv configuration for `asv compare` and `asv show` on the same files.
        summary: what was exported and what was left out.
        warnings: one line for everything that the pages do not show although it is stored.
    """

    index: Path
    config: Path
    summary: ExportSummary
    warnings: tuple[str, ...]


def publish(
    store_root: Path,
    repo: Path,
    html_dir: Path | None = None,
    *,
    versions: Mapping[str, str] = MappingProxyType({}),
    baselines: Mapping[str, str] = MappingProxyType({}),
    ledger: Path | None = None,
) -> PublishReport:
    """Draw the results below `store_root`: as our pages, and through `.asv/results` as asv's.

    asv's pages show the commits on the branches that the repository's asv.conf.json names, or on
    HEAD where it names none that exists. An earlier dashboard stays until the new one is whole.

    Args:
        store_root: the results folder.
        repo: a folder in the git repository that the results were measured in.
        html_dir: where the pages go; `.asv/html` of the repository where it is None.
        versions: the current version by workload, as `export` takes it.
        baselines: the name of the baseline variant by workload.
        ledger: a folder for the run ledger, whose commits asv's pages then show in place of the
            repository's; a new torch or driver is a point of its own there.

    Raises:
        AssayError: there is nothing to publish, asv is missing or fails, `repo` is not in a git
            repository, or `html_dir` holds something that is not a dashboard.
    """
    if importlib.util.find_spec("asv") is None:
        raise AssayError("asv is not installed; run python -m pip install 'assay[dashboards]'")
    top = repository(repo)
    work = top / ".asv"
    html = (html_dir or work / "html").resolve()
    _refuse_to_delete(html, [top, store_root.resolve(), work / "results", Path.cwd()])
    make_work_folder(work)
    stored = collect(store_root, work / CACHE, baselines=baselines)
    if not stored.entries:
        raise AssayError(f"no results in {store_root}; `assay run` makes some")
    cases = stored.cases()
    settings = _settings(top, work, html)
    drawn = cases
    if ledger is not None:
        # asv takes a relative path from where its configuration is.
        book = write_ledger(cases, ledger.resolve())
        drawn = on_ledger(cases, book)
        settings = _on_ledger(settings, book.folder)
    summary = export(drawn, work / "results", versions=versions)
    config = work / "asv.conf.json"
    config.write_text(json.dumps(settings, indent=4) + "\n", encoding="utf-8")
    unseen = _unseen(Path(settings["repo"]), settings["branches"], summary.commits)
    warnings = [*stored.problems, *unseen]
    with replacing(html) as fresh:
        _run_asv_publish(config, fresh)
        make_whole(fresh, own_pages=True)
        write_pages(
            stored,
            fresh,
            project=settings["project"],
            left_out=summary.left_out,
            problems=stored.problems,
            repo=top,
            baselines=baselines,
        )
    return PublishReport(html / "index.html", config, summary, tuple(warnings))


def repository(folder: Path) -> Path:
    """Return the top of the git working tree around `folder`.

    Raises:
        AssayError: there is none, or git is missing.
    """
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))
    except AssayError as error:
        raise AssayError(f"{error}; name the measured repository with --repo DIR") from error


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = run_git(folder, *arguments, timeout_s=_GIT_TIMEOUT_S)
    except OSError as error:
        raise AssayError(f"git does not start: {error.strerror}; install git") from error
    except subprocess.TimeoutExpired as error:
        raise AssayError(f"git took over {_GIT_TIMEOUT_S:.0f} s in {folder}; try again") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise AssayError(f"git says of {folder}: {_last_line(said)}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _refuse_to_delete(html: Path, kept: Sequence[Path]) -> None:
    for path in kept:
        if path == html or html in path.parents:
            raise AssayError(f"{html} holds {path} and would be deleted; choose another --html")
    if not html.exists() or (html.is_dir() and not any(html.iterdir())):
        return
    # Where asv made the dashboard by itself its page has its own name.
    pages = [page for name in (ASV_PAGE, "index.html") if (page := html / name).is_file()]
    drawn = any(b"airspeed velocity" in page.read_bytes() for page in pages)
    if not (drawn and (html / "index.json").is_file()):
        raise AssayError(
            f"{html} is not a former dashboard and would be deleted; choose another --html"
        )


def make_work_folder(work: Path) -> None:
    """Make the folder of what is made from results, which no commit takes up.

    Raises:
        AssayError: it cannot be written.
    """
    try:
        work.mkdir(exist_ok=True)
        ignore = work / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise AssayError(f"cannot write {work}: {error.strerror}; make it writable") from error


def _settings(top: Path, work: Path, html: Path) -> dict[str, Any]:
    own = _project_settings(top)
    taken = {name: own[name] for name in _TAKEN_FROM_PROJECT if name in own}
    named = [branch for branch in taken.get("branches") or [] if _resolves(top, branch)]
    return {
        "project": top.name,
        **taken,
        "version": 1,
        "repo": str(top),
        "dvcs": "git",
        "branches": named or ["HEAD"],
        "results_dir": str(work / "results"),
        "html_dir": str(html),
        "env_dir": str(work / "env"),
        "benchmark_dir": str(work / "benchmarks"),
    }


def _on_ledger(settings: Mapping[str, Any], ledger: Path) -> dict[str, Any]:
    """Return the settings for the ledger's commits, without those that name the repository's."""
    first = settings.get("regressions_first_commits")
    off = {name: None for name in first if first[name] is None} if isinstance(first, dict) else {}
    kept = {name: settings[name] for name in settings if name != "show_commit_url"}
    return {
        **kept,
        "repo": str(ledger),
        "branches": [BRANCH],
        "regressions_first_commits": off,
    }


def _project_settings(top: Path) -> dict[str, Any]:
    for name in ("asv.conf.json", "asv.conf.jsonc"):
        path = top / name
        if path.is_file():
            try:
                # asv itself needs json5, to read the comments that its configurations may have.
                settings = importlib.import_module("json5").loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise AssayError(f"{path} is not JSON: {error}; repair it") from error
            if not isinstance(settings, dict):
                raise AssayError(f"{path} holds no settings; write a JSON object")
            return settings
    return {}


def _resolves(top: Path, branch: object) -> bool:
    if not isinstance(branch, str) or branch.startswith("-"):
        return False
    try:
        _git(top, "rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}")
    except AssayError:
        return False
    return True


def _unseen(top: Path, branches: Sequence[str], commits: Sequence[str]) -> list[str]:
    """Return a warning for commits with results that asv does not draw.

    Raises:
        AssayError: it would draw none.
    """
    drawn = {
        commit
        for branch in branches
        for commit in _git(top, "rev-list", "--first-parent", branch, "--").split()
    }
    unseen = [commit for commit in commits if commit not in drawn]
    shallow = _git(top, "rev-parse", "--is-shallow-repository").strip() == "true"
    where = f"the history of {', '.join(branches)} in {top}"
    if len(unseen) == len(commits):
        fix = "run `git fetch --unshallow`" if shallow else "name its repository with --repo DIR"
        raise AssayError(f"no commit with results is in {where}; {fix}")
    warnings = []
    if shallow:
        warnings.append(
            f"{top} is a shallow clone: run `git fetch --unshallow` to see older points"
        )
    if unseen:
        warnings.append(f"{len(unseen)} of {len(commits)} commits are not drawn: not in {where}")
    return warnings


def _run_asv_publish(config: Path, html: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asv", "publish", "--config", str(config), "--html-dir", str(html)],
        env=_environ(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0 or not (html / "index.html").is_file():
        last = _last_line(done.stderr) or _last_line(done.stdout)
        command = f"python -m asv publish --config {config}"
        raise AssayError(f"asv publish failed: {last}; see all of it with `{command}`")


def _environ() -> dict[str, str]:
    # In a git hook these name a repository, and it need not be the one that was asked for.
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
