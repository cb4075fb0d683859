"""Unlike cases have unlike places on the axes of a benchmark."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_grid import MAX_SPREAD_CELLS, grid_of
from harness.errors import AssayError
from harness.records import Case

params = st.fixed_dictionaries(
    {"rows": st.integers(0, 3) | st.floats(0, 2)},
    optional={"kind": st.sampled_from(["a", "b"]), "fast": st.booleans()},
)


def cases_of(grids: Sequence[tuple[str, str, dict[str, Any], int]]) -> list[Case]:
    return [Case("w", "1", variant, backend, own, seed) for variant, backend, own, seed in grids]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vw"), st.sampled_from(["cpu", "arm"]), params, st.integers(0, 1)
        ),
        min_size=1,
        max_size=20,
    ),
    st.randoms(),
)
@settings(max_examples=100, deadline=None)
def test_unlike_cases_have_unlike_cells_and_their_order_does_not_matter(
    drawn: list[tuple[str, str, dict[str, Any], int]], shuffler: random.Random
) -> None:
    cases = list({case.key: case for case in cases_of(drawn)}.values())
    grid = grid_of(cases)
    cells = {case.key: grid.index(case) for case in cases}
    assert len(set(cells.values())) == len(cases)
    assert all(0 <= cell < grid.size for cell in cells.values())
    shuffler.shuffle(cases)
    again = grid_of(cases)
    assert again == grid
    assert {case.key: again.index(case) for case in cases} == cells


def test_a_product_of_mostly_empty_cells_becomes_one_axis() -> None:
    cases = [
        Case("w", "1", "v", "cpu", {f"p{i}": number if i == axis else 0 for i in range(4)})
        for axis in range(4)
        for number in range(1, 11)
    ]
    grid = grid_of(cases)
    assert grid.names == ("backend", "variant", "parameters")
    assert grid.size == len(cases) < MAX_SPREAD_CELLS
    assert grid.values[2][:2] == ("'p0=0 p1=0 p2=0 p3=1'", "'p0=0 p1=0 p2=0 p3=2'")
    assert sorted(grid.index(case) for case in cases) == list(range(len(cases)))


def test_a_workloads_parameter_may_be_called_like_one_of_ours() -> None:
    cases = [Case("w", "1", "v", "cpu", {"backend": value}) for value in ("inductor", "eager")]
    grid = grid_of(cases)
    assert grid.names == ("backend", "variant", "parameter backend")
    assert [grid.index(case) for case in cases] == [1, 0]


def test_more_combinations_than_a_dashboard_holds_are_refused() -> None:
    cases = [Case("w", "1", f"v{i}", f"b{i}", {"n": i}) for i in range(40)]
    with pytest.raises(AssayError, match="'w' has 64000 combinations"):
        grid_of(cases)
