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
from workloads.solar.utilisation import FIRST, LAST, StepTime, accelerator_utilisation

Train = Callable[[Delivered], None]
"""Trains on a batch, and returns when its device has finished."""

Probe = Callable[[Mapping[str, float]], float | None]
"""Reads the file with requests like those of the epoch whose counts it is given; returns B/s."""


@dataclass(slots=True)
class Run:
    """What an epoch needs, and what was seen of the epochs so far.

    Attributes:
        file: the file that is read.
        make_feed: begins the training.
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
        last: what the feed counted in the last epoch.
        raw: B/s of raw reads, before each epoch but the first.
        disk: B/s that each of those epochs read from the file.
        utilisation: the device's share of each epoch's time, where it trains.
    """

    file: SampleFile
    make_feed: Callable[[], Feed]
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

    def begin_epoch(self) -> None:
        """Do what comes before an epoch that is timed: a new training, raw reads, dropped pages.

        The first epoch of a training fills the buffers and the last one keeps nothing, so only
        those between them are timed.
        """
        epochs = self.settings.training.epochs
        if epochs and self.played >= epochs - 1:
            self.feed.close()
            self.feed = self.make_feed()
            self.played = 0
        if not self.played:
            self.play()
        if self.cache == WARM:
            return
        if self.probe is not None and (rate := self.probe(self.last)) is not None:
            self.raw.append(rate)
        page_cache.drop_surely(self.file.path)
        if self.group is not None:
            self.group.barrier()

    def play(self) -> None:
        """Take every batch of the next epoch, as a training does."""
        before = dict(self.feed.counters())
        steps = []
        start = asked = time.perf_counter()
        for batch in self.feed.epoch():
            got = time.perf_counter()
            if self.train is not None:
                self.train(batch)
                steps.append(StepTime(got - asked, time.perf_counter() - got))
            if self.group is not None:
                self.group.barrier()
            if self.cache == COLD_STEPS:
                page_cache.drop(self.file.path)
            asked = time.perf_counter()
        elapsed = time.perf_counter() - start
        after = self.feed.counters()
        self.last = {name: value - before.get(name, 0.0) for name, value in after.items()}
        self.played += 1
        if len(steps) > FIRST + LAST:
            self.utilisation.append(accelerator_utilisation(steps, elapsed))
        if self.raw and self.last.get("read_bytes"):
            self.disk.append(self.last["read_bytes"] / elapsed)

    def epoch_reads(self) -> float:
        """Return the samples that the last epoch read from the file, by all ranks together."""
        mine = self.last.get("reads", float(self.settings.training.samples))
        if self.group is None:
            return mine
        return float(sum(self.group.gather(mine)))

    def counters(self) -> dict[str, float]:
        """Return what the last epoch counted, and its disk's rate beside that of raw reads."""
        told = dict(self.last)
        if self.raw and self.disk:
            told["raw_bytes_per_s"] = median(self.raw)
            told["disk_bytes_per_s"] = median(self.disk)
            told["share_of_raw"] = told["disk_bytes_per_s"] / told["raw_bytes_per_s"]
            if len(self.raw) > 1:
                low, _, high = quantiles(self.raw, n=4)
                told["raw_bytes_per_s_q25"], told["raw_bytes_per_s_q75"] = low, high
        if self.utilisation:
            told["accelerator_utilisation"] = median(self.utilisation)
        return told
