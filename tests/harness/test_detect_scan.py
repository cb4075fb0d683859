"""What the scan is made of is what the sources of its methods say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.detect_scan import fit_autoregression, scan


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 60), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_an_autoregression_solves_the_equations_of_yule_and_walker(
    seed: int, lengths: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal(length) for length in lengths]
    count = sum(lengths)
    covariance = [
        sum(float(np.sum(block[lag:] * block[: len(block) - lag])) for block in blocks)
        for lag in range(2)
    ]
    rho = covariance[1] / covariance[0]
    corrected = rho + (1.0 + 4.0 * max(rho, 0.0)) / count
    assert fit_autoregression(blocks, 1) == pytest.approx([min(max(corrected, -0.5), 0.95)])


def test_the_order_of_an_autoregression_is_as_high_as_the_correlation_needs() -> None:
    innovations = np.random.default_rng(1).standard_normal(2000)
    x = np.zeros(2000)
    for i in range(3, 2000):
        x[i] = 0.3 * x[i - 1] + 0.3 * x[i - 3] + innovations[i]
    assert fit_autoregression([x[:900], x[900:]], 3) == pytest.approx([0.3, 0.0, 0.3], abs=0.07)
    assert len(fit_autoregression([innovations], 3)) == 1
    assert not len(fit_autoregression([np.zeros(50)], 3))


def test_alarms_are_those_that_the_kept_readings_of_this_form_hold() -> None:
    # Other alarms here mean that `_FORM` must be raised: kept readings would be continued wrongly.
    rng = np.random.default_rng(7)
    y = 0.01 * rng.standard_normal(300)
    for at, size in ((18, 0.12), (90, 0.05), (150, -0.03), (240, 0.04)):
        y[at:] += size
    found = [(alarm.index, alarm.seen, alarm.score) for alarm in scan(y, [200], 0.75).alarms]
    assert [(index, seen) for index, seen, _ in found] == [
        (18, 23),
        (90, 93),
        (150, 153),
        (240, 243),
    ]
    expected = [5.0, 4.832900374999011, -5.007561148445081, 5.180681325954522]
    assert [score for _, _, score in found] == pytest.approx(expected, rel=1e-9)
