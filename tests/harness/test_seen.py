"""What was seen comes out of its columns as it went in."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history import rows_of_series
from harness.records import Case
from harness.seen import by_age, columns_of, joined_sightings, places_of
from harness.sighting import Amount, Scene, Sighting

POSITIVE = st.floats(1e-9, 1e9)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    number, run = draw(st.integers(0, 2)), draw(st.sampled_from(["r1", "r2", "r3"]))
    size = draw(st.sampled_from([1, 2]))
    params: list[tuple[str, int]] = draw(st.permutations([("size", size), ("dim", 64)]))
    case = Case("heat", "1", "torch", "cpu", dict(params))
    machine, settings = draw(st.sampled_from(["m", "n"])), draw(st.sampled_from(["", "threads=1"]))
    environment = draw(st.sampled_from(["e1", "e2"]))
    commit, time_s = f"{number:040x}", 100.0 * number + draw(st.sampled_from([0.0, 1.0]))
    started = draw(st.integers(0, 9))
    amounts = {
        quantity: Amount(unit, draw(st.sampled_from(["", "row"])), tuple(middles))
        for quantity, unit in (("time", "s"), ("energy", "J"))
        if (middles := draw(st.lists(POSITIVE, max_size=3)))
    }
    canaries = draw(st.lists(st.tuples(st.sampled_from(["k1", "k2"]), POSITIVE), max_size=2))
    return Sighting(
        case,
        case.key,
        Scene(run, machine, settings, commit, time_s, environment, placed=True),
        float(started),
        started + 1.5,
        amounts,
        tuple(canaries),
    )


SEEN = st.lists(sightings(), max_size=10)


@given(every=SEEN)
def test_columns_give_back_what_they_were_made_of(every: list[Sighting]) -> None:
    found = columns_of(every)
    rows = [found[row] for row in range(len(found))]
    assert rows == every
    assert [[*one.case.params] for one in rows] == [[*one.case.params] for one in every]


@given(parts=st.lists(SEEN, max_size=4))
def test_joined_columns_are_those_of_all(parts: list[list[Sighting]]) -> None:
    found = joined_sightings([columns_of(part) for part in parts])
    assert [found[row] for row in range(len(found))] == [one for part in parts for one in part]


@given(every=SEEN, order=st.randoms(use_true_random=False))
def test_the_order_of_age_is_one_whatever_the_order_before(
    every: list[Sighting], order: random.Random
) -> None:
    expected = sorted(every, key=age)
    order.shuffle(every)
    found = columns_of(every).take(by_age(columns_of(every)))
    assert [age(found[row]) for row in range(len(found))] == [age(one) for one in expected]


def age(one: Sighting) -> tuple[float, str, str]:
    return one.measured_at, one.scene.run, one.key


@given(every=SEEN)
def test_each_series_has_its_rows_in_the_order_of_commits_and_age(every: list[Sighting]) -> None:
    seen = columns_of(sorted(every, key=age))
    places = places_of(seen)
    groups = rows_of_series(seen, places)
    assert [*groups] == sorted({one.identity for one in every})
    assert sorted(row for rows in groups.values() for row in rows.tolist()) == [*range(len(every))]
    for identity, rows in groups.items():
        own = [seen[row] for row in rows.tolist()]
        assert {one.identity for one in own} == {identity}
        assert own == sorted(own, key=lambda one: (position(one, every), age(one)))


def position(one: Sighting, every: list[Sighting]) -> tuple[float, str, float, str]:
    """Where it stands, by the slow and plain way."""
    scene = one.scene
    made = min(each.scene.commit_time for each in every if each.scene.commit == scene.commit)
    first = min(
        each.started_at
        for each in every
        if replace(each.scene, run="", commit_time=0.0) == replace(scene, run="", commit_time=0.0)
    )
    return made, scene.commit, first, scene.environment


@given(every=SEEN)
def test_scenes_stand_in_one_place_exactly_where_commit_and_environment_agree(
    every: list[Sighting],
) -> None:
    seen = columns_of(every)
    ranks = places_of(seen).of(seen).tolist()
    for one, rank in zip(every, ranks, strict=True):
        for other, another in zip(every, ranks, strict=True):
            if one.identity == other.identity:
                same = (one.scene.commit, one.scene.environment) == (
                    other.scene.commit,
                    other.scene.environment,
                )
                assert same == (rank == another)


def test_a_row_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError):
        columns_of([])[0]
    assert len(columns_of([]).take(np.zeros(0, np.intp))) == 0
