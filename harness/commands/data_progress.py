"""Shows how far a download is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.printable import printable
from harness.units import format_bytes, format_duration

_EVERY_S = 10.0
"""Between two plain lines; what takes less says nothing."""


@contextmanager
def transfer_progress() -> Iterator[TransferProgress]:
    """Yield what suits standard error."""
    if not sys.stderr.isatty():
        yield TransferProgress(bar=None)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        yield TransferProgress(bar)


class TransferProgress:
    """Is told of each block that has moved."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._said_s = time.monotonic()

    def moved(self, name: str, done: int, total: int) -> None:
        """Show that so many bytes are done, of `total` where that is not 0."""
        if self._bar is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(printable(name), total=total or None)
            self._bar.update(self._tasks[name], completed=done)
            return
        now_s = time.monotonic()
        begun_s, begun = self._begun.setdefault(name, (now_s, done))
        if now_s - self._said_s >= _EVERY_S:
            self._said_s = now_s
            of = f" of {format_bytes(total)}" if total else ""
            left = ""
            if total and done > begun:
                left_s = (now_s - begun_s) * (total - done) / (done - begun)
                left = f", ETA {format_duration(left_s)}"
            self.say(f"{name}: {format_bytes(done)}{of}{left}")

    def say(self, message: str) -> None:
        """Say it."""
        line = printable(message)
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)
