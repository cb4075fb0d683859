"""Numbers of pages have six digits, the same whether one or many are written."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from dashboards.pages.jsonfile import column, numbers


@st.composite
def next_to_ties(draw: st.DrawFn) -> float:
    """A number of seven digits of which the last is 5, or one of its two neighbours."""
    digits = Decimal(10 * draw(st.integers(100_000, 999_999)) + 5)
    tie = float(digits.scaleb(draw(st.integers(-40, 40))))
    return draw(st.sampled_from([tie, math.nextafter(tie, 0.0), math.nextafter(tie, math.inf)]))


POWERS = st.builds(lambda power: float(f"1e{power}"), st.integers(-324, 308))
FLOATS = st.floats() | next_to_ties() | POWERS | st.floats(1e-12, 1e12)


@given(values=st.lists(FLOATS, max_size=20))
@example(values=[0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308])
@example(values=[1.0000005, 999999.5, 9999995.0, 0.5, 2.5e-7, 1e22, 1e23, 123456.5, -123456.5])
@example(values=[math.nan, math.inf, -math.inf])
def test_many_numbers_are_rounded_as_each_of_them(values: list[float]) -> None:
    found, expected = column(np.array(values, np.float64)), numbers(values)
    assert [same(one) for one in found] == [same(one) for one in expected]


def same(value: float | None) -> str:
    """Every bit of a number as text."""
    return "none" if value is None else float(value).hex()


def test_very_many_numbers_are_rounded_as_each_of_them() -> None:
    generator = np.random.default_rng(1)
    digits = generator.integers(1_000_000, 10_000_000, 100_000) / 10.0
    values = np.concatenate(
        [
            digits * 10.0 ** generator.integers(-30, 30, len(digits)),
            np.exp(generator.uniform(-700.0, 700.0, 100_000)),
        ]
    )
    assert column(values) == numbers(values.tolist())
