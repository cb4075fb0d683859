"""Loads the batches of a training from an HDF5 file, as a plan made beforehand says."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.solar import digest
from workloads.solar.epoch_plan import Planner
from workloads.solar.layout import SampleFile
from workloads.solar.options import Counters, Options, check
from workloads.solar.pipeline import Pipeline, Step

__all__ = ["Batch", "Counters", "Loader", "Options"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one rank trains on in one step.

    Attributes:
        epoch: from 0.
        step: of the epoch, from 0.
        samples: int64, shape (b,); none where a short last step leaves nothing for this rank.
        arrays: one a dataset, shape (b, ...): views of memory that is filled anew when the next
            batch is asked for. They may be written to.
        weight: b * ranks / (samples of the step): what this rank's mean gradient is to be
            multiplied by, so that the mean over ranks is that of the step.
    """

    epoch: int
    step: int
    samples: NDArray[np.int64]
    arrays: tuple[NDArray[Any], ...]
    weight: float


class Loader:
    """Batches of one rank, read ahead of the training.

    Threads and memory come with the first batch; they go with `close`, the end of a `with` block,
    an error, or the loader itself. A loop that is left early can be taken up again. A loader that
    has begun does not outlive a fork: make one in each process.
    """

    def __init__(
        self, file: SampleFile, planner: Planner, *, rank: int = 0, options: Options | None = None
    ) -> None:
        """Make a loader of the training that is planned for; nothing is read yet.

        Args:
            file: the samples.
            planner: of a training on as many samples.
            rank: whose batches.
            options: how it is read.

        Raises:
            AssayError: file, plan, rank and options do not fit each other.
        """
        self._file = file
        self._planner = planner
        self._rank = rank
        self._options = options or Options()
        self._training = planner.training
        check(self._options)
        if self._options.digests is not None:
            digest.checked(self._options.digests, file)
        if self._training.samples != file.samples:
            raise AssayError(
                f"{file.path} has {file.samples} samples, the plan is for "
                f"{self._training.samples}; plan for this file"
            )
        if not 0 <= rank < self._training.ranks:
            raise AssayError(f"rank {rank} of {self._training.ranks}; ranks count from 0")
        self.counters = Counters()
        self._position = (0, 0)
        self._pipeline: Pipeline | None = None
        self._finalizer: weakref.finalize[[], Loader] | None = None
        self._how = ""
        self._asked = -1
        self._held: Step | None = None
        self._closed = False

    @property
    def file(self) -> SampleFile:
        """Return the file that is read."""
        return self._file

    @property
    def steps(self) -> int:
        """Return the steps of an epoch."""
        return self._training.steps

    @property
    def how(self) -> str:
        """Return in words how each dataset is read and why; "" before the first batch."""
        return self._how

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of all epochs that are left; without end for a training without."""
        while not self._at_end():
            yield from self.epoch()

    def epoch(self) -> Iterator[Batch]:
        """Yield what is left of the current epoch, at first the whole of epoch 0.

        Raises:
            AssayError: the file cannot be read, has changed, or does not match its digests.
        """
        if self._at_end():
            return
        epoch, first = self._position
        for _ in range(first, self._training.steps):
            step = self._next(epoch)
            self._position = _after(step, self._training.steps)
            yield self._batch(step)
        self._release()

    def state_dict(self) -> dict[str, Any]:
        """Return where the training is: after the last batch that was handed out."""
        epoch, step = self._position
        return {
            "epoch": epoch,
            "step": step,
            "settings": self._settings(),
            "file": asdict(self._file.identity),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch at which a state was taken; the buffer is filled anew.

        Args:
            state: of `state_dict`, of a loader with equal settings.

        Raises:
            AssayError: it is the state of another training, or the file has changed since.
        """
        if state.get("settings") != self._settings():
            raise AssayError(
                "this state is of another training (samples, batch, ranks, slots, epochs, seed, "
                "policy, rank or datasets differ); resume with equal settings"
            )
        if state.get("file") != asdict(self._file.identity):
            raise AssayError(
                f"{self._file.path}: is not the file that this state was taken on; restore that "
                "file, or begin the training anew"
            )
        position = (int(state["epoch"]), int(state["step"]))
        if position[0] < 0 or not 0 <= position[1] < self._training.steps:
            raise AssayError(f"this state names step {position}, which the training does not have")
        self._stop()
        self._position = position

    def close(self) -> None:
        """End the threads and free the memory; a second time does nothing."""
        self._closed = True
        self._stop()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _at_end(self) -> bool:
        return 0 < self._training.epochs <= self._position[0]

    def _next(self, epoch: int) -> Step:
        self._release()
        pipeline = self._begun()
        if self._asked != epoch:
            self._asked = epoch
            pipeline.want_epoch()
        try:
            step = pipeline.take()
        except BaseException:
            self._stop()
            raise
        if step is None:
            self._stop()
            raise AssayError("the loader was closed, or its plan ended, in the middle of an epoch")
        self.counters.add(step.counted)
        self._held = step
        return step

    def _begun(self) -> Pipeline:
        if self._closed:
            raise AssayError("this loader is closed; make another")
        if self._pipeline is None:
            self._pipeline = Pipeline(
                self._file, self._planner, self._rank, self._options, self._position
            )
            self._how = self._pipeline.how
            self._finalizer = weakref.finalize(self, self._pipeline.close)
        return self._pipeline

    def _release(self) -> None:
        if self._held is not None and self._pipeline is not None:
            self._pipeline.give_back(self._held.stage)
        self._held = None

    def _stop(self) -> None:
        if (pipeline := self._pipeline) is not None:
            pipeline.close()
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = self._pipeline = self._held = None
        self._asked = -1

    def _batch(self, step: Step) -> Batch:
        count = len(step.samples)
        begun = step.step * self._training.batch
        together = min(self._training.batch, self._training.samples - begun)
        arrays = tuple(
            rows[:count].view(dataset.dtype).reshape(count, *dataset.shape)
            for rows, dataset in zip(step.stage.rows, self._file.datasets, strict=True)
        )
        weight = count * self._training.ranks / together
        return Batch(step.epoch, step.step, step.samples, arrays, weight)

    def _settings(self) -> str:
        told = (astuple(self._training), self._planner.name, self._rank, self._file.names)
        return hashlib.sha256(repr(told).encode()).hexdigest()


def _after(step: Step, steps: int) -> tuple[int, int]:
    return (step.epoch, step.step + 1) if step.step + 1 < steps else (step.epoch + 1, 0)
