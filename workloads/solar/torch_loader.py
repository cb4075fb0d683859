"""The loader as PyTorch knows one: tensors, on a device, in a DataLoader if need be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from harness.errors import AssayError
from workloads.solar.epoch_plan import Planner
from workloads.solar.layout import SampleFile
from workloads.solar.loader import Loader, Options


class TorchLoader(IterableDataset[tuple[torch.Tensor, ...]]):
    """An epoch of batches at each iteration: one tensor a dataset, shape (b, ...).

    It is iterated as it is, or by a `DataLoader(loader, batch_size=None, num_workers=0)`: it reads
    with threads of its own, and a worker process would only copy what they read.
    """

    def __init__(
        self,
        file: SampleFile,
        planner: Planner,
        *,
        rank: int = 0,
        options: Options | None = None,
        device: torch.device | str | None = None,
        copy: bool = True,
    ) -> None:
        """Make a loader; nothing is read yet.

        Args:
            file: the samples; their dtypes must be ones that torch has.
            planner: of the training.
            rank: whose batches.
            options: how it is read.
            device: where the tensors are to be; None for where they are read to. Where there is
                CUDA they are copied through page-locked memory, without waiting for it.
            copy: whether each tensor is to keep its values. Else those that stay on the host share
                the loader's memory, which is filled anew when the next batch is asked for: right
                for a training that is done with a batch before it takes the next.

        Raises:
            AssayError: they do not fit each other, or a dtype is not one of torch.
        """
        super().__init__()
        for name, dtype in zip(file.names, file.dtypes, strict=True):
            try:
                torch.from_numpy(np.empty(0, dtype))
            except TypeError:
                raise AssayError(
                    f"{file.path}: torch has no type for {name!r} ({dtype}); leave it out"
                ) from None
        self._loader = Loader(file, planner, rank=rank, options=options)
        self._device = None if device is None else torch.device(device)
        self._copy = copy
        self._pin = torch.cuda.is_available()

    @property
    def loader(self) -> Loader:
        """Return the loader that reads, with its counters."""
        return self._loader

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield what is left of the current epoch."""
        if get_worker_info() is not None:
            raise AssayError("this loader reads with threads of its own; set num_workers=0")
        for batch in self._loader.epoch():
            yield tuple(self._placed(torch.from_numpy(array)) for array in batch.arrays)

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        return self._loader.steps

    def state_dict(self) -> dict[str, Any]:
        """Return where the training is, as `Loader.state_dict`."""
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, as `Loader.load_state_dict`."""
        self._loader.load_state_dict(state)

    def close(self) -> None:
        """End the threads that read."""
        self._loader.close()

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        placed = tensor
        if self._device is not None:
            # torch keeps the page-locked copy from being used again before it has been sent.
            sent = tensor.pin_memory() if self._pin else tensor
            placed = sent.to(self._device, non_blocking=self._pin)
        return tensor.clone() if self._copy and placed is tensor else placed
