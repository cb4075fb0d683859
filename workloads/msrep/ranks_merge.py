"""How y comes out of the ranks' products, and x into them: what travels, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from workloads.msrep.ranks_cut import RowCut

FLOAT_BYTES = 8


class Exchange(Protocol):
    """What ranks send each other in a product; every rank calls the same at the same time."""

    def gather(self, parts: Sequence[torch.Tensor], rank: int) -> None:
        """Fill each part, of whatever length, from the rank of its number; this one is `rank`."""
        ...

    def gather_scalars(self, out: torch.Tensor, own: torch.Tensor) -> None:
        """Fill `out`, shape (ranks,), with each rank's `own`, shape (1,)."""
        ...

    def reduce_scatter(self, out: torch.Tensor, whole: torch.Tensor) -> None:
        """Fill `out` with this rank's even slice of the sum of all ranks' `whole`."""
        ...


class Merge(Protocol):
    """The last part of a product."""

    @property
    def rows(self) -> slice:
        """Return which rows of y this rank ends with."""
        ...

    @property
    def received_bytes(self) -> float:
        """Return the fewest bytes that must reach this rank in one merge."""
        ...

    def __call__(self, local: torch.Tensor) -> torch.Tensor:
        """Return y in these rows, from this rank's own product."""
        ...

    def poison(self) -> None:
        """Overwrite what was received with NaN."""
        ...


@dataclass(frozen=True, slots=True)
class Carry:
    """Only the shares of rows that lie on several ranks travel; y stays distributed.

    Attributes:
        cut: this rank's rows.
        carries: float64, shape (ranks,): each rank's share of the row it begins within.
        any_shared: whether any rank has one; where none has, nothing travels.
    """

    cut: RowCut
    carries: torch.Tensor
    any_shared: bool
    exchange: Exchange

    @property
    def rows(self) -> slice:
        """Return the rows that begin on this rank."""
        return slice(self.cut.begin, self.cut.end)

    @property
    def received_bytes(self) -> float:
        """Return a scalar from each other rank."""
        return float(FLOAT_BYTES * (len(self.carries) - 1) * self.any_shared)

    def __call__(self, local: torch.Tensor) -> torch.Tensor:
        """Return the own rows, the last one completed."""
        own = local[int(self.cut.shared) :]
        if self.any_shared:
            mine = local[:1] if self.cut.shared else local.new_zeros(1)
            self.exchange.gather_scalars(self.carries, mine)
            # In order of ranks: the same sums as one process makes, in the same order.
            for rank in self.cut.carriers:
                own[-1] += self.carries[rank]
        return own

    def poison(self) -> None:
        """Overwrite the carries."""
        self.carries.fill_(torch.nan)


@dataclass(frozen=True, slots=True)
class AllGather:
    """Every rank ends with the whole y.

    Attributes:
        carry: completes the rows first.
        y: float64, shape (rows,).
        parts: the views of `y` that the ranks fill.
    """

    carry: Carry
    y: torch.Tensor
    parts: Sequence[torch.Tensor]
    rank: int

    @property
    def rows(self) -> slice:
        """Return all rows."""
        return slice(0, len(self.y))

    @property
    def received_bytes(self) -> float:
        """Return the carries and every row of another rank."""
        others = len(self.y) - len(self.parts[self.rank])
        return self.carry.received_bytes + FLOAT_BYTES * others

    def __call__(self, local: torch.Tensor) -> torch.Tensor:
        """Return the whole y."""
        self.parts[self.rank].copy_(self.carry(local))
        self.carry.exchange.gather(self.parts, self.rank)
        return self.y

    def poison(self) -> None:
        """Overwrite the whole y."""
        self.carry.poison()
        self.y.fill_(torch.nan)


@dataclass(frozen=True, slots=True)
class ReduceScatter:
    """The ranks' whole y are added up, and each ends with an even slice of the sum.

    Attributes:
        out: float64, shape (padded rows / ranks,).
        rows: which rows these are; the padding is behind them.
        ranks: how many there are.
    """

    out: torch.Tensor
    rows: slice
    ranks: int
    exchange: Exchange

    @property
    def received_bytes(self) -> float:
        """Return the own slice of each other rank's y."""
        return float(FLOAT_BYTES * len(self.out) * (self.ranks - 1))

    def __call__(self, local: torch.Tensor) -> torch.Tensor:
        """Return the own slice of y."""
        self.exchange.reduce_scatter(self.out, local)
        return self.out[: self.rows.stop - self.rows.start]

    def poison(self) -> None:
        """Overwrite the slice."""
        self.out.fill_(torch.nan)


@dataclass(frozen=True, slots=True)
class TorchExchange:
    """`Exchange` in torch.distributed's default group.

    Slices of unequal length are broadcast one by one, all at once under way: torch's own gather
    pads them to the longest, of which one rank may hold most.
    """

    def gather(self, parts: Sequence[torch.Tensor], rank: int) -> None:
        """Broadcast each part from its rank."""
        import torch.distributed as dist

        sent = [
            dist.broadcast(part, src=source, async_op=True)
            for source, part in enumerate(parts)
            if len(part)
        ]
        for work in sent:
            work.wait()

    def gather_scalars(self, out: torch.Tensor, own: torch.Tensor) -> None:
        """Gather one number from each rank."""
        import torch.distributed as dist

        dist.all_gather(list(out.chunk(len(out))), own)

    def reduce_scatter(self, out: torch.Tensor, whole: torch.Tensor) -> None:
        """Add up and scatter; gloo itself does so by an all-reduce (torch 2.13)."""
        import torch.distributed as dist

        # torch 2.13 renamed it and warns of the old name, which is the only one before.
        newest: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        newest(out, whole)
