"""Feeds over our own reader, one for each policy of what the buffers keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from harness.protocols import Device
from workloads.solar import lru, minio, schedule, solar_paper
from workloads.solar.epoch_plan import Planner
from workloads.solar.feed import Delivered, Settings
from workloads.solar.loader import Loader
from workloads.solar.options import Options


@dataclass(slots=True)
class PlannedFeed:
    """A loader that follows a plan.

    Attributes:
        make: returns a loader at the beginning of the training.
        loader: reads and delivers.
        planner: decides; the loader follows it.
        spans: how long an epoch's planning took, in s.
    """

    make: Callable[[], Loader]
    loader: Loader
    planner: Planner
    spans: Mapping[str, float]

    @property
    def detail(self) -> str:
        """Return how each dataset is read, once reading has begun."""
        return self.loader.how

    def epoch(self) -> Iterator[Delivered]:
        """Yield the batches of the next epoch."""
        for batch in self.loader.epoch():
            yield Delivered(batch.samples, batch.arrays, batch.weight)

    def counters(self) -> Mapping[str, float]:
        """Return samples, hits, reads, bytes and requests."""
        counted = asdict(self.loader.counters)
        return {name: float(value) for name, value in counted.items() if name != "refilled"}

    def begin_again(self) -> None:
        """Go back to before the first epoch."""
        self.loader.close()
        self.loader = self.make()

    def close(self) -> None:
        """End the loader's threads."""
        self.loader.close()


def assay_feed(settings: Settings, device: Device) -> PlannedFeed:
    """Return the feed of the fewest reads in equal shares (`schedule`)."""
    return _feed(settings, schedule.planner(settings.training))


def lru_feed(settings: Settings, device: Device) -> PlannedFeed:
    """Return the feed whose buffers drop what was used longest ago (`lru`)."""
    return _feed(settings, lru.planner(settings.training))


def minio_feed(settings: Settings, device: Device) -> PlannedFeed:
    """Return the feed whose buffers never drop anything (`minio`)."""
    return _feed(settings, minio.planner(settings.training))


def solar_paper_feed(settings: Settings, device: Device) -> PlannedFeed:
    """Return the feed as SOLAR was published (`solar_paper`)."""
    return _feed(settings, solar_paper.planner(settings.training))


def _feed(settings: Settings, planner: Planner) -> PlannedFeed:
    # The first plan has nothing in the buffers, and compiles.
    plans = islice(planner.epochs(), 2)
    next(plans)
    start = time.perf_counter()
    next(plans)
    schedule_s = time.perf_counter() - start
    options = Options(direct=settings.cold, ahead=False, delay=settings.delay)

    def make() -> Loader:
        return Loader(settings.file, planner, rank=settings.rank, options=options)

    return PlannedFeed(make, make(), planner, {"schedule": schedule_s})
