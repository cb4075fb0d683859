from __future__ import annotations

import itertools
import time

from backends._rates import REPETITIONS, Load, measured
from harness.records import Ceiling

KIND = Ceiling("memory_rate", "DRAM", "B/s", (), 64.0, "fake")


def test_a_rate_is_the_amount_over_the_time_for_every_repetition() -> None:
    [found] = measured([Load(KIND, 10.0, lambda repeats: (repeats * 2.0, True))], sample_s=1.0)
    assert found.values == (5.0,) * REPETITIONS
    assert (found.level, found.size_bytes, found.method) == ("DRAM", 64.0, "fake")


def test_samples_are_made_as_long_as_is_asked() -> None:
    asked: list[int] = []

    def run(repeats: int) -> tuple[float, bool]:
        asked.append(repeats)
        return repeats * 1e-6, True

    measured([Load(KIND, 1.0, run)], sample_s=1e-3)
    assert asked[-REPETITIONS:] == [1000] * REPETITIONS


def test_disturbed_samples_count_only_where_there_is_no_other() -> None:
    turn = itertools.count()
    shaky = Load(KIND, 1.0, lambda repeats: (repeats * 1.0, next(turn) % 4 == 3))
    slow = Load(KIND, 1.0, lambda repeats: (repeats * 3.0, False))
    first, second = measured([shaky, slow], sample_s=1.0)
    assert first.values == (1.0,) * REPETITIONS
    assert set(second.values) == {1 / 3}


def test_a_stall_while_samples_are_sized_makes_no_later_one_too_short() -> None:
    calls = itertools.count()
    asked: list[int] = []

    def run(repeats: int) -> tuple[float, bool]:
        asked.append(repeats)
        return (1.0 if next(calls) == 0 else repeats * 1e-6), True

    measured([Load(KIND, 1.0, run)], sample_s=1e-3)
    assert asked[-1] == 1000


def test_a_load_that_stays_disturbed_does_not_take_for_ever() -> None:
    def run(repeats: int) -> tuple[float, bool]:
        time.sleep(0.1)
        return repeats * 0.1, False

    started = time.monotonic()
    measured([Load(KIND, 1.0, run)], sample_s=0.1)
    assert time.monotonic() - started < 3.0
