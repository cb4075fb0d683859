"""The policies that `assay` is compared with do as they are published to do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.solar import lru, minio, replay, schedule, solar_paper
from workloads.solar.epoch_order_search import best_path, overlaps, path_gain
from workloads.solar.epoch_plan import READ, EpochPlan, Planner, Training
from workloads.solar.orders import epoch_order

POLICIES: dict[str, Callable[[Training], Planner]] = {
    "assay": schedule.planner,
    "lru": lru.planner,
    "minio": minio.planner,
    "solar-paper": solar_paper.planner,
}


def planner(policy: str, training: Training) -> Planner:
    return POLICIES[policy](training)


def plans(policy: str, training: Training, start: int = 0) -> list[EpochPlan]:
    return list(islice(planner(policy, training).epochs(start), 5))


def replayed(policy: str, training: Training) -> replay.Replayed:
    return replay.check(planner(policy, training), plans(policy, training))


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30)
@given(
    samples=st.integers(1, 60),
    batch=st.integers(1, 70),
    ranks=st.sampled_from((1, 2, 5, 32)),
    slots=st.integers(0, 70),
    epochs=st.integers(1, 5),
)
def test_every_policy_can_be_followed_and_beats_no_bound(
    policy: str, samples: int, batch: int, ranks: int, slots: int, epochs: int
) -> None:
    found = replayed(policy, Training(samples, batch, ranks, slots, epochs, seed=0))
    assert found.reads >= found.bound


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_can_be_resumed_at_any_epoch(policy: str) -> None:
    training = Training(200, 24, ranks=3, slots=30, epochs=4, seed=5)
    for one, other in zip(plans(policy, training, 2), plans(policy, training)[2:], strict=True):
        assert one.epoch == other.epoch
        for name in ("order", "rank", "source", "target"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_has_its_name_and_refuses_a_wrong_training(policy: str) -> None:
    assert planner(policy, Training(9, 3, 1, 2, 2, 0)).name == policy
    with pytest.raises(AssayError, match="batch is 0"):
        planner(policy, Training(9, 0, 1, 2, 2, 0))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_lru_hits_as_its_formula_says(share: float) -> None:
    samples = 40_000
    found = replayed("lru", Training(samples, 64, 1, int(share * samples), epochs=4, seed=0))
    formula = share + (1 - share) * log(1 - share)
    assert found.hits / (3 * samples) == pytest.approx(formula, rel=0.02)


def test_lru_is_a_plain_cache_of_each_rank() -> None:
    training = Training(50, 8, ranks=2, slots=9, epochs=5, seed=3)
    caches: list[dict[int, None]] = [{}, {}]
    for plan in plans("lru", training):
        for place, sample in enumerate(plan.order.tolist()):
            rank = place % 2
            assert plan.rank[place] == rank
            assert (plan.source[place] != READ) == (sample in caches[rank])
            caches[rank].pop(sample, None)
            caches[rank][sample] = None
            if len(caches[rank]) > 9:
                del caches[rank][next(iter(caches[rank]))]


def test_minio_keeps_what_it_read_first_and_reaches_the_bound_unevenly() -> None:
    training = Training(2048, 64, ranks=8, slots=128, epochs=4, seed=0)
    found = replayed("minio", training)
    assert found.reads == found.bound
    assert found.evictions == 0
    assert found.worst_load > 1.1
    held = [set(plan.order[plan.source != READ].tolist()) for plan in plans("minio", training)[1:]]
    assert held[0] == held[1] == held[2]
    assert len(held[0]) == 1024


def test_solar_as_published_shares_reads_equally_but_not_batches() -> None:
    found = replayed("solar-paper", Training(4096, 64, ranks=8, slots=256, epochs=4, seed=0))
    assert found.whole_load == 1.0
    assert found.uneven_steps > 0


def test_solar_as_published_hits_what_is_last_in_one_epoch_and_first_in_the_next() -> None:
    training = Training(4096, 64, ranks=1, slots=1024, epochs=5, seed=0)
    given = plans("solar-paper", training)
    hits = [4096 - plan.reads() for plan in given[1:]]
    expected = [
        len(set(one.order[-1024:].tolist()) & set(other.order[:1024].tolist()))
        for one, other in pairwise(given)
    ]
    assert hits == expected
    assert sum(hits) / (4 * 1024) == pytest.approx(0.25, rel=0.15)


def test_solar_as_published_visits_each_epoch_once() -> None:
    planned = solar_paper.planner(Training(100, 10, 2, 10, epochs=7, seed=0))
    assert sorted(planned.path) == list(range(7))
    for plan in planned.epochs():
        expected = epoch_order(0, planned.visited(plan.epoch), 100)
        assert np.array_equal(plan.order, expected)


def test_solar_as_published_searches_a_long_training_block_by_block() -> None:
    path = solar_paper.planner(Training(30, 10, 2, 10, epochs=60, seed=0)).path
    assert sorted(path[: solar_paper.SEARCHED]) == list(range(solar_paper.SEARCHED))
    assert sorted(path) == list(range(60))


def test_solar_as_published_without_end_goes_round() -> None:
    planned = solar_paper.planner(Training(30, 10, 2, 10, epochs=0, seed=0))
    assert len(planned.path) == solar_paper.SEARCHED
    assert planned.visited(solar_paper.SEARCHED + 3) == planned.path[3]


def test_overlaps_are_counted_between_last_and_first_samples() -> None:
    orders = [epoch_order(0, epoch, 100) for epoch in range(4)]
    found = overlaps(orders, 30)
    for row, one in enumerate(orders):
        for column, other in enumerate(orders):
            assert found[row, column] == len(set(one[-30:]) & set(other[:30]))


def test_the_search_finds_a_path_that_is_hidden() -> None:
    hidden = [3, 0, 5, 1, 4, 2]
    gain = np.ones((6, 6), dtype=np.int64)
    for one, other in pairwise(hidden):
        gain[one, other] = 10
    assert best_path(gain) == hidden


def test_the_local_search_mends_what_greed_spoils() -> None:
    gain = np.array([[0, 5, 4, 0], [0, 0, 0, 5], [5, 5, 0, 0], [0, 0, 9, 0]])
    found = best_path(gain)
    assert sorted(found) == [0, 1, 2, 3]
    assert path_gain(gain, found) == 19


def test_one_epoch_needs_no_search() -> None:
    assert best_path(overlaps([epoch_order(0, 0, 10)], 5)) == [0]
