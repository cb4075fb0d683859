"""Intel MKL's compressed sparse rows, through the C interface of the package `mkl`.

The handle is made once and kept. MKL offers to inspect the matrix before (`mkl_sparse_set_mv_hint`,
`mkl_sparse_optimize`), which is not always quicker: both ways are tried and the quicker one stays.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from harness.protocols import Device
from workloads.msrep import matrix_market_body
from workloads.msrep.mkl_library import library_path
from workloads.msrep.product import timed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# numba and the reader belong to the import; loaded later, they would count as a product's memory.
_LOADED_AHEAD = matrix_market_body

_NOT_TRANSPOSED, _BASE_ZERO, _GENERAL = 10, 0, 20
_PRODUCTS_TO_COME = 1000
_TRIES = 5


class _Description(ctypes.Structure):
    """`struct matrix_descr`: kind of matrix, triangle, diagonal."""

    _fields_ = (("type", ctypes.c_int), ("mode", ctypes.c_int), ("diag", ctypes.c_int))


_DESCRIPTION = _Description(_GENERAL, 0, 0)


@dataclass(frozen=True, slots=True)
class MklProduct:
    """y = A x by one handle of MKL.

    Attributes:
        handle: MKL's, which lives as long as the worker; None for a matrix without entries, of
            which MKL makes none.
        held: the arrays that the handle points into.
    """

    handle: ctypes.c_void_p | None
    held: tuple[NDArray[np.generic], ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    spans: Mapping[str, float]
    counters: Mapping[str, float]

    def multiply(self) -> None:
        """Compute y."""
        if self.handle is None:
            self.y.fill(0.0)
        else:
            _multiply(self.handle, self.x, self.y)

    def result(self) -> NDArray[np.float64]:
        """Return y."""
        return self.y

    def poison(self) -> None:
        """Overwrite y with NaN."""
        self.y.fill(np.nan)


def prepare(
    matrix: csr_array, x: NDArray[np.float64], device: Device, partitions: int
) -> MklProduct:
    """Return the product by the quicker handle; `partitions` has no meaning here.

    Raises:
        RuntimeError: MKL refuses the matrix, or it has more entries than 32 bits count.
    """
    if matrix.nnz >= 2**31:
        raise RuntimeError(f"mkl counts entries in 32 bits, not {matrix.nnz}")
    spans: dict[str, float] = {}
    vector, y = np.array(x), np.full(matrix.shape[0], np.nan)
    with timed(spans, "convert"):
        pointer, columns = (part.astype(np.int32) for part in (matrix.indptr, matrix.indices))
        held = (pointer, columns, np.array(matrix.data))
    if not matrix.nnz:
        return MklProduct(None, held, vector, y, spans, {})
    plain, inspected = (_handle(matrix.shape, *held) for _ in range(2))
    with timed(spans, "inspect"):
        _check(_library().mkl_sparse_set_mv_hint(
            inspected, _NOT_TRANSPOSED, _DESCRIPTION, _PRODUCTS_TO_COME
        ))  # fmt: skip
        _check(_library().mkl_sparse_optimize(inspected))
    quicker = min((plain, inspected), key=lambda handle: _product_s(handle, vector, y))
    y.fill(np.nan)
    counters = {"inspected": float(quicker is inspected)}
    return MklProduct(quicker, held, vector, y, spans, counters)


def _product_s(handle: ctypes.c_void_p, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the least time of some products, after one."""
    times = []
    for _ in range(1 + _TRIES):
        started = time.perf_counter()
        _multiply(handle, x, y)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _handle(
    shape: tuple[int, int],
    pointer: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float64],
) -> ctypes.c_void_p:
    handle = ctypes.c_void_p()
    rows, width = (ctypes.c_int(size) for size in shape)
    _check(_library().mkl_sparse_d_create_csr(
        ctypes.byref(handle), _BASE_ZERO, rows, width, _at(pointer), _at(pointer[1:]),
        _at(columns), _at(values),
    ))  # fmt: skip
    return handle


def _multiply(handle: ctypes.c_void_p, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    _check(_library().mkl_sparse_d_mv(
        _NOT_TRANSPOSED, ctypes.c_double(1.0), handle, _DESCRIPTION, _at(x), ctypes.c_double(0.0),
        _at(y),
    ))  # fmt: skip


def _at(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"MKL's sparse routines answered status {status}")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    path = library_path()
    if path is None:
        raise AssayError("MKL is not installed; pip install mkl")
    return ctypes.CDLL(str(path))
