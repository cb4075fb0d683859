"""The ranks of a case as a torch.distributed process group; imported by ranks alone."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.protocols import Backend, Device, Group
from harness.ranks import COLLECTIVES, Place, device_index
from harness.records import Facts

_FAILURE = "assay/failure"


@dataclass(frozen=True, slots=True)
class TorchGroup:
    """All ranks, in torch.distributed's default group; what they agree on goes over gloo.

    The harness's own messages stay off the device, whose queues they would disturb, and are kept
    apart from the workload's collectives.

    Attributes:
        place: which rank this is.
        hosts: the number of each rank's host.
        control: a gloo group for the messages of the harness.
        facts: what is recorded with the result.
    """

    place: Place
    hosts: Sequence[int]
    control: Any
    facts: Facts

    @property
    def rank(self) -> int:
        """Return which rank this process is."""
        return self.place.rank

    @property
    def size(self) -> int:
        """Return how many ranks there are."""
        return self.place.size

    def barrier(self) -> None:
        """Wait for every rank."""
        import torch.distributed as dist

        dist.barrier(group=self.control)

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value."""
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.control)
        return held[0]

    def gather(self, value: Any) -> Sequence[Any]:
        """Return every rank's value."""
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.control)
        return found

    def environment(self) -> Facts:
        """Return the facts given at construction."""
        return self.facts


@dataclass(frozen=True, slots=True)
class Rank:
    """One rank before it has joined the others: opens its device, then joins.

    Attributes:
        place: which it is.
        store: torch's key-value store, held by whatever launched the ranks.
        timeout_s: how long a rank waits for the others before it gives up.
    """

    place: Place
    store: Any
    timeout_s: float

    @classmethod
    def connect(cls, place: Place, timeout_s: float) -> Rank:
        """Connect to the store that MASTER_ADDR and MASTER_PORT name."""
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(
            rendezvous("env://", place.rank, place.size, timeout=timedelta(seconds=timeout_s))
        )
        return cls(place, store, timeout_s)

    def open(self, backend: Backend, index: int) -> tuple[Device, Group]:
        """Open this rank's device, whatever `index` says, and join the other ranks.

        Raises:
            AssayError: there is no such device, or no collectives for its kind.
        """
        del index
        features = backend.features()
        device = backend.open(device_index(features, self.place.local_rank))
        kind = "cpu" if "host" in features else str(device.torch_device().type)
        if kind not in COLLECTIVES:
            raise AssayError(
                f"no collectives are known for a torch device of type {kind!r}; "
                f"several ranks run on {', '.join(COLLECTIVES)}"
            )
        return device, self._join(device, COLLECTIVES[kind])

    def report(self, reason: str) -> None:
        """Tell all of why this rank fails; only what the first one says is kept."""
        self.store.compare_set(_FAILURE, "", f"{self.place.rank}:{reason}")

    def _join(self, device: Device, collectives: str) -> TorchGroup:
        import torch.distributed as dist

        if collectives == "hccl":
            # Importing it is what makes it known to torch.
            importlib.import_module("habana_frameworks.torch.distributed.hccl")
        wait = timedelta(seconds=self.timeout_s)
        place = self.place
        dist.init_process_group(
            collectives, store=self.store, rank=place.rank, world_size=place.size, timeout=wait
        )
        control = dist.new_group(backend="gloo", timeout=wait)
        told: list[Any] = [None] * place.size
        own = (int(os.environ["GROUP_RANK"]), socket.gethostname(), device.index, _threads())
        dist.all_gather_object(told, own, group=control)
        hosts, names, devices, threads = zip(*told, strict=True)
        facts = {
            "world_size": place.size,
            "collectives": collectives,
            "hosts": list(dict(zip(hosts, names, strict=True)).values()),
            "devices": list(devices),
            "threads": list(threads),
        }
        return TorchGroup(place, hosts, control, facts)


def start_processes(
    command: Sequence[str], environments: Mapping[int, Mapping[str, str]], logs: Path
) -> Any:
    """Start the command once for each rank; return torch's context, which is to be waited for.

    Args:
        command: the program and its arguments.
        environments: variables of each rank, on top of this process's own.
        logs: a folder for what torch itself keeps.
    """
    from torch.distributed.elastic import multiprocessing

    program, *arguments = command
    return multiprocessing.start_processes(
        name="assay",
        entrypoint=program,
        args=dict.fromkeys(environments, tuple(arguments)),
        envs={rank: dict(variables) for rank, variables in environments.items()},
        logs_specs=multiprocessing.DefaultLogsSpecs(log_dir=str(logs)),
    )


def serve_store(host: str) -> Any:
    """Return a store for ranks of this host, on a port that was free."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(host, 0, is_master=True, wait_for_workers=False)


def first_failure(store: Any) -> tuple[int, str] | None:
    """Return the rank that reported first why it fails, and its reason; None where none did."""
    if not store.check([_FAILURE]):
        return None
    rank, _, reason = store.get(_FAILURE).decode().partition(":")
    return int(rank), reason


def leave() -> None:
    """Leave the process group where one was joined."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _threads() -> int | None:
    """Return how many threads this rank was told to use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else None
