"""Identity of a case, and what a verification accepts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.records import Case, verified

CASE = Case("heat", "1", "torch", "cpu", {"dim": 64, "data": "synthetic"})


def test_equal_cases_have_equal_keys_whatever_the_order_of_parameters() -> None:
    assert replace(CASE, params={"data": "synthetic", "dim": 64}).key == CASE.key


@pytest.mark.parametrize(
    "other",
    [
        replace(CASE, variant="numba"),
        replace(CASE, backend="cuda"),
        replace(CASE, params={"dim": 32, "data": "synthetic"}),
        replace(CASE, seed=1),
        replace(CASE, version="2"),
        replace(CASE, device_index=1),
    ],
)
def test_any_difference_makes_another_key(other: Case) -> None:
    assert other.key != CASE.key


def test_a_key_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert CASE.key == "17b16383320e63a1"


def test_a_verification_accepts_up_to_its_tolerance_and_never_a_nan() -> None:
    assert verified(1.0, 1.0, "reference").passed
    assert not verified(1.1, 1.0, "reference").passed
    assert not verified(math.nan, 1.0, "reference").passed
    assert verified(math.inf, 1.0, "reference").error is None


def test_a_verification_of_numpy_numbers_holds_python_ones() -> None:
    verification = verified(np.float32(0.5), np.int64(1), "reference")
    assert (type(verification.error), type(verification.passed)) == (float, bool)
