"""One case in its worker: plays epochs of a training, and counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles

from harness.protocols import Group
from harness.records import Facts
from workloads.solar import page_cache
from workloads.solar.feed import COLD_STEPS, WARM, Delivered, Feed, Settings
from workloads.solar.file_cache import KeptFile
from workloads.solar.layout import SampleFile
from workloads.solar.options import MEMORY
from workloads.solar.utilisation import FIRST, LAST, StepTime, accelerator_utilisation

Train = Callable[[Delivered], None]
"""Trains on a batch, and returns when its device has finished."""

Probe = Callable[[Mapping[str, float]], float]
"""Reads the file with requests like those of the epoch whose counts it is given; returns B/s."""


@dataclass(slots=True)
class Run:
    """What an epoch needs, and what was seen of the epochs so far.

    Attributes:
        feed: brings the batches of this rank.
        settings: what the feed is made for.
        cache: one of `feed.CACHES`.
        facts: of the input.
        spans: how long preparing took, in s by name.
        group: the ranks, which meet at the end of each step; None for one.
        train: what is done with each batch; None for nothing.
        probe: raw reads, as a roof for those of the feed; None for none.
        kept: holds a generated file in its cache; None for a user's file.
        played: epochs of the training that are done.
        last: what this rank's feed counted in the last epoch.
        raw: B/s of raw reads, one before each timed epoch.
        disk: B/s that each timed epoch read from the file.
        utilisation: the device's share of each timed epoch, where it trains.
    """

    feed: Feed
    settings: Settings
    cache: str
    facts: Facts
    spans: Mapping[str, float]
    group: Group | None = None
    train: Train | None = None
    probe: Probe | None = None
    kept: KeptFile | None = None
    played: int = 0
    last: Mapping[str, float] = field(default_factory=dict)
    raw: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)
    utilisation: list[float] = field(default_factory=list)

    @property
    def file(self) -> SampleFile:
        """Return the file that is read."""
        return self.settings.file

    def begin_epoch(self) -> None:
        """Do what comes before an epoch that is timed: a new training, raw reads, dropped pages.

        The first epoch of a training fills the buffers and the last one keeps nothing, so only
        those between them are timed.
        """
        epochs = self.settings.training.epochs
        if epochs and self.played >= epochs - 1:
            self.feed.begin_again()
            self.played = 0
        if not self.played:
            self._take()
        if self.cache == WARM:
            return
        # Ranks read raw together, as they load; none may fill pages that another has dropped.
        self._meet()
        if self.probe is not None:
            self.raw.append(self.probe(self.last))
        self._meet()
        page_cache.drop_surely(self.file.path)
        self._meet()

    def play(self) -> None:
        """Take every batch of the next epoch, as a training does, and note how long it took."""
        steps, elapsed = self._take()
        if len(steps) > FIRST + LAST:
            self.utilisation.append(accelerator_utilisation(steps, elapsed))
        if self.raw and "read_bytes" in self.last:
            self.disk.append(self.last["read_bytes"] / elapsed)

    def _take(self) -> tuple[list[StepTime], float]:
        before = dict(self.feed.counters())
        steps = []
        start = asked = time.perf_counter()
        for batch in self.feed.epoch():
            if self.train is not None:
                # The gradient waits for every rank's batch, which is no computing.
                self._meet()
                got = time.perf_counter()
                self.train(batch)
                steps.append(StepTime(got - asked, time.perf_counter() - got))
            self._meet()
            if self.cache == COLD_STEPS:
                page_cache.drop(self.file.path)
            asked = time.perf_counter()
        elapsed = time.perf_counter() - start
        self.last = {
            name: value if name in MEMORY else value - before.get(name, 0.0)
            for name, value in self.feed.counters().items()
        }
        self.played += 1
        return steps, elapsed

    def _meet(self) -> None:
        if self.group is not None:
            self.group.barrier()

    def epoch_reads(self) -> float | None:
        """Return the samples that all ranks read in the last epoch; None where it is not known.

        HDF5 keeps chunks in memory of its own, and reads whole ones.
        """
        mine = None if self.file.fallback else self.last.get("reads")
        every = [mine] if self.group is None else self.group.gather(mine)
        return None if None in every else float(sum(every))

    def counters(self) -> dict[str, float]:
        """Return what all ranks counted in the last epoch, and rates beside those of raw reads."""
        mine = dict(self.last)
        if self.raw and self.disk:
            mine["raw_bytes_per_s"] = median(self.raw)
            mine["disk_bytes_per_s"] = median(self.disk)
            if len(self.raw) > 1:
                low, _, high = quantiles(self.raw, n=4, method="inclusive")
                mine["raw_bytes_per_s_q25"], mine["raw_bytes_per_s_q75"] = low, high
        every = [mine] if self.group is None else self.group.gather(mine)
        told = {name: sum(one.get(name, 0.0) for one in every) for name in mine}
        if told.get("raw_bytes_per_s"):
            told["share_of_raw"] = told["disk_bytes_per_s"] / told["raw_bytes_per_s"]
        if self.utilisation:
            told["accelerator_utilisation"] = median(self.utilisation)
        return told
