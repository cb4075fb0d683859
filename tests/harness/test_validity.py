"""A result that no run can have written is named as damaged, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.errors import AssayError
from harness.records import Case, Ceiling, Measurement, Outcome, Result, Work
from harness.validity import read_result, started_at

CASE = Case("w", "1", "v", "cpu", {"n": 3})
RESULT = Result(
    case=CASE,
    outcome=Outcome.OK,
    started_at=1.7e9,
    duration_s=3.0,
    work=Work(items=4.0, flops={"float64": 8.0}, bytes={"memory": 64.0}),
    measurements=(
        Measurement("time", "s", "process", "clock", values=(0.5, 0.0), noise=({"a": 1.0}, {})),
    ),
    ceilings=(Ceiling("memory_rate", "L2", "B/s", (1e10,)),),
    environment={
        "machine": "m",
        "id": "e",
        "commit": "0123456789" * 4,
        "commit_time": 1700000000,
        "dirty": False,
    },
)

Change = Callable[[dict[str, Any]], object]


def written(folder: Path, change: Change) -> Path:
    """Store RESULT, changed as JSON, as a hostile hand would."""
    path = folder / "result.json"
    store.write_record(path, "result", RESULT)
    envelope = json.loads(path.read_bytes())
    change(envelope["result"])
    path.write_text(json.dumps(envelope))
    return path


def environment(**facts: object) -> Change:
    return lambda result: result["environment"].update(facts)


def work(**facts: object) -> Change:
    return lambda result: result["work"].update(facts)


def time(**facts: object) -> Change:
    return lambda result: result["measurements"][0].update(facts)


def test_what_a_run_writes_is_accepted(tmp_path: Path) -> None:
    assert read_result(written(tmp_path, lambda result: None)) == RESULT


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["environment"].clear(),
        environment(machine=None, id=None, commit=None, commit_time=None, dirty=None),
        environment(commit_time=1.5e9),
        work(items=0.25, flops={"float32": 0}),
        time(values=[], noise=[]),
        time(noise=[]),
    ],
)
def test_what_is_merely_unknown_is_accepted(tmp_path: Path, change: Change) -> None:
    read_result(written(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (environment(machine=["m"]), "environment.machine is not text"),
        (environment(id={"a": 1}), "environment.id is not text"),
        (environment(commit=7), "environment.commit is not text"),
        (environment(commit="HEAD"), "environment.commit is not 40 hexadecimal digits"),
        (environment(commit="a" * 40 + "\n"), "environment.commit is not 40 hexadecimal digits"),
        (environment(dirty="no"), "environment.dirty is neither true nor false"),
        (environment(commit_time=1e308), "environment.commit_time is no time before"),
        (environment(commit_time=True), "environment.commit_time is no time before"),
        (environment(commit_time="now"), "environment.commit_time is no time before"),
        (work(items=0), "work.items is 0"),
        (work(items=-1), "work.items is -1"),
        (work(items=1e308), r"work.items is 1e\+308"),
        (work(items=5e-324), "work.items is 4.9"),
        (work(flops={"float32": -1.0}), "work.flops is -1"),
        (work(bytes={"memory": 1e308}), r"work.bytes is 1e\+308"),
        (time(values=[0.5, 1e308]), r"a value of time is 1e\+308"),
        (time(values=[0.5, -1e308]), r"a value of time is -1e\+308"),
        (time(values=[0.5, 5e-324]), "a value of time is 4.9"),
        (time(noise=[{}]), "time has 2 values and noise of 1"),
        (time(steps_per_sample=0), "time has 0 steps a sample"),
        (lambda result: result["ceilings"][0].update(values=[0]), "ceiling of memory_rate is 0"),
        (lambda result: result["ceilings"][0].update(values=[-1]), "ceiling of memory_rate is -1"),
        (lambda result: result.update(started_at=1e300), r"started_at is 1e\+300 s"),
        (lambda result: result.update(started_at=-1.0), "started_at is -1 s"),
        (lambda result: result.update(duration_s=1e300), r"duration_s is 1e\+300 s"),
    ],
)
def test_what_no_run_can_have_written_is_damage_that_is_named(
    tmp_path: Path, change: Change, named: str
) -> None:
    path = written(tmp_path, change)
    with pytest.raises(AssayError, match=rf"result.json is damaged \(.*{named}.*\); move it away"):
        read_result(path)


def test_a_resumed_run_measures_again_what_no_run_can_have_written(tmp_path: Path) -> None:
    def opened() -> store.Run:
        return store.open_run(tmp_path, [CASE], fingerprint="f", settings={}, environment={})

    with opened() as run:
        path = run.append(RESULT)
    path.write_bytes(written(tmp_path, work(items=0)).read_bytes())
    with opened() as resumed:
        assert resumed.resumed
        assert not resumed.has(CASE)
        [message] = resumed.messages
        assert "work.items is 0" in message


def test_the_start_of_a_result_is_read_alone_and_never_believed_blindly(tmp_path: Path) -> None:
    assert started_at(written(tmp_path, work(items=0))) == 1.7e9
    assert started_at(written(tmp_path, lambda result: result.update(started_at=1e300))) == 0.0
    assert started_at(tmp_path / "missing.json") == 0.0
