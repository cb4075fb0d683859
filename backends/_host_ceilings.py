"""The most that this host does with all its threads: bytes a second by size, FLOP by dtype."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import harmonic_mean
from threading import Barrier
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from backends._host_kernels import FMA_CHAIN, multiply_add, read, update
from backends._rates import Load, measured
from harness.host import HOST, CpuInfo, available_bytes, read_text
from harness.records import Ceiling

_SAMPLE_S = 3e-3  # far above the start of threads, no longer than a scheduler's slice
_WHOLE = 0.9  # a thread that ran for this share of a sample was not disturbed in it
_SMALLEST_PART_BYTES = 16 << 10  # half of the smallest first-level cache in use
_LARGEST_BYTES = 1 << 30
_USUAL_BYTES = 128 << 20
_LINE_BYTES = 64  # of a cache line, and the widest vector
_PART_ELEMENTS = 1024  # of the arithmetic, in the nearest cache
_MAX_TRIAL_S = 0.1  # of an eighth of the product
_MATRIX = 768  # order of a product that one thread computes in about _SAMPLE_S; see _matrix_order

_TORCH_DTYPES: Mapping[str, frozenset[str]] = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}),
}
"""The kernel's words for instructions on a dtype, of which one must be there."""


def host_ceilings(cpu: CpuInfo, root: Path = HOST) -> list[Ceiling]:
    """Return rates of memory on a ladder of sizes, and of arithmetic per dtype, all threads busy.

    Memory is read, and read and written in place, in a part for each thread, as in the read and
    scale kernels of LMbench's bw_mem and STREAM (McCalpin, 1995). Arithmetic is a chain of fused
    multiply-adds in registers, and the BLAS behind NumPy; other dtypes are torch's where it is
    installed and the processor has instructions for them.

    Args:
        cpu: names the caches and the instructions.
        root: the folder that holds `proc` and `sys`.
    """
    threads = numba.get_num_threads()
    sizes = ladder(threads, last_level_bytes(cpu, root), available_bytes(root))
    with ThreadPoolExecutor(threads) as pool:
        team = Team(pool, threads)
        loads = [*_memory(team, sizes, cpu.caches), *_arithmetic(team), *_blas(threads)]
        found = measured(loads, _SAMPLE_S)
    usual = max(max(c.values) for c in found if c.level == "float32")
    narrow = measured(_torch(threads, cpu.features), _SAMPLE_S)
    # Slower than float32 is no ceiling: torch has no kernel for it that uses the instructions.
    return found + [ceiling for ceiling in narrow if max(ceiling.values) > usual]


def ladder(threads: int, last_level: int, available: int | None) -> list[int]:
    """Return the sizes to read, B: doubling from every thread's nearest cache to memory proper.

    Args:
        threads: among how many a size is divided.
        last_level: what all caches of the last level hold, B; 0 where it is not known.
        available: memory that can be taken, B, of which a quarter is used at most.
    """
    largest = min(max(_USUAL_BYTES, 4 * last_level), _LARGEST_BYTES)
    if available is not None:
        largest = min(largest, available // 4)
    sizes = [threads * _SMALLEST_PART_BYTES]
    while sizes[-1] * 2 <= largest:
        sizes.append(sizes[-1] * 2)
    return sizes


def level_of(size_bytes: int, threads: int, caches: Mapping[str, int]) -> str:
    """Return the name of the level that holds so many bytes, divided among threads.

    The kernel's sizes are those of one instance: the last level is taken to be shared by all
    threads and the nearer ones to be each thread's own. Names are for the reader; virtual machines
    report sizes that they do not have, and a rate bounds whatever its level is called.
    """
    names = sorted(caches)
    for name in names:
        shared = name == names[-1] and name not in ("L1d", "L1")
        if size_bytes <= caches[name] * (1 if shared else threads):
            return name.removesuffix("d")
    return "DRAM"


def last_level_bytes(cpu: CpuInfo, root: Path) -> int:
    """Return what all caches of the last level hold together, B; 0 where that is not told."""
    if not cpu.caches:
        return 0
    level = max(cpu.caches)
    instances = set()
    for index in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        if f"L{read_text(index / 'level')}" == level:
            instances.add(read_text(index / "shared_cpu_list"))
    return cpu.caches[level] * max(1, len(instances))


class Team:
    """Threads that each run a kernel on their own part and start together."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self.threads = threads
        self._pool = pool

    def each(self, work: Callable[[int], Any]) -> list[Any]:
        """Return what `work(thread)` returns in each thread; every thread takes exactly one."""
        barrier = Barrier(self.threads)

        def one(thread: int) -> Any:
            barrier.wait()
            return work(thread)

        return list(self._pool.map(one, range(self.threads)))

    def run(
        self, kernel: Callable[..., object], parts: Sequence[Any], *rest: object
    ) -> tuple[float, bool]:
        """Run a kernel on every thread's part; return the time it takes, and whether undisturbed.

        The time is that which would give the sum of the threads' own rates, each by the CPU time
        of its thread: another process that takes a CPU away does not make the device slower. What
        threads share, such as memory, is seen as they share it only where all ran all the time.
        """

        def timed(thread: int) -> tuple[float, float, float]:
            part = parts[thread]
            started, used = time.perf_counter(), time.thread_time()
            kernel(part, *rest)
            used, ended = time.thread_time() - used, time.perf_counter()
            # A clock of CPU time that ticks in steps of ms tells nothing of so short a sample.
            return started, ended, used if 0 < used < ended - started else ended - started

        first, last, used = zip(*self.each(timed), strict=True)
        return harmonic_mean(used), min(used) >= _WHOLE * (max(last) - min(first))


def _memory(team: Team, sizes: Sequence[int], caches: Mapping[str, int]) -> Iterator[Load]:
    # Each thread touches its part first, so that it lies in the memory nearest to it.
    largest = sizes[-1] // team.threads // 8
    buffers: list[npt.NDArray[np.float64]] = team.each(lambda _: _ones(largest, np.float64))
    for size in sizes:
        parts = [buffer[: size // team.threads // 8] for buffer in buffers]
        moved = sum(part.nbytes for part in parts)
        level = level_of(size, team.threads, caches)
        for kernel, factor, name in ((read, 1, "read"), (update, 2, "read and write")):
            yield Load(
                Ceiling("memory_rate", level, "B/s", (), moved, f"numba {name}"),
                factor * moved,
                _on_parts(team, kernel, parts),
            )


def _arithmetic(team: Team) -> Iterator[Load]:
    for dtype in (np.float64, np.float32):
        parts = [_ones(_PART_ELEMENTS, dtype) for _ in range(team.threads)]
        # The elements tend to 2, so that no value is subnormal and slow.
        yield Load(
            Ceiling("flop_rate", np.dtype(dtype).name, "FLOP/s", (), None, "numba multiply-add"),
            2.0 * FMA_CHAIN * _PART_ELEMENTS * team.threads,
            _on_parts(team, multiply_add, parts, dtype(0.5), dtype(1.0)),
        )


def _ones(size: int, dtype: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return ones from the start of a cache line; a vector load over two takes twice as long."""
    itemsize = np.dtype(dtype).itemsize
    room = np.ones(size + _LINE_BYTES // itemsize, dtype)
    skip = -room.ctypes.data % _LINE_BYTES // itemsize
    return room[skip : skip + size]


def _on_parts(
    team: Team, kernel: Callable[..., object], parts: Sequence[Any], *rest: Any
) -> Callable[[int], tuple[float, bool]]:
    return lambda repeats: team.run(kernel, parts, repeats, *rest)


def _blas(threads: int) -> Iterator[Load]:
    order = _matrix_order(threads)
    for dtype in (np.float64, np.float32):
        A = np.ones((order, order), dtype)
        out = np.empty_like(A)
        yield Load(
            Ceiling("flop_rate", A.dtype.name, "FLOP/s", (), None, "numpy matmul"),
            2.0 * order**3,
            _repeated(partial(np.matmul, A, A, out=out)),
        )


def _torch(threads: int, features: frozenset[str]) -> Iterator[Load]:
    wanted = [dtype for dtype, words in _TORCH_DTYPES.items() if features & words]
    if not wanted:
        return
    try:
        import torch
    # Not installed, or a build whose libraries do not load here.
    except (ImportError, OSError):
        return

    order = _matrix_order(threads)
    for dtype in wanted:
        A = torch.ones((order, order), dtype=getattr(torch, dtype))
        product = torch._int_mm if dtype == "int8" else torch.mm
        quarter = A[: order // 2, : order // 2].contiguous()
        trial = _repeated(partial(product, quarter, quarter))
        # A build without a kernel for the dtype refuses it, or takes a hundred times as long.
        with contextlib.suppress(RuntimeError, NotImplementedError):
            if trial(1)[0] < _MAX_TRIAL_S:
                yield Load(
                    Ceiling("flop_rate", dtype, "FLOP/s", (), None, "torch matmul"),
                    2.0 * order**3,
                    _repeated(partial(product, A, A)),
                )


def _matrix_order(threads: int) -> int:
    """Return the order of a product that takes about as long with any number of threads."""
    return 256 * int(_MATRIX / 256 * threads ** (1 / 3))


def _repeated(call: Callable[[], object]) -> Callable[[int], tuple[float, bool]]:
    def run(repeats: int) -> tuple[float, bool]:
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        return time.perf_counter() - started, True

    return run
