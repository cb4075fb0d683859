"""The most that one GPU does, and its canary; through torch, timed by CUDA events."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from backends._rates import Load, measured
from harness.records import Ceiling

CANARY_VERSION = 1
"""Raised with any change of the canary: readings of two versions do not compare."""

READINGS = 9

_SAMPLE_S = 10e-3  # some thousand times the resolution of an event, which is 0.5 us
_LARGEST_BYTES = 1 << 30  # beyond any cache
_MIN_ORDER, _MAX_ORDER = 1024, 16384
_MIN_PRODUCT_S = 4e-3  # a product as long as this fills the largest GPU
_CANARY_ELEMENTS = 4 << 20
_CANARY_PASSES = 8
# What torch raises for a dtype or a size that it, or this GPU, does not know.
_REFUSALS = (RuntimeError, NotImplementedError, AttributeError, TypeError)
_DTYPES = ("float64", "float32", "tf32", "float16", "bfloat16", "float8")


def cuda_ceilings(index: int) -> list[Ceiling]:
    """Return rates of reading per size, of copying, and of matrix products per dtype.

    What a GPU or a build of torch cannot do is left out. Matrices hold ones: operands whose bits
    seldom change take the least power, so no other data are multiplied faster.

    Args:
        index: which GPU, as torch counts.
    """
    import torch

    device = torch.device("cuda", index)
    properties = torch.cuda.get_device_properties(index)
    l2_bytes = int(getattr(properties, "L2_cache_size", 0))
    with torch.cuda.device(index):
        free_bytes = torch.cuda.mem_get_info(index)[0]
        loads = list(_memory(device, read_sizes(l2_bytes, free_bytes), l2_bytes))
        found = measured(loads, _SAMPLE_S)
        del loads
        torch.cuda.empty_cache()
        for dtype in _DTYPES:
            # One at a time: large matrices of all dtypes need not fit together.
            with contextlib.suppress(*_REFUSALS):
                found += measured([_product(device, dtype)], _SAMPLE_S)
            torch.cuda.empty_cache()
    return found


def read_sizes(l2_bytes: int, free_bytes: int) -> list[int]:
    """Return the sizes to read, B, rising: within the second-level cache and far beyond it.

    Args:
        l2_bytes: what the cache holds; 0 where it is not known.
        free_bytes: memory that can be taken, of which a quarter is used at most.
    """
    largest = min(_LARGEST_BYTES, free_bytes // 4)
    steps = [l2_bytes // 4, l2_bytes // 2, l2_bytes, 2 * l2_bytes, 4 * l2_bytes]
    # Whole KiB, so that every row of a view starts at an aligned address.
    return [size >> 10 << 10 for size in (*(s for s in steps if 1 << 20 <= s < largest), largest)]


def cuda_canary(index: int) -> list[float]:
    """Return the times of some passes of a fixed kernel, s.

    A pass raises numbers to powers, which follows the clock of the multiprocessors, and adds within
    a larger buffer, which follows the memory. No product of matrices: loading that library takes
    longer than the canary may, and its workspace would stay in the worker whose memory is measured.

    Args:
        index: which GPU, as torch counts.
    """
    import torch

    with torch.cuda.device(index):
        readings = _canary_readings(torch.device("cuda", index))
        # Nothing stays in the worker whose memory is measured.
        torch.cuda.empty_cache()
    return readings


def _canary_readings(device: Any) -> list[float]:
    import torch

    base = torch.full((_CANARY_ELEMENTS,), 1.5, device=device)
    power = torch.empty_like(base)
    large = torch.ones(4 * _CANARY_ELEMENTS, device=device)

    def once() -> None:
        for _ in range(_CANARY_PASSES):
            torch.pow(base, base, out=power)
            large.add_(1.0)

    once()
    return [_seconds(once, 1) for _ in range(READINGS)]


def _memory(device: Any, sizes: list[int], l2_bytes: int) -> Iterator[Load]:
    import torch

    whole = torch.ones(sizes[-1] // 4, device=device)
    for size in sizes:
        rows = max(1, sizes[-1] // size)
        # Each row of this view is the same data; one kernel reads it again for each row.
        view = whole[: size // 4].expand(rows, -1)
        out = torch.empty(rows, device=device)
        level = "L2" if size <= l2_bytes else "device"
        yield Load(
            Ceiling("memory_rate", level, "B/s", (), size, "torch sum"),
            float(rows * size),
            _repeated(partial(torch.sum, view, dim=1, out=out)),
        )
    target = torch.empty_like(whole)
    yield Load(
        Ceiling("memory_rate", "device", "B/s", (), sizes[-1], "torch copy"),
        2.0 * sizes[-1],
        _repeated(partial(target.copy_, whole)),
    )


def _product(device: Any, dtype: str) -> Load:
    """Return the product of square matrices, as large as is needed to fill the GPU.

    Raises:
        RuntimeError, NotImplementedError, AttributeError: it cannot be done here.
    """
    order = _MIN_ORDER
    run = _multiplication(device, dtype, order)
    run(1)
    while run(1)[0] < _MIN_PRODUCT_S and order < _MAX_ORDER:
        order *= 2
        run = _multiplication(device, dtype, order)
        run(1)
    ceiling = Ceiling("flop_rate", dtype, "FLOP/s", (), None, "torch matmul")
    return Load(ceiling, 2.0 * order**3, run)


def _multiplication(device: Any, dtype: str, order: int) -> Callable[[int], tuple[float, bool]]:
    import torch

    if dtype == "float8":
        ones = torch.ones((order, order), device=device).to(torch.float8_e4m3fn)
        scale = torch.ones((), device=device)
        return _repeated(
            partial(
                torch._scaled_mm,
                ones,
                ones.t(),  # the second operand is taken in column order
                scale_a=scale,
                scale_b=scale,
                out_dtype=torch.bfloat16,
            )
        )
    kind = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    A = torch.ones((order, order), dtype=kind, device=device)
    run = _repeated(partial(torch.matmul, A, A, out=torch.empty_like(A)))
    return partial(_with_precision, run, "high" if dtype == "tf32" else "highest")


def _with_precision(
    run: Callable[[int], tuple[float, bool]], precision: str, repeats: int
) -> tuple[float, bool]:
    """Run with float32 products in TF32 ("high") or in float32 itself ("highest")."""
    import torch

    former = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        return run(repeats)
    finally:
        torch.set_float32_matmul_precision(former)


def _repeated(call: Callable[[], object]) -> Callable[[int], tuple[float, bool]]:
    return lambda repeats: (_seconds(call, repeats), True)


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """Return what the current stream takes for so many calls, s."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3
