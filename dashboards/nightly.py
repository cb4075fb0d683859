"""The whole night on one machine: pull, run, ledger, detect, publish, and a summary of it all.

Each step is a command or function of its own; what is stored by one is there for the next night
even where a later one fails.
"""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import click

from dashboards import nightly_news as memory
from dashboards.ledger import Ledger, write_ledger
from dashboards.nightly_news import News
from dashboards.nightly_pull import pull
from dashboards.nightly_summary import Night, Step, summary
from dashboards.pages import collect
from dashboards.site import CACHE, make_work_folder
from harness.case_run import CaseRun
from harness.cli import FAILED, OK, WRONG_USAGE
from harness.cli import assay as command_line
from harness.errors import AssayError
from harness.registry import installed
from harness.tables import baselines_of

WORK = Path(".asv")
"""Of the repository, in whose top folder a night is spent."""

STEPS = ("pull", "run", "ledger", "detect", "publish")


@dataclass(frozen=True, slots=True)
class Options:
    """What a night is to do.

    Attributes:
        steps: which of `STEPS`; they are taken in that order.
        results: the results folder.
        ledger: the ledger's folder.
        html: where the pages go; None for where `assay publish` puts them.
        run_options: what `assay run` is called with beside the results folder.
        min_change: the smallest change of level, as a share, that is told.
        pulled: what a pull before this process brought.
    """

    steps: Sequence[str]
    results: Path
    ledger: Path
    html: Path | None = None
    run_options: Sequence[str] = ()
    min_change: float = 0.0
    pulled: str = ""


@dataclass(slots=True)
class _State:
    """What is known so far."""

    options: Options
    started_at: float
    before: memory.Memory
    forgotten: str
    steps: list[Step] = field(default_factory=list)
    status: int = OK
    cases: Sequence[CaseRun] | None = None
    ledger: Ledger | None = None
    news: News | None = None
    published: list[str] = field(default_factory=list)
    restart: bool = False


def spend_night(options: Options, write: Callable[[str], None]) -> int:
    """Take the steps, write the summary, and return the status: 0, 1 or 2.

    1 says that a case failed or that a regression became known; 2 that a step could not be taken.
    Where a pull brought new sources this process is replaced by one that runs them.

    Args:
        options: what to do.
        write: takes the summary.
    """
    state = _State(options, time.time(), *_remembered(options.results))
    if options.pulled:
        state.steps.append(Step("pull", "done", 0.0, options.pulled))
    for name in STEPS:
        if name not in options.steps:
            continue
        if state.steps and state.steps[-1].name == "pull" and state.steps[-1].outcome == "failed":
            # Without the new commits the night would measure the last ones again.
            break
        _take(name, state)
        if state.restart and set(options.steps) != {"pull"}:
            _restart(state.steps[-1].note)
    fresh = _fresh(state)
    night = Night(
        started_at=state.started_at,
        steps=tuple(state.steps),
        cases=tuple(fresh),
        ledger=state.ledger,
        news=state.news,
        published=tuple(state.published),
    )
    write(summary(night))
    if state.news is not None:
        # Only now: what no summary told is told by the next night.
        memory.remember(options.results, state.news.memory)
    return state.status


def _fresh(state: _State) -> Sequence[CaseRun]:
    """Return what was measured since the last night; a failed case of it sets the status."""
    if {"run", "detect"}.isdisjoint(state.options.steps):
        return ()
    try:
        fresh = memory.since(_cases(state), state.before)
    except AssayError:
        return ()  # the results cannot be read, as the steps that need them have said
    if memory.failed(fresh):
        state.status = max(state.status, FAILED)
    return fresh


def _take(name: str, state: _State) -> None:
    start_s = time.monotonic()
    click.echo(f"== {name}")
    outcome, note = "done", ""
    try:
        note = _ACTIONS[name](state)
    except (AssayError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        outcome, note = "failed", " ".join(message.split())
        click.echo(f"assay: {note}", err=True)
    except (click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        # A bug of one step must not cost what the others have to tell.
        traceback.print_exc()
        outcome, note = "failed", f"{type(error).__name__}: {error}"
    if outcome == "failed":
        state.status = WRONG_USAGE
    state.steps.append(Step(name, outcome, time.monotonic() - start_s, note))


def _pull(state: _State) -> str:
    brought = pull(Path.cwd())
    state.restart = brought is not None
    return brought or "nothing new"


def _run(state: _State) -> str:
    state.cases = None
    status = _call("run", *state.options.run_options, "--results", str(state.options.results))
    state.status = max(state.status, status)
    return "a case failed" if status else ""


def _ledger(state: _State) -> str:
    state.ledger = write_ledger(_cases(state), state.options.ledger)
    return f"{state.options.ledger}: {len(state.ledger.entries)} commits"


def _detect(state: _State) -> str:
    if state.forgotten:
        raise AssayError(state.forgotten)
    ledger = state.ledger or write_ledger(_cases(state), state.options.ledger)
    state.ledger = ledger
    state.news = memory.news(
        _cases(state), ledger, state.before, min_change=state.options.min_change
    )
    regressions = sum(one.verdict == "regression" for one in state.news.new)
    if regressions:
        state.status = max(state.status, FAILED)
    return f"{regressions} new regressions"


def _publish(state: _State) -> str:
    options = state.options
    html = ("--html", str(options.html)) if options.html else ()
    ledger = ("--ledger", str(options.ledger))
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            _call("publish", "--results", str(options.results), *ledger, *html)
    finally:
        state.published = said.getvalue().splitlines()
        click.echo(said.getvalue(), nl=False)
    return ""


_ACTIONS: dict[str, Callable[[_State], str]] = {
    "pull": _pull,
    "run": _run,
    "ledger": _ledger,
    "detect": _detect,
    "publish": _publish,
}


def _remembered(root: Path) -> tuple[memory.Memory, str]:
    """Return what earlier nights told, or nothing and why it cannot be read."""
    try:
        return memory.remembered(root), ""
    except AssayError as error:
        return memory.Memory(), str(error)


def _call(*arguments: str) -> int:
    """Run one of our commands as from the shell; return its status."""
    status = command_line.main(list(arguments), prog_name="assay", standalone_mode=False)
    return status if isinstance(status, int) else OK


def _cases(state: _State) -> Sequence[CaseRun]:
    if state.cases is None:
        # The publish step reads the same cache, which is filled for the same baselines.
        make_work_folder(WORK)
        baselines = dict(baselines_of(installed()))
        stored = collect(state.options.results, WORK / CACHE, baselines=baselines)
        for problem in stored.problems:
            click.echo(f"warning: {problem}", err=True)
        state.cases = stored.cases()
    return state.cases


def _restart(brought: str) -> None:
    """Go on in a new process, which loads the sources that were pulled."""
    arguments = [word for word in sys.argv[1:] if word != "--pull"]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(
        sys.executable,
        [sys.executable, sys.argv[0], arguments[0], "--pulled", brought, *arguments[1:]],
    )
