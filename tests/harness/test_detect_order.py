"""The quick mean, median and deciles are NumPy's to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.detect_order import deciles, mean, median

VALUES = arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e6, 1e6))


@given(VALUES)
def test_mean_median_and_deciles_are_those_of_numpy(values: np.ndarray) -> None:
    before = values.copy()
    assert mean(values) == np.mean(values)
    assert median(values) == np.median(values)
    assert deciles(values) == tuple(np.quantile(values, [0.1, 0.9]))
    assert np.array_equal(values, before)
