"""The store as one tidy DataFrame."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness import store
from harness.frame import UnreadableWarning, results_frame
from harness.records import Case, Measurement, Outcome, Result, Status, Work

CASE = Case("w", "1", "v", "cpu", {"n": 3, "mode": "plain"})


def test_every_sample_is_a_row_and_failures_stay_visible(tmp_path: Path) -> None:
    failed = Case("w", "1", "other", "cpu", {"n": 3, "mode": "plain"})
    with store.open_run(
        tmp_path, [CASE, failed], fingerprint="f", settings={}, environment={}
    ) as run:
        run.append(
            Result(
                case=CASE,
                outcome=Outcome.OK,
                work=Work(items=4.0),
                started_at=1.0,
                flags=("impossible",),
                measurements=(
                    Measurement("time", "s", "process", "clock", values=(2.0, 4.0)),
                    Measurement("peak_memory", "B", "process", "vmhwm", values=(8.0,)),
                    Measurement(
                        "energy", "J", "cpu", "rapl", status=Status.UNAVAILABLE, reason="no counter"
                    ),
                ),
            )
        )
        run.append(Result(case=failed, outcome=Outcome.CRASHED, reason="SIGSEGV"))
    frame = results_frame(tmp_path)
    assert len(frame) == 5
    time = frame[frame["quantity"] == "time"]
    assert time["value"].tolist() == [2.0, 4.0]
    assert time["value_per_item"].tolist() == [0.5, 1.0]
    assert time["sample"].tolist() == [0, 1]
    assert time["flags"].tolist() == ["impossible", "impossible"]
    assert frame[frame["quantity"] == "energy"]["reason"].tolist() == ["no counter"]
    assert time["param.n"].tolist() == [3, 3]
    assert frame[frame["quantity"] == "peak_memory"]["value_per_item"].tolist() == [8.0]
    assert math.isnan(frame[frame["quantity"] == "energy"]["value"].item())
    assert frame[frame["outcome"] == "crashed"]["reason"].tolist() == ["SIGSEGV"]
    assert str(time["started_at"].iloc[0]) == "1970-01-01 00:00:01+00:00"


def test_what_cannot_be_read_is_warned_of_and_the_rest_is_there(tmp_path: Path) -> None:
    other = replace(CASE, variant="other")
    with store.open_run(
        tmp_path, [CASE, other], fingerprint="f", settings={}, environment={}
    ) as run:
        run.append(Result(case=CASE, outcome=Outcome.CRASHED))
        run.append(Result(case=other, outcome=Outcome.CRASHED)).write_text("{")
    with pytest.warns(UnreadableWarning, match="is damaged") as caught:
        frame = results_frame(tmp_path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert frame["variant"].tolist() == ["v"]


def test_an_empty_store_is_an_empty_frame_with_the_columns(tmp_path: Path) -> None:
    frame = results_frame(tmp_path / "none")
    assert len(frame) == 0
    assert {"workload", "quantity", "value", "started_at"} <= set(frame.columns)
