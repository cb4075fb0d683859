"""The memory of the steps that are under way: bounded in bytes, used again and again."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from harness.errors import AssayError
from workloads.solar.layout import SampleFile
from workloads.solar.staging import Stage, stage


class StoppedError(Exception):
    """Ends the thread that waits for memory."""


class Stages:
    """As many stages as depth and limit allow, made when they are first needed."""

    def __init__(self, file: SampleFile, depth: int, most_bytes: int) -> None:
        self._file = file
        self._most_depth = depth
        self._most_bytes = most_bytes
        self._depth = 0
        self._capacity = 1
        self._made = 0
        self._bytes = 0
        self._free: SimpleQueue[Stage | None] = SimpleQueue()
        self.peak_bytes = 0

    def fit(self, longest: int) -> None:
        """Have stages from now on hold a step of `longest` samples.

        Their capacity never shrinks, so their number never grows back over the limit.

        Raises:
            AssayError: the limit does not allow for two: one to train on, one to read into.
        """
        self._capacity = max(self._capacity, longest)
        step_bytes = self._capacity * self._file.sample_bytes
        self._depth = min(self._most_depth, self._most_bytes // step_bytes)
        if self._depth < 2:
            raise AssayError(
                f"two steps of {self._capacity} samples need {2 * step_bytes} bytes of staging "
                f"memory, {self._most_bytes} are allowed; raise staging_bytes or shrink the batch"
            )

    def take(self, *, wait: bool) -> Stage | None:
        """Return a stage that is free; None where none is, unless it is to `wait`.

        Raises:
            StoppedError: no step is wanted any more.
        """
        while True:
            if self._made < self._depth:
                return self._make()
            try:
                staged = self._free.get(block=wait)
            except Empty:
                return None
            if staged is None:
                raise StoppedError
            if self._made <= self._depth and staged.capacity >= self._capacity:
                return staged
            self._made -= 1
            self._bytes -= _bytes(staged)

    def give_back(self, staged: Stage) -> None:
        """Let a stage be used again."""
        self._free.put(staged)

    def stop(self) -> None:
        """End the wait for a stage."""
        self._free.put(None)

    def _make(self) -> Stage:
        made = stage(self._file, self._capacity)
        self._made += 1
        self._bytes += _bytes(made)
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        return made


def _bytes(staged: Stage) -> int:
    return sum(rows.nbytes for rows in staged.rows)
