"""Threads that make reads; what they wait for is the disk, not the interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Done = SimpleQueue[BaseException | None]
"""Where a call's end is told: None, or what it raised."""


class ReadThreads:
    """A fixed number of threads and the calls that they share."""

    def __init__(self, count: int) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], None], Done] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"solar-read-{i}", daemon=True)
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], None], done: Done) -> None:
        """Have `call` made by the next free thread, and its end told to `done`."""
        self._calls.put((call, done))

    def close(self) -> None:
        """End the threads after the calls that were submitted."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            call, done = item
            try:
                call()
            except BaseException as error:
                done.put(error)
            else:
                done.put(None)
