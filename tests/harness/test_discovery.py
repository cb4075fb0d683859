"""Of many differences, as many are false as the rate allows, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.discovery import adjusted_p_values, benjamini_hochberg

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_the_example_of_the_paper_rejects_four_of_fifteen() -> None:
    # Benjamini & Hochberg 1995, sec. 3.2: thrombolysis, 15 hypotheses at a rate of 0.05.
    paper = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    paper += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert benjamini_hochberg(paper, 0.05) == [True] * 4 + [False] * 11


def test_a_p_value_above_its_own_line_is_carried_by_a_larger_one_below_its() -> None:
    assert benjamini_hochberg([0.04, 0.045, 0.03], 0.05) == [True, True, True]
    assert adjusted_p_values([0.04, 0.045, 0.03]) == pytest.approx([0.045, 0.045, 0.045])


def test_nothing_to_decide_is_decided() -> None:
    assert benjamini_hochberg([], 0.05) == []


@given(p_values, st.floats(0.001, 1))
@settings(max_examples=200, deadline=None)
def test_rejections_lie_between_bonferroni_and_no_correction(
    values: list[float], rate: float
) -> None:
    for rejected, p in zip(benjamini_hochberg(values, rate), values, strict=True):
        assert rejected or p > rate / len(values) * (1 - 1e-12)
        assert not rejected or p <= rate


@given(p_values)
@settings(max_examples=200, deadline=None)
def test_adjustment_keeps_the_order_and_does_not_depend_on_it(values: list[float]) -> None:
    adjusted = adjusted_p_values(values)
    assert adjusted_p_values(values[::-1]) == adjusted[::-1]
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(adjusted)


def test_the_share_of_false_discoveries_stays_below_the_rate() -> None:
    generator = np.random.default_rng(1)
    shares, found = [], 0
    for _ in range(1000):
        nulls, real = generator.uniform(size=80), generator.beta(0.05, 10, size=20)
        rejected = benjamini_hochberg([*nulls, *real], 0.05)
        shares.append(sum(rejected[:80]) / max(1, sum(rejected)))
        found += sum(rejected[80:])
    assert np.mean(shares) <= 0.05
    assert found / 20_000 > 0.5


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjusted_p_values([0.5, bad])
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([0.5], bad)
