"""The memory ceiling is a real read of every byte."""

from __future__ import annotations

import os
import time

import numba
import numpy as np
import pytest

from backends import _stream


@pytest.mark.parametrize("size_bytes", [0, 1 << 20, 1 << 24])
def test_rates_are_those_of_a_memory_system(size_bytes: int) -> None:
    rates = _stream.stream_rates(size_bytes)
    assert len(rates) >= 2
    # A read that the compiler removed would be beyond the caches of any machine.
    assert all(1e6 < rate < 1e13 for rate in rates)


def test_a_cache_is_read_with_vectors() -> None:
    kernel = _stream._read_part
    # Code from the cache cannot be inspected.
    fresh = numba.njit(kernel.signatures[0], fastmath=_stream._REORDER)(kernel.py_func)
    assembly = "".join(fresh.inspect_asm().values())
    packed = ("vaddpd", "addpd") if os.uname().machine == "x86_64" else ("fadd\tv",)
    assert any(instruction in assembly for instruction in packed)


def test_every_element_is_read_as_often_as_it_is_said() -> None:
    buffer = np.random.default_rng(5).random(10_007)
    partial = np.empty(3)
    _stream._read(buffer, partial, 4)
    expected = buffer.sum() * sum(1 / (repeat + 1) for repeat in range(4))
    assert partial.sum() == pytest.approx(expected, rel=1e-12)


def test_twice_the_repetitions_take_about_twice_the_time() -> None:
    buffer, partial = np.ones(1 << 21), np.empty(2)

    def fastest_s(repeats: int) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            _stream._read(buffer, partial, repeats)
            times.append(time.perf_counter() - started)
        return min(times)

    # The compiler must not read once and multiply; the bound is wide for a busy machine.
    assert fastest_s(64) > 4 * fastest_s(4)
