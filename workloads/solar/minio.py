"""The planner `minio`: what is read first stays for ever.

After the MinIO cache of Mohan et al., "Analyzing and Mitigating Data Stalls in DNN Training"
(arXiv 2007.06775), section 5.1: a sample that is in a buffer is never replaced, so that each epoch
after the first finds a whole buffer of samples. There every host caches for itself or fetches from
others; here a sample is trained on by the rank that holds it, so that as little is read as can be.

What is not held is dealt so that local batches are equal. They are not where a rank holds more of a
step than its share; and the reads are as uneven as what is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from workloads.solar.buffers import begin, empty
from workloads.solar.epoch_plan import READ, EpochPlan, Training
from workloads.solar.orders import checked, checked_start, epoch_order
from workloads.solar.quotas import local_batches


def planner(training: Training) -> NeverEvict:
    """Return the planner of a training.

    Raises:
        AssayError: a number of the training is out of range.
    """
    return NeverEvict(checked(training))


@dataclass(frozen=True, slots=True)
class NeverEvict:
    """Plans epoch after epoch.

    Attributes:
        training: what is planned for.
        name: of the policy.
    """

    training: Training
    name: str = field(default="minio", init=False)

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        """Yield the plan of each epoch from `start`; the earlier ones are planned again for it.

        Raises:
            AssayError: the training has no such epoch.
        """
        training = self.training
        checked_start(training, start)
        held, local = empty(training), local_batches(training)
        for epoch in count():
            order = epoch_order(training.seed, epoch, training.samples)
            begun = begin(held, training, epoch, order, local)
            begun.deal_rest()
            begun.kept[begun.source != READ] = 1
            for rank, free in enumerate(held.free_count):
                read = np.flatnonzero((begun.rank == rank) & (begun.source == READ))
                begun.kept[read[:free]] = 1
            plan = held.fill(begun)
            if epoch >= start:
                yield plan
            if epoch + 1 == training.epochs:
                return
