"""Histories are searched through the command: what the code did, and what only the machine did."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import store
from harness.case_run import case_runs
from harness.errors import AssayError
from harness.findings import findings
from harness.history import histories
from harness.records import Case, Measurement, Outcome, Result, Work
from tests.killing import kill_a_worker

CASE = Case("spmv", "1", "pcsr", "cpu", {"rows": 10})
History = Callable[..., Path]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return what stores one run a commit, of one case, and gives the results folder."""

    def write(
        times: Sequence[float],
        environments: Sequence[str] | None = None,
        canaries: Sequence[float] | None = None,
        commits: Sequence[int] | None = None,
    ) -> Path:
        for number, seconds in enumerate(times):
            commit = commits[number] if commits else number
            environment = {
                "machine": "bench",
                "id": environments[number] if environments else "e1",
                "commit": f"{commit:040x}",
                "commit_time": 1.7e9 + 1000.0 * commit,
                "dirty": False,
            }
            canary = canaries[number] if canaries else 0.001
            result = Result(
                CASE,
                Outcome.OK,
                started_at=1.7e9 + 1000.0 * number,
                work=Work(items=1.0, item="product"),
                measurements=(
                    Measurement("time", "s", "process", "clock", values=(seconds,)),
                    Measurement("canary", "s", "device", "host-1", values=(canary,)),
                ),
                environment=environment,
            )
            with store.open_run(
                tmp_path / "results",
                [CASE],
                fingerprint=str(number),
                settings={},
                environment=environment,
            ) as run:
                run.append(result)
                run.finish()
        return tmp_path / "results"

    return write


def noisy(levels: Sequence[float], seed: int = 1) -> list[float]:
    generator = random.Random(seed)
    return [level * generator.lognormvariate(0.0, 0.01) for level in levels]


def found(done: Any) -> list[dict[str, Any]]:
    return [one for one in json.loads(done.stdout) if one["kind"] != "spike"]


def test_a_step_names_its_commit_and_exits_with_1(assay: Any, history: History) -> None:
    history(noisy([1.0] * 30 + [1.1] * 12))
    done = assay("detect", "--json")
    assert done.returncode == 1, done.stderr
    [step] = found(done)
    assert (step["kind"], step["verdict"]) == ("step", "regression")
    assert abs(int(step["commit"], 16) - 30) <= 1
    assert step["ratio"]["ci_low"] < 1.1 < step["ratio"]["ci_high"]
    assert int(step["before"], 16) == int(step["commit"], 16) - 1


def test_an_improvement_is_told_and_exits_with_0(assay: Any, history: History) -> None:
    history(noisy([1.0] * 30 + [0.9] * 12))
    done = assay("detect", "--markdown")
    assert done.returncode == 0
    assert "step: improvement" in done.stdout


def test_a_steady_history_shows_nothing(assay: Any, history: History) -> None:
    history(noisy([1.0] * 40))
    done = assay("detect")
    assert done.returncode == 0
    assert "findings in 1 series" in done.stdout
    assert "regression" not in done.stdout


def test_a_slow_drift_is_found_as_one(assay: Any, history: History) -> None:
    history(noisy([1.003**number for number in range(60)]))
    done = assay("detect", "--json")
    assert done.returncode == 1
    [drift] = found(done)
    assert (drift["kind"], drift["verdict"]) == ("drift", "regression")
    assert "a commit over" in drift["note"]


def test_a_change_of_the_environment_is_not_blamed_on_the_code(
    assay: Any, history: History
) -> None:
    history(noisy([1.0] * 25 + [1.2] * 25), environments=["e1"] * 25 + ["e2"] * 25)
    done = assay("detect", "--json")
    assert done.returncode == 0
    [change] = found(done)
    assert change["kind"] == "environment"
    assert change["verdict"] is None
    assert change["note"].startswith("environment, not code: e1 became e2")


def test_a_slower_machine_is_not_a_step_where_the_history_is_normalised(
    assay: Any, history: History
) -> None:
    speeds = [1.0] * 25 + [1.2] * 25
    history(noisy(speeds), canaries=[0.001 * speed for speed in speeds])
    assert assay("detect").returncode == 1
    assert assay("detect", "--normalise").returncode == 0


def test_only_the_newest_commits_count_where_that_is_asked(assay: Any, history: History) -> None:
    history(noisy([1.0] * 20 + [1.1] * 30))
    assert assay("detect").returncode == 1
    assert assay("detect", "--last", "10").returncode == 0


def test_a_short_history_says_that_it_is_short(assay: Any, history: History) -> None:
    history([1.0, 2.0])
    assert "1 of them shorter than" in assay("detect").stdout


def test_a_new_environment_without_a_commit_is_told_at_that_commit(
    assay: Any, history: History
) -> None:
    history(
        noisy([1.0] * 20 + [1.2] * 20),
        environments=["e1"] * 20 + ["e2"] * 20,
        commits=[*range(20), *range(19, 39)],
    )
    done = assay("detect", "--json")
    assert done.returncode == 0
    [change] = found(done)
    assert change["kind"] == "environment"
    assert change["before"] == change["commit"] == f"{19:040x}"


def test_a_step_is_known_only_after_some_points(history: History) -> None:
    root = history(noisy([1.0] * 30 + [1.1] * 12))
    contents = store.read(root)
    series = histories(case_runs((one.run, one.result) for one in contents.results))
    [step] = [one for one in findings(series, false_alarms=0.75, min_change=0.0) if one.verdict]
    assert step.start == step.index - 1
    assert step.index < step.known < 40
    assert step.known_at == series[0].points[step.known].measured_at


def test_several_processes_find_what_one_does(history: History) -> None:
    root = history(noisy([1.0] * 30 + [1.1] * 12))
    contents = store.read(root)
    [series] = histories(case_runs((one.run, one.result) for one in contents.results))
    every = [
        replace(series, quantity=str(last), points=series.points[:last]) for last in range(30, 42)
    ]
    alone = findings(every, false_alarms=0.75, min_change=0.0, processes=1)
    assert alone
    assert findings(every, false_alarms=0.75, min_change=0.0, processes=2) == alone


def test_a_drift_beyond_all_ratios_is_told_as_the_largest_one(history: History) -> None:
    root = history(noisy([1.0] * 60))
    contents = store.read(root)
    [series] = histories(case_runs((one.run, one.result) for one in contents.results))
    far = series.points.scaled(np.exp(np.linspace(-690.0, 690.0, 60)))
    [drift] = [
        one
        for one in findings([replace(series, points=far)], false_alarms=0.75, min_change=0.0)
        if one.kind == "drift"
    ]
    assert drift.ratio is not None
    assert 1e300 < drift.ratio.estimate < math.inf


def test_a_process_that_was_killed_is_one_line(history: History) -> None:
    root = history(noisy([1.0] * 20))
    contents = store.read(root)
    series = histories(case_runs((one.run, one.result) for one in contents.results))
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    with pytest.raises(AssayError, match="was killed, for want of memory perhaps"):
        findings(series, false_alarms=0.75, min_change=0.0, processes=2)
    killer.join()


def test_no_history_is_one_line_with_the_fix(assay: Any, history: History) -> None:
    history([1.0])
    done = assay("detect", "--quantity", "energy")
    assert done.returncode == 2
    assert "holds no history of energy" in done.stderr
