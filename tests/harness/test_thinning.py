"""Thinning drops samples, never what they say."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import store
from harness.records import Case, Measurement, Outcome, Result
from harness.thinning import prune, thin

CASE = Case("w", "1", "v", "cpu", {})


def result_of(values: list[float], started_at: float = 1.0) -> Result:
    noise = tuple({"steal_s": value} for value in values)
    return Result(
        case=CASE,
        outcome=Outcome.OK,
        started_at=started_at,
        measurements=(
            Measurement("time", "s", "process", "clock", values=tuple(values), noise=noise),
        ),
    )


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(7, 31))
@settings(max_examples=100, deadline=None)
def test_extremes_and_median_stay_as_they_are(values: list[float], keep: int) -> None:
    [thinned] = thin(result_of(values), keep).measurements
    kept = list(thinned.values)
    assert len(kept) in (len(values), keep, keep - 1)
    assert len(kept) >= min(len(values), 6)
    assert (min(kept), max(kept)) == (min(values), max(values))
    assert np.median(kept) == np.median(values)


def test_samples_keep_their_order_and_their_noise() -> None:
    values = [float(value) for value in np.random.default_rng(3).permutation(101)]
    [thinned] = thin(result_of(values), 15).measurements
    assert np.median(thinned.values) == 50.0
    assert [noise["steal_s"] for noise in thinned.noise] == list(thinned.values)
    assert thinned.flags == ("thinned",)
    places = [values.index(value) for value in thinned.values]
    assert places == sorted(places)


def test_only_old_results_of_finished_runs_are_thinned(tmp_path: Path) -> None:
    def stored(fingerprint: str, started_at: float, finish: bool) -> None:
        with store.open_run(
            tmp_path, [CASE], fingerprint=fingerprint, settings={}, environment={}
        ) as run:
            run.append(result_of([float(i) for i in range(40)], started_at))
            if finish:
                run.finish()

    stored("old", 1.0, True)
    stored("unfinished", 2.0, False)
    stored("new", time.time(), True)
    dry = prune(tmp_path, older_than_s=3600, keep=9, dry_run=True)
    assert (dry.seen, dry.results, dry.samples) == (3, 1, 32)
    assert prune(tmp_path, older_than_s=3600, keep=9).results == 1
    counts = [
        len(r.measurements[0].values) for r in (one.result for one in store.read(tmp_path).results)
    ]
    assert counts == [8, 40, 40]
    assert prune(tmp_path, older_than_s=3600, keep=9).results == 0
