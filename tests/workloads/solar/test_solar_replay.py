"""The validator refuses every plan that a loader could not follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import AssayError
from workloads.solar import replay, schedule
from workloads.solar.epoch_plan import DROPPED, READ, EpochPlan, Training

TRAINING = Training(samples=60, batch=12, ranks=3, slots=10, epochs=3, seed=0)


def plans() -> list[EpochPlan]:
    return list(schedule.planner(TRAINING).epochs())


def check(given: list[EpochPlan]) -> replay.Replayed:
    return replay.check(schedule.planner(TRAINING), given)


def first(found: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    return int(np.flatnonzero(found)[0])


def test_a_sound_plan_is_counted() -> None:
    found = check(plans())
    assert (found.epochs, found.reads, found.hits) == (3, 120, 60)
    assert found.bound == 60 + 2 * (60 - 30)
    assert found.worst_load == found.whole_load == 1.0
    assert found.widest_step == 0


def hit_that_is_read(plan: EpochPlan) -> str:
    plan.source[first(plan.source == READ)] = 3
    return r"epoch 1, step \d, sample \d+: slot 3 of rank \d does not hold it"


def hit_at_another_rank(plan: EpochPlan) -> str:
    place = first(plan.source != READ)
    plan.rank[place] = (plan.rank[place] + 1) % 3
    return r"sample \d+: slot \d+ of rank \d does not hold it"


def two_slots_swapped(plan: EpochPlan) -> str:
    one, other = np.flatnonzero((plan.source != READ) & (plan.rank == 0))[:2]
    plan.source[[one, other]] = plan.source[[other, one]]
    return r"slot \d+ of rank 0 does not hold it"


def a_sample_twice(plan: EpochPlan) -> str:
    plan.order[0] = plan.order[1]
    return r"epoch 1, step 0: sample \d+ is"


def samples_of_two_steps_swapped(plan: EpochPlan) -> str:
    plan.order[[0, 20]] = plan.order[[20, 0]]
    return r"epoch 1, step 0: sample \d+ is"


def a_slot_beyond_the_buffer(plan: EpochPlan) -> str:
    plan.target[first((plan.source == READ) & (plan.target != DROPPED))] = 10
    return r"rank \d has no slot 10"


def a_slot_filled_twice_in_a_step(plan: EpochPlan) -> str:
    plan.source[12:24] = READ
    plan.target[12:24] = DROPPED
    plan.rank[12:14] = 1
    plan.target[12:14] = 4
    return "slot 4 of rank 1 keeps another sample of this step"


def a_sample_that_moves(plan: EpochPlan) -> str:
    place = first(plan.source != READ)
    plan.target[place] = (plan.source[place] + 1) % 10
    return r"it moves from slot \d to slot \d"


def a_rank_that_is_not_there(plan: EpochPlan) -> str:
    plan.rank[0] = 3
    return "there is no rank 3"


@pytest.mark.parametrize(
    "spoil",
    [
        hit_that_is_read,
        hit_at_another_rank,
        two_slots_swapped,
        a_sample_twice,
        samples_of_two_steps_swapped,
        a_slot_beyond_the_buffer,
        a_slot_filled_twice_in_a_step,
        a_sample_that_moves,
        a_rank_that_is_not_there,
    ],
)
def test_a_wrong_plan_is_refused(spoil: Callable[[EpochPlan], str]) -> None:
    given = plans()
    expected = spoil(given[1])
    with pytest.raises(AssayError, match=expected):
        check(given)


def test_a_sample_dropped_too_early_is_missed_in_the_next_epoch() -> None:
    given = plans()
    given[0].target[first(given[0].target != DROPPED)] = DROPPED
    with pytest.raises(AssayError, match=r"epoch 1, .*does not hold it"):
        check(given)


def test_epochs_out_of_turn_and_of_another_size_are_refused() -> None:
    with pytest.raises(AssayError, match="the plan of epoch 0 is that of epoch 1"):
        check(plans()[1:])
    short = replace(plans()[0], rank=np.zeros(3, dtype=np.int32))
    with pytest.raises(AssayError, match=r"epoch 0: rank has the shape \(3,\), not \(60,\)"):
        check([short])


def test_reads_that_could_be_hits_are_counted_against_the_bound() -> None:
    given = plans()
    wasted = first(given[2].source != READ)
    given[2].source[wasted] = READ
    found = check(given)
    assert found.reads == found.bound + 1
