"""What this host is seen to do at most is neither optimised away nor spoilt by its neighbours."""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import _host_ceilings, _host_kernels
from backends.arm import BACKEND as ARM
from backends.cpu import BACKEND as CPU
from harness.ceilings import impossible, relevant, shares, upper_end
from harness.host import read_cpu
from harness.probe import measure_ceilings
from harness.records import Case, Ceiling, Measurement, Outcome, Result, Work

RECORDED = Path(__file__).parents[1] / "recorded"
X86 = os.uname().machine == "x86_64"
HOST = "backends.cpu:BACKEND" if X86 else "backends.arm:BACKEND"
CACHES = {"L1d": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}

needs_host = pytest.mark.skipif(
    (CPU if X86 else ARM).unavailable() is not None, reason="no host backend measures this machine"
)


@pytest.fixture(scope="module")
def found() -> tuple[Ceiling, ...]:
    """The ceilings of this machine."""
    probe = measure_ceilings(HOST, device_index=0, pin=(), env={}, timeout_s=120.0)
    assert probe.ceilings, probe.reason
    return probe.ceilings


def best(found: tuple[Ceiling, ...], level: str) -> float:
    return max(max(ceiling.values) for ceiling in found if ceiling.level == level)


@needs_host
def test_memory_is_read_and_written_at_every_size_of_the_ladder(
    found: tuple[Ceiling, ...],
) -> None:
    memory = [ceiling for ceiling in found if ceiling.quantity == "memory_rate"]
    sizes = sorted({ceiling.size_bytes or 0 for ceiling in memory})
    assert len(memory) == 2 * len(sizes)
    assert sizes[-1] >= 16 * sizes[0]
    assert {ceiling.method for ceiling in memory} == {"numba read", "numba read and write"}


@needs_host
def test_rates_are_those_of_a_machine(found: tuple[Ceiling, ...]) -> None:
    threads = len(os.sched_getaffinity(0))
    for ceiling in found:
        per_thread = max(ceiling.values) / threads
        # A loop that the compiler removed would be far beyond any core: four loads and a store of
        # 64 B, or four units of 64 int8 products and sums, at 6 GHz.
        assert 1e6 < per_thread < 3.1e12, ceiling


@needs_host
def test_float32_is_about_twice_as_fast_as_float64(found: tuple[Ceiling, ...]) -> None:
    assert 1.3 < best(found, "float32") / best(found, "float64") < 3.0


@needs_host
def test_arithmetic_keeps_the_vector_units_busy(found: tuple[Ceiling, ...]) -> None:
    # Scalar code on the fastest core: two multiply-adds a cycle at 6 GHz.
    scalar = 2 * 2 * 6e9 * len(os.sched_getaffinity(0))
    assert best(found, "float32") > scalar / 2


@needs_host
def test_without_torch_the_dtypes_of_numpy_remain(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    env = {"PYTHONPATH": str(tmp_path)}
    blocked = measure_ceilings(HOST, device_index=0, pin=(), env=env, timeout_s=120.0)
    dtypes = {c.level for c in blocked.ceilings if c.quantity == "flop_rate"}
    assert dtypes == {"float64", "float32"}, blocked.reason


def assembly(kernel: object) -> str:
    # Code from the cache cannot be inspected.
    signatures, options = kernel.signatures, kernel.targetoptions  # type: ignore[attr-defined]
    fastmath = options.get("fastmath", False)
    fresh = numba.njit(signatures, fastmath=fastmath)(kernel.py_func)  # type: ignore[attr-defined]
    return "".join(fresh.inspect_asm().values())


def test_loops_are_compiled_to_vector_instructions() -> None:
    packed = ("addpd",) if X86 else ("fadd\tv", "fadd\tz")
    fused = ("vfmadd", "mulpd") if X86 else ("fmla\tv", "fmla\tz", "fmad\tz")
    assert any(word in assembly(_host_kernels.read) for word in packed)
    assert any(word in assembly(_host_kernels.multiply_add) for word in fused)


def test_every_element_is_read_as_often_as_it_is_said() -> None:
    part = np.random.default_rng(5).random(10_007)
    expected = part.sum() * sum(1 / (repeat + 1) for repeat in range(4))
    assert _host_kernels.read(part, 4) == pytest.approx(expected, rel=1e-12)


def test_every_element_is_written_as_often_as_it_is_said() -> None:
    part = np.arange(1003.0)
    _host_kernels.update(part, 4)
    np.testing.assert_array_equal(part, np.arange(1003.0) + 3 - 2 + 1 - 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_element_takes_the_whole_chain(dtype: type[np.floating]) -> None:
    part = np.zeros(1003, dtype)
    _host_kernels.multiply_add(part, 1, dtype(1.0), dtype(1.0))
    np.testing.assert_array_equal(part, np.full(1003, _host_kernels.FMA_CHAIN, dtype))


def test_a_thread_that_waits_disturbs_a_sample_but_makes_no_rate_lower() -> None:
    def busy(part: float) -> None:
        end = time.thread_time() + 5e-3
        while time.thread_time() < end:
            pass
        time.sleep(part)

    with ThreadPoolExecutor(1) as pool:
        team = _host_ceilings.Team(pool, 1)
        seconds, whole = team.run(busy, [0.05])
        assert not whole
        assert 5e-3 <= seconds < 15e-3


@needs_host
def test_who_declares_ten_times_his_bytes_is_told_from_who_is_honest(
    found: tuple[Ceiling, ...],
) -> None:
    threads = len(os.sched_getaffinity(0))
    parts = [np.ones((32 << 20) // 8 // threads) for _ in range(threads)]
    moved = 2.0 * sum(part.nbytes for part in parts)
    with ThreadPoolExecutor(threads) as pool:
        team = _host_ceilings.Team(pool, threads)
        times = tuple(team.run(_host_kernels.update, parts, 1)[0] for _ in range(15))

    def declaring(factor: float) -> Result:
        work = Work(bytes={"memory": factor * moved}, working_set_bytes=moved / 2)
        return Result(
            case=Case("mover", "1", "exact", "cpu", {}),
            outcome=Outcome.OK,
            work=work,
            measurements=(Measurement("time", "s", "process", "cpu", values=times[6:]),),
            ceilings=relevant(found, work),
        )

    assert impossible(declaring(1.0)) is None
    # A machine whose memory others use may be twice as fast a second later.
    assert 0.1 < shares(declaring(1.0))[0].share < 3.0
    assert "at least" in (impossible(declaring(10.0)) or "")


@pytest.mark.parametrize("tick_s", [0.0, 0.5])
def test_a_coarse_clock_of_cpu_time_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, tick_s: float
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks) * tick_s)
    with ThreadPoolExecutor(1) as pool:
        seconds, _ = _host_ceilings.Team(pool, 1).run(time.sleep, [0.01])
    assert 0.01 <= seconds < 0.4


@given(st.integers(1, 512), st.integers(0, 2 << 30), st.integers(1 << 30, 1 << 40))
def test_a_ladder_doubles_from_the_nearest_cache_to_beyond_the_last(
    threads: int, last_level: int, available: int
) -> None:
    sizes = _host_ceilings.ladder(threads, last_level, available)
    assert sizes[0] == threads * (16 << 10)
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(sizes))
    assert sizes[-1] <= max(available // 4, sizes[0])
    if last_level <= 128 << 20 and available >= 4 << 30 and threads <= 256:
        assert sizes[-1] >= 2 * last_level


@pytest.mark.parametrize(
    ("size_bytes", "level"),
    [(64 << 10, "L1"), (65 << 10, "L2"), (2 << 20, "L2"), (32 << 20, "L3"), (33 << 20, "DRAM")],
)
def test_a_level_is_named_after_the_cache_that_holds_each_threads_part(
    size_bytes: int, level: str
) -> None:
    assert _host_ceilings.level_of(size_bytes, 2, CACHES) == level


def test_without_known_caches_everything_is_memory() -> None:
    assert _host_ceilings.level_of(1 << 10, 1, {}) == "DRAM"


def test_caches_of_the_last_level_are_added_up(tmp_path: Path) -> None:
    for cpu, shared in enumerate(["0-1", "0-1", "2-3", "2-3"]):
        cache = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cache/index3"
        cache.mkdir(parents=True)
        for name, text in (("level", "3"), ("type", "Unified"), ("size", "32768K")):
            (cache / name).write_text(text)
        (cache / "shared_cpu_list").write_text(shared)
    cpu_info = read_cpu(tmp_path, "x86_64")
    assert _host_ceilings.last_level_bytes(cpu_info, tmp_path) == 64 << 20
    assert _host_ceilings.last_level_bytes(read_cpu(RECORDED / "altra", "aarch64"), RECORDED) == 0


@needs_host
def test_memory_is_slower_than_a_cache(found: tuple[Ceiling, ...]) -> None:
    reads = sorted(
        (ceiling.size_bytes or 0, upper_end(ceiling))
        for ceiling in found
        if ceiling.method == "numba read"
    )
    assert reads[-1][1] < max(top for _, top in reads[:-1])
