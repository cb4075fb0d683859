"""Repeats work of known size until its rate is known: what the ceilings of all devices share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from harness.records import Ceiling

REPETITIONS = 7
"""Undisturbed samples of each rate, one a round: a disturbance of 100 ms spoils one of them."""

_MAX_ROUNDS = 28
_MAX_S = 1.5  # after this and `REPETITIONS` rounds, none is begun for what stays disturbed


@dataclass(frozen=True, slots=True)
class Load:
    """Work whose rate is to be measured.

    Attributes:
        ceiling: what its rates become.
        amount: bytes or FLOP of one repetition.
        run: does so many repetitions; returns their time in s, and whether nothing disturbed them.
    """

    ceiling: Ceiling
    amount: float
    run: Callable[[int], tuple[float, bool]]


def measured(loads: Iterable[Load], sample_s: float) -> list[Ceiling]:
    """Return each load's ceiling with a rate for each of its undisturbed samples.

    Where a busy machine left none undisturbed, the disturbed ones stand.

    Args:
        loads: measured in turn, round by round.
        sample_s: how long a sample is to take.
    """
    every = [_Series(load, sample_s) for load in loads]
    deadline = time.monotonic() + _MAX_S
    for number in range(_MAX_ROUNDS):
        wanting = [one for one in every if len(one.whole) < REPETITIONS]
        if not wanting or (number >= REPETITIONS and time.monotonic() > deadline):
            break
        for one in wanting:
            one.sample()
    return [one.ceiling() for one in every]


class _Series:
    """The rates of one load so far."""

    def __init__(self, load: Load, sample_s: float) -> None:
        self.load = load
        self.whole: list[float] = []
        self._disturbed: list[float] = []
        self._sample_s = sample_s
        self._best = self._first_rate()

    def sample(self) -> None:
        # From the best so far: a disturbed sample must not make the next ones too short.
        rate, whole = self._rate(max(1, round(self._sample_s * self._best / self.load.amount)))
        (self.whole if whole else self._disturbed).append(rate)
        self._best = max(self._best, rate)

    def ceiling(self) -> Ceiling:
        return replace(self.load.ceiling, values=tuple(self.whole or self._disturbed))

    def _rate(self, repeats: int) -> tuple[float, bool]:
        seconds, whole = self.load.run(repeats)
        return repeats * self.load.amount / seconds, whole

    def _first_rate(self) -> float:
        """Return a rate to size samples by; the first run also brings the data near."""
        repeats, rate = 1, self._rate(1)[0]
        while repeats * self.load.amount < rate * self._sample_s / 4:
            repeats *= 4
            rate = self._rate(repeats)[0]
        return rate
