"""One product over several ranks: each multiplies its partition, and a merge makes y of the rest.

Any variant is the kernel of a rank: it gets the rank's entries as a matrix of their own. How the
stages of a product share its time is measured apart from the product, with a barrier between them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import AssayError
from harness.protocols import Device, Group
from harness.records import Params
from workloads.msrep.partition import Partition, partition
from workloads.msrep.problem import Problem
from workloads.msrep.product import HostProduct, Prepare, Product, timed
from workloads.msrep.ranks_cut import cut_columns, cut_rows, even_slices
from workloads.msrep.ranks_merge import (
    FLOAT_BYTES,
    AllGather,
    Carry,
    Exchange,
    Merge,
    ReduceScatter,
    TorchExchange,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_REPEATS = 7
"""Products whose stages are timed; the median counts."""


@dataclass(slots=True)
class RankProduct:
    """This rank's share of y = A x.

    Attributes:
        local: multiplies the rank's own entries.
        merge: makes y of the ranks' products.
        x: where x is gathered before each product; None where it is replicated.
        target: the torch device.
        prepared: how long this rank took to cut and to convert or copy, in s.
        parts: how the entries are shared out.
        y: what the last product left here.
    """

    local: Product
    merge: Merge
    x: GatheredX | None
    device: Device
    target: torch.device
    group: Group
    prepared: Mapping[str, float]
    parts: Partition
    y: torch.Tensor = field(init=False)
    _measured: tuple[Mapping[str, float], Mapping[str, float]] | None = field(
        default=None, init=False
    )

    @property
    def rows(self) -> slice:
        """Return which rows of y this rank ends with."""
        return self.merge.rows

    @property
    def spans(self) -> Mapping[str, float]:
        """Return the stages in s: of each the slowest rank's, so that they add up to end_to_end.

        "partition"; "convert", or "host_to_device" on an accelerator; "gather_x" where x is
        partitioned; "compute_max" and "compute_mean" over the ranks; "merge"; "end_to_end".
        """
        return self._stages()[0]

    @property
    def counters(self) -> Mapping[str, float]:
        """Return the ranks' shares of the entries, and how unequal their times are (max / mean)."""
        return self._stages()[1]

    def multiply(self) -> None:
        """Compute this rank's part of y."""
        self._gather_x()
        self.local.multiply()
        self._merge()

    def result(self) -> NDArray[np.float64]:
        """Return y on the host, in `rows`."""
        found: NDArray[np.float64] = self.y.cpu().numpy()
        return found

    def poison(self) -> None:
        """Overwrite with NaN all that a product must write, and all of x that it must receive."""
        self.local.poison()
        self.merge.poison()
        if self.x is not None:
            self.x.poison()

    def _gather_x(self) -> None:
        if self.x is not None:
            self.x()

    def _merge(self) -> None:
        y = getattr(self.local, "y", None)
        # A variant that keeps its y in no such place copies it to the host: that is its merge's.
        self.y = self.merge(
            torch.as_tensor(self.local.result() if y is None else y, device=self.target)
        )

    def _stages(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Measure once; every rank calls this at the same time."""
        if self._measured is None:
            took = [self._timed_product() for _ in range(_REPEATS)]
            told = self.group.gather((took, dict(self.prepared)))
            compile_s = self.local.spans.get("compile")
            spans = _spans(np.array([one for one, _ in told]), [one for _, one in told])
            if self.x is None:
                del spans["gather_x"]
            if compile_s is not None:
                spans["compile"] = compile_s
            self._measured = spans, self._counts(spans)
        return self._measured

    def _timed_product(self) -> list[float]:
        found = []
        for stage in (self._gather_x, self.local.multiply, self._merge):
            self.group.barrier()
            started = time.perf_counter()
            stage()
            self.device.synchronize()
            found.append(time.perf_counter() - started)
        return found

    def _counts(self, spans: Mapping[str, float]) -> Mapping[str, float]:
        sizes = np.diff(self.parts.bounds)
        received = self.group.gather(
            (self.merge.received_bytes, 0.0 if self.x is None else self.x.received_bytes)
        )
        merge_bytes, x_bytes = (max(column) for column in zip(*received, strict=True))
        return {
            "ranks": float(self.group.size),
            "largest_partition_nnz": float(sizes.max()),
            "smallest_partition_nnz": float(sizes.min()),
            "shared_lines": float(np.count_nonzero(self.parts.first_shared)),
            "merge_bytes": merge_bytes,
            **({} if self.x is None else {"gather_x_bytes": x_bytes}),
            "imbalance": spans["compute_max"] / spans["compute_mean"],
        }


@dataclass(frozen=True, slots=True)
class GatheredX:
    """x in even slices, of which each rank keeps one and gathers the others.

    Attributes:
        parts: the views of the whole x that the ranks fill.
        needed: the part of the whole x that the kernel reads.
        kernel_x: where it reads it; None where that is `needed` itself.
    """

    parts: Sequence[torch.Tensor]
    rank: int
    exchange: Exchange
    needed: torch.Tensor
    kernel_x: torch.Tensor | None

    @property
    def received_bytes(self) -> float:
        """Return all but the own slice."""
        return float(FLOAT_BYTES * sum(len(p) for i, p in enumerate(self.parts) if i != self.rank))

    def __call__(self) -> None:
        """Gather."""
        self.exchange.gather(self.parts, self.rank)
        if self.kernel_x is not None:
            self.kernel_x.copy_(self.needed)

    def poison(self) -> None:
        """Overwrite what comes from other ranks."""
        for rank, part in enumerate(self.parts):
            if rank != self.rank:
                part.fill_(torch.nan)
        if self.kernel_x is not None:
            self.kernel_x.fill_(torch.nan)


def prepare(
    problem: Problem,
    kernel: Prepare,
    device: Device,
    params: Params,
    group: Group,
    exchange: Exchange | None = None,
) -> tuple[Problem, RankProduct]:
    """Cut this rank's share off the problem and make its product ready.

    Args:
        problem: the whole of it, the same on every rank.
        kernel: what the variant's import path names.
        device: this rank's.
        params: "partitions", "merge" and "x_layout".
        group: all ranks.
        exchange: how they talk; torch.distributed by default.

    Returns:
        The problem with only the rows that this rank ends with, to verify them by, and the product.

    Raises:
        AssayError: the variant cannot take x anew, which a partitioned x needs.
    """
    exchange = exchange or TorchExchange()
    columnwise = params["merge"] == "reduce_scatter"
    matrix, rank, size = problem.matrix, group.rank, group.size
    target = device.torch_device()
    own_rows = even_slices(matrix.shape[0], size)
    prepared: dict[str, float] = {}
    merge: Merge
    if columnwise:
        # A format of its own: making it is converting, not cutting.
        with timed(prepared, "convert"):
            by_column = matrix.tocsc()
        padded = (own_rows[0].stop - own_rows[0].start) * size
        with timed(prepared, "partition"):
            parts = partition(by_column.indptr, size)
            cut = cut_columns(by_column, parts, rank, padded)
        share, columns = cut.matrix, cut.columns
        out = torch.empty(padded // size, dtype=torch.float64, device=target)
        merge = ReduceScatter(out, own_rows[rank], size, exchange)
    else:
        with timed(prepared, "partition"):
            parts = partition(matrix.indptr, size)
            rows = cut_rows(matrix, parts, rank)
        share, columns = rows.matrix, slice(0, matrix.shape[1])
        carries = torch.empty(size, dtype=torch.float64, device=target)
        merge = Carry(rows, carries, bool(parts.first_shared.any()), exchange)
        if params["merge"] == "allgather":
            y = torch.empty(matrix.shape[0], dtype=torch.float64, device=target)
            views = [y[begin:end] for begin, end in pairwise(parts.begins.tolist())]
            merge = AllGather(merge, y, views, rank)
    on_host = torch.empty(0, device=target).is_cpu
    with timed(prepared, "convert" if on_host else "host_to_device"):
        # A copy: what gathers x overwrites it, and the reference is computed from the original.
        own = problem.x[columns].copy()
        local = _kernel_of(share, own, kernel, device, int(params["partitions"]))
        device.synchronize()
    x = None
    if params["x_layout"] == "partitioned":
        taken = getattr(local, "x", None)
        if taken is None and share.nnz:
            raise AssayError(
                "this variant takes x only once, and a partitioned one comes anew for each "
                "product; choose -p x_layout=replicated"
            )
        held = None if taken is None else torch.as_tensor(taken, device=target)
        x = _gathered(held, problem.x, columns, group, exchange, target)
    product = RankProduct(local, merge, x, device, target, group, prepared, parts)
    return replace(problem, matrix=matrix[merge.rows]), product


def _kernel_of(
    share: csr_array, x: NDArray[np.float64], kernel: Prepare, device: Device, partitions: int
) -> Product:
    if share.nnz:
        return kernel(share, x, device, partitions)
    # Not every kernel takes a matrix without entries, and there is nothing to compute.
    y = np.empty(share.shape[0])
    return HostProduct(partial(y.fill, 0.0), y, (), {}, {})


def _gathered(
    kernel_x: torch.Tensor | None,
    x: NDArray[np.float64],
    columns: slice,
    group: Group,
    exchange: Exchange,
    target: torch.device,
) -> GatheredX:
    """Return how x is gathered: into the kernel's own where it reads all of it, else beside it."""
    direct = kernel_x is not None and len(kernel_x) == len(x)
    full = kernel_x if direct and kernel_x is not None else torch.tensor(x, device=target)
    views = [full[one] for one in even_slices(len(x), group.size)]
    return GatheredX(views, group.rank, exchange, full[columns], None if direct else kernel_x)


def _spans(took: NDArray[np.float64], prepared: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the spans, from s of shape (ranks, repeats, stages) and what ranks took to prepare."""
    slowest = np.median(took.max(axis=0), axis=0)
    spans = {
        **{name: max(one[name] for one in prepared) for name in prepared[0]},
        "gather_x": float(slowest[0]),
        "compute_max": float(slowest[1]),
        "merge": float(slowest[2]),
    }
    end_to_end = sum(spans.values())
    return {
        **spans,
        "compute_mean": float(np.median(took[:, :, 1].mean(axis=0))),
        "end_to_end": end_to_end,
    }
