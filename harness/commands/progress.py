"""Shows a run's progress: a bar with an ETA on a terminal, one plain line a case elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from harness import rounds, store, units
from harness.plan import Plan, PlannedCase
from harness.printable import printable
from harness.records import Outcome, Result, Scalar


@contextmanager
def progress_for(plan: Plan) -> Iterator[_Observer]:
    """Yield the observer that suits standard error."""
    if not sys.stderr.isatty():
        yield _Observer(plan, bar=None)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("ETA {task.fields[eta]}"),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        yield _Observer(plan, bar)


class _Observer:
    """Knows what is left; scales the plan's estimates by how they have held so far."""

    def __init__(self, plan: Plan, bar: Progress | None) -> None:
        self._left_s = {planned.case.key: planned.estimate_s for planned in plan.cases}
        self._total = len(plan.cases)
        self._estimated_s = self._taken_s = 0.0
        self._ends_s = None if plan.budget_s is None else time.monotonic() + plan.budget_s
        self._bar = bar
        self._task: TaskID | None = None
        self._label = ""
        self._labels = labels(plan)
        if bar is not None:
            self._task = bar.add_task("", total=self._total, eta=self._eta())

    def started(self, run: store.Run, plan: Plan) -> None:
        """Say what was found of an earlier attempt."""
        for message in run.messages:
            self._print(f"warning: {message}")
        done = [one for one in plan.cases if rounds.finished(one, run.of(one.case))]
        if run.resumed:
            self._print(f"resuming run {run.header.id}: {len(done)} of {self._total} cases done")
        for planned in done:
            self._left_s.pop(planned.case.key)
        self._show("")

    def warn(self, message: str) -> None:
        """Say it."""
        self._print(f"warning: {message}")

    def case_started(self, planned: PlannedCase, process: int) -> None:
        """Name the case and its repetition."""
        self._label = f"{self._labels[planned.case.key]} #{process + 1}"
        self._show("")

    def phase(self, name: str) -> None:
        """Name the phase."""
        self._show(name)

    def process_done(self, planned: PlannedCase, result: Result, last: bool) -> None:
        """Say how the process ended and what is left."""
        key = planned.case.key
        if result.outcome is not Outcome.SKIPPED:
            self._estimated_s += planned.process_s
            self._taken_s += result.duration_s
        if last:
            self._left_s.pop(key, None)
        elif key in self._left_s:
            self._left_s[key] = max(self._left_s[key] - planned.process_s, planned.process_s)
        done = self._total - len(self._left_s)
        reason = f": {result.reason}" if result.reason else ""
        plain = self._bar is None
        if plain or result.outcome is not Outcome.OK:
            took = f" ({result.duration_s:.1f} s, ETA {self._eta()})" if plain else ""
            self._print(
                f"[{done}/{self._total}] {self._labels[key]} #{result.process + 1}: "
                f"{result.outcome}{reason}{took}"
            )
        self._show("")

    def _eta(self) -> str:
        pace = self._taken_s / self._estimated_s if self._estimated_s > 0 else 1.0
        left_s = pace * sum(self._left_s.values())
        if self._ends_s is not None:
            left_s = min(left_s, max(0.0, self._ends_s - time.monotonic()))
        return units.format_duration(left_s)

    def _show(self, phase: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=self._total - len(self._left_s),
                description=printable(f"{self._label} {phase}"),
                eta=self._eta(),
            )

    def _print(self, text: str) -> None:
        line = printable(text)
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)


def labels(plan: Plan) -> dict[str, str]:
    """Return for each case, by key, what tells it from the plan's others of its workload."""
    values: dict[tuple[str, str], set[Scalar]] = {}
    for planned in plan.cases:
        for name, value in planned.case.params.items():
            values.setdefault((planned.case.workload, name), set()).add(value)
    return {
        case.key: replace(
            case,
            params={
                name: value
                for name, value in case.params.items()
                if len(values[case.workload, name]) > 1
            },
        ).label
        for case in (planned.case for planned in plan.cases)
    }
