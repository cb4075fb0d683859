"""Shows the progress of `assay ab`: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.status import Status

from harness.ab import Compared
from harness.commands.progress import labels
from harness.plan import Plan, PlannedCase
from harness.printable import printable
from harness.units import format_duration


@contextmanager
def progress_of(plan: Plan, rounds: int, budget_s: float | None) -> Iterator[AbProgress]:
    """Yield the observer that suits standard error.

    Args:
        plan: the cases.
        rounds: the most rounds of each.
        budget_s: wall time for all of them; None for any.
    """
    if not sys.stderr.isatty():
        yield AbProgress(plan, rounds, budget_s, None)
        return
    with Console(stderr=True).status("") as status:
        yield AbProgress(plan, rounds, budget_s, status)


class AbProgress:
    """Tells what is prepared, which round runs, and each case's last word."""

    def __init__(
        self, plan: Plan, rounds: int, budget_s: float | None, status: Status | None
    ) -> None:
        self._labels = labels(plan)
        self._rounds = rounds
        self._budget_s = budget_s
        self._status = status
        self._left = {planned.case.key: rounds for planned in plan.cases}
        self._done = 0
        self._started: float | None = None
        self._doing = ""

    def say(self, line: str) -> None:
        """Say what takes time before the first round."""
        self._print(line)

    def warn(self, message: str) -> None:
        """Say it."""
        self._print(f"warning: {message}")

    def started(self, found: Sequence[Compared]) -> None:
        """Say what stands from before an interruption."""
        self._left = {one.case.key: self._rounds - len(one.base) for one in found if not one.final}
        if rounds := sum(len(one.base) for one in found):
            self._print(f"resuming: {rounds} rounds of {len(found)} cases are done")

    def process_started(self, planned: PlannedCase, side: str, number: int) -> None:
        """Name the case, the side and the round."""
        if self._started is None:
            self._started = time.monotonic()
        self._doing = f"{self._labels[planned.case.key]}, round {number + 1}, {side}"
        self.phase("")

    def phase(self, name: str) -> None:
        """Name the phase."""
        if self._status is not None:
            text = f"{len(self._left)} cases undecided{self._eta()}: {self._doing} {name}"
            self._status.update(printable(text).replace("[", "\\["))

    def round_done(self, planned: PlannedCase, compared: Compared) -> None:
        """Say how far the case has come."""
        self._done += 1
        self._left[planned.case.key] = self._rounds - len(compared.base)
        if compared.final:
            del self._left[planned.case.key]
        judgement = compared.judgement
        verdict = str(judgement.verdict) if judgement is not None else ""
        if compared.final or self._status is None:
            change = f" {judgement.ratio.estimate - 1:+.1%}" if judgement is not None else ""
            self._print(
                f"{self._labels[planned.case.key]}, round {len(compared.base)}: "
                f"{compared.reason or verdict or 'measured'}{change}{self._eta()}"
            )

    def _eta(self) -> str:
        """How long it takes at most: most cases are decided before their last round."""
        if self._started is None or self._done == 0:
            return ""
        spent_s = time.monotonic() - self._started
        left_s = spent_s / self._done * sum(self._left.values())
        if self._budget_s is not None:
            left_s = min(left_s, max(self._budget_s - spent_s, 0.0))
        return f" (ETA at most {format_duration(left_s)})"

    def _print(self, text: str) -> None:
        line = printable(text)
        if self._status is not None:
            self._status.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)
