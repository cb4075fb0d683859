"""The parameters of an asv benchmark: which axes it has, and which cell a case falls into."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.asv_names import literal
from harness.errors import AssayError
from harness.records import Case, Scalar

MAX_SPREAD_CELLS = 1000
"""Beyond it a workload's own parameters share one axis; asv's list page has a row for each cell."""

MAX_CELLS = 50_000
"""Beyond it the export is refused: each file holds every cell, and so does each page."""

_FIXED = ("backend", "variant")
_OPTIONAL = ("seed", "device_index")
_JOINED = "parameters"

_Coordinates = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Grid:
    """The cartesian product of the values that occur; the last axis runs fastest.

    Attributes:
        names: asv's `param_names`.
        values: asv's `params`, one tuple of literals an axis.
        joined: whether the workload's own parameters share one axis.
        own: the names of those parameters that have a place on an axis.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    joined: bool
    own: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the number of cells."""
        return math.prod(len(axis) for axis in self.values)

    def index(self, case: Case) -> int:
        """Return the cell of a case that the grid was made for."""
        at = _literals(case, self.own, self.joined)
        return self.place([at[name] for name in self.names])

    def place(self, literals: Sequence[str]) -> int:
        """Return the cell of one literal an axis."""
        index = 0
        for text, values in zip(literals, self.values, strict=True):
            index = index * len(values) + values.index(text)
        return index

    def literals(self, place: int) -> list[str]:
        """Return the literals, one an axis, of a cell."""
        found = []
        for values in reversed(self.values):
            place, at = divmod(place, len(values))
            found.append(values[at])
        return found[::-1]


def grid_of(cases: Sequence[Case]) -> Grid:
    """Return the grid that holds every one of a workload's cases, whatever their order.

    Each parameter is an axis of its own, unless unlike cases would make that a product of
    mostly empty cells: then those parameters whose values differ share one axis.

    Raises:
        AssayError: there are more combinations than asv can draw.
    """
    own = tuple(sorted({name for case in cases for name in case.params}, key=_rank(cases)))
    grid = _grid(cases, own, joined=False)
    if grid.size > MAX_SPREAD_CELLS:
        differ = tuple(name for name in own if len({_own(case, name) for case in cases}) > 1)
        grid = _grid(cases, differ, joined=True)
    if grid.size > MAX_CELLS:
        raise AssayError(
            f"workload {cases[0].workload!r} has {grid.size} combinations of backend, variant and "
            f"parameters, more than the {MAX_CELLS} that a dashboard holds; publish fewer results"
        )
    return grid


def _rank(cases: Sequence[Case]) -> Any:
    """Return a sort key: the order in which the case with most parameters declares them."""
    longest = max(cases, key=lambda case: (len(case.params), list(case.params)))
    order = {name: place for place, name in enumerate(longest.params)}
    return lambda name: (order.get(name, len(order)), name)


def _grid(cases: Sequence[Case], own: tuple[str, ...], joined: bool) -> Grid:
    keys: dict[str, dict[str, Any]] = {}
    for case in cases:
        literals, orders = _literals(case, own, joined), _orders(case, own, joined)
        for name, text in literals.items():
            keys.setdefault(name, {})[text] = orders[name]
    constant = [name for name in _OPTIONAL if len(keys[name]) == 1]
    names = tuple(name for name in keys if name not in constant)
    values = tuple(tuple(sorted(keys[name], key=keys[name].__getitem__)) for name in names)
    return Grid(names, values, joined, own)


def _literals(case: Case, own: Sequence[str], joined: bool) -> _Coordinates:
    at = {name: literal(getattr(case, name)) for name in (*_FIXED, *_OPTIONAL)}
    if joined:
        text = " ".join(f"{name}={case.params.get(name)!r}" for name in own)
        return at | {_JOINED: literal(text)}
    return at | {_axis(name): _own(case, name) for name in own}


def _orders(case: Case, own: Sequence[str], joined: bool) -> Mapping[str, Any]:
    at = {name: _order(getattr(case, name)) for name in (*_FIXED, *_OPTIONAL)}
    if joined:
        return at | {_JOINED: tuple(_order(case.params.get(name)) for name in own)}
    return at | {_axis(name): _order(case.params.get(name)) for name in own}


def _own(case: Case, name: str) -> str:
    return literal(case.params.get(name))


def _axis(name: str) -> str:
    """Return the axis of a workload's own parameter; no two axes have one name."""
    return f"parameter {name}" if name in (*_FIXED, *_OPTIONAL) else name


def _order(value: Scalar | None) -> tuple[int, float, str]:
    """Return a sort key: numbers by size, then everything else by its literal."""
    if isinstance(value, bool | int | float) and value == value:  # NaN has no place in an order
        return 0, value, literal(value)
    return 1, 0.0, literal(value)
