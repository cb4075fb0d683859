"""The planner `assay`: the fewest reads, in equal shares."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.solar import replay, schedule
from workloads.solar.epoch_plan import DROPPED, EpochPlan, Training
from workloads.solar.orders import epoch_order

TRAINING = Training(samples=4096, batch=64, ranks=8, slots=256, epochs=4, seed=1)


@st.composite
def trainings(draw: st.DrawFn) -> Training:
    samples = draw(st.integers(1, 90))
    return Training(
        samples=samples,
        batch=draw(st.integers(1, samples + 5)),
        ranks=draw(st.sampled_from((1, 2, 3, 4, 7, 8, 32))),
        slots=draw(st.integers(0, samples + 2)),
        epochs=draw(st.integers(0, 5)),
        seed=draw(st.integers(0, 9)),
    )


def plans(training: Training, start: int = 0, stop: int = 5) -> list[EpochPlan]:
    return list(islice(schedule.planner(training).epochs(start), stop))


def replayed(training: Training) -> replay.Replayed:
    return replay.check(schedule.planner(training), plans(training))


def same(one: EpochPlan, other: EpochPlan) -> bool:
    return one.epoch == other.epoch and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("order", "rank", "source", "target")
    )


@example(Training(samples=3, batch=1, ranks=2, slots=1, epochs=0, seed=0))  # slots fill up
@given(trainings())
def test_every_plan_can_be_followed_and_reads_exactly_the_bound(training: Training) -> None:
    found = replayed(training)
    assert found.epochs == (training.epochs or 5)
    assert found.reads == found.bound
    assert found.evictions == 0


@given(trainings())
def test_without_buffers_batches_and_reads_are_as_equal_as_integers_allow(
    training: Training,
) -> None:
    found = replayed(replace(training, slots=0))
    assert found.widest_step <= 1
    assert found.whole_load == 1.0


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(("ranks", "batch"), [(1, 16), (2, 32), (4, 64), (8, 64), (32, 256)])
def test_local_batches_and_reads_are_equal_up_to_three_quarters_held(
    ranks: int, batch: int, share: float
) -> None:
    slots = int(share * 16384 / ranks)
    found = replayed(Training(16384, batch, ranks, slots, epochs=4, seed=0))
    assert found.reads == found.bound
    assert found.widest_step == 0
    assert found.worst_load <= 1.01


@pytest.mark.parametrize("batch", [100, 128, 130])
def test_with_odd_sizes_local_batches_differ_by_one_and_reads_no_more_than_they_must(
    batch: int,
) -> None:
    found = replayed(Training(16411, batch, ranks=7, slots=1171, epochs=4, seed=0))
    assert found.reads == found.bound
    assert found.widest_step == 1
    assert found.whole_load <= 1.001


def test_where_nearly_all_is_held_the_bound_stands_and_batches_give_way() -> None:
    found = replayed(replace(TRAINING, slots=500))
    assert found.reads == found.bound
    assert found.uneven_steps > 0


def test_where_all_is_held_nothing_is_read_again() -> None:
    found = replayed(replace(TRAINING, slots=4096, epochs=5))
    assert found.reads == found.bound == 4096


def test_each_epoch_is_that_of_its_seed() -> None:
    for plan in plans(TRAINING):
        assert np.array_equal(plan.order, epoch_order(1, plan.epoch, 4096))


def test_the_last_epoch_keeps_nothing_and_any_other_fills_the_buffers() -> None:
    kept = [np.count_nonzero(plan.target != DROPPED) for plan in plans(TRAINING)]
    assert kept == [2048, 2048, 2048, 0]


def test_a_training_without_end_is_planned_as_one_that_goes_on() -> None:
    endless, ending = plans(replace(TRAINING, epochs=0)), plans(TRAINING)
    assert all(map(same, endless[:3], ending[:3]))
    assert len(endless) == 5


@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_plan_begun_at_any_epoch_is_the_same_plan(start: int) -> None:
    assert all(map(same, plans(TRAINING, start), plans(TRAINING)[start:]))
    assert len(plans(TRAINING, start)) == 4 - start


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert all(map(same, plans(TRAINING), plans(TRAINING)))
    assert not same(plans(TRAINING)[0], plans(replace(TRAINING, seed=2))[0])


def test_what_a_rank_reads_and_does_not_keep_is_one_range_of_the_file() -> None:
    plan = plans(replace(TRAINING, slots=0))[0]
    for first in range(0, 4096, 64):
        places = slice(first, first + 64)
        by_file = plan.rank[places][np.argsort(plan.order[places])]
        assert by_file.tolist() == sorted(by_file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", 0),
        ("batch", 0),
        ("ranks", 0),
        ("slots", -1),
        ("epochs", -1),
        ("samples", 2**40),
        ("seed", 2**63),
    ],
)
def test_a_number_out_of_range_is_named(name: str, value: int) -> None:
    wrong = Training(**{**_numbers(TRAINING), name: value})
    with pytest.raises(AssayError, match=f"{name} is {value}; it must be"):
        schedule.planner(wrong)


def test_an_epoch_after_the_last_is_refused() -> None:
    with pytest.raises(AssayError, match="epoch 5 is not one of the training's 4"):
        plans(TRAINING, start=5)


@pytest.mark.soak
def test_a_great_training_on_many_ranks_reads_the_bound_in_equal_shares() -> None:
    found = replayed(Training(630_000, 1024, ranks=32, slots=9843, epochs=3, seed=0))
    assert found.reads == found.bound
    assert found.widest_step <= 1
    assert found.whole_load <= 1.001


def _numbers(training: Training) -> dict[str, int]:
    return {name: getattr(training, name) for name in Training.__slots__}
