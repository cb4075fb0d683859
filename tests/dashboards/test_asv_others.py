"""What `asv run` has measured stays beside what is exported, in the same graphs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.results import iter_results

from dashboards.asv_export import MARKER, export
from harness.case_run import CaseRun
from harness.records import Result

Make = Callable[..., Result]


def exported(results: Sequence[Result], directory: Path) -> Path:
    export([CaseRun("run", (result,)) for result in results], directory)
    return directory


def by_asv(
    directory: Path,
    variants: Sequence[str],
    *,
    version: str = "1",
    name: str = "heat.time",
    machine: str = "bench-1",
) -> Path:
    """Write what `asv run` would for these variants, each with the value 7.0; give its file."""
    params = [["'cpu'"], [repr(variant) for variant in variants], ["10"]]
    (directory / machine).mkdir(parents=True, exist_ok=True)
    (directory / machine / "machine.json").write_text(
        json.dumps({"machine": machine, "version": 1, "cpu": "as asv names it"})
    )
    path = directory / machine / "0a0a0a0a-virtualenv-py3.11.json"
    row = [[7.0] * len(variants), params, version, 1, 1.0]
    path.write_text(
        json.dumps(
            {
                "version": 2,
                "commit_hash": "0a" * 20,
                "date": 1,
                "env_name": "virtualenv-py3.11",
                "env_vars": {},
                "python": "3.11",
                "requirements": {},
                "params": {"machine": machine},
                "result_columns": ["result", "params", "version", "started_at", "duration"],
                "results": {name: row},
                "durations": {},
            }
        )
    )
    described = {"name": name, "version": version, "unit": "seconds", "type": "time",
                 "param_names": ["backend", "variant", "size"], "params": params}  # fmt: skip
    (directory / "benchmarks.json").write_text(json.dumps({name: described, "version": 2}))
    return path


def drawn(directory: Path, name: str = "heat.time") -> list[dict[str, Any]]:
    """Return the values that asv draws, by variant, for each result file that it reads."""
    config = Config.from_json({"repo": ".", "results_dir": str(directory)})
    benchmarks = Benchmarks.load(config)
    ((_, variants, _),) = [benchmarks[name]["params"]]
    return [
        dict(zip(variants, result.get_result_value(name, benchmarks[name]["params"]), strict=True))
        for result in iter_results(str(directory))
        if name in result.get_result_keys(benchmarks)
    ]


def test_values_of_both_are_in_one_graph(tmp_path: Path, history: Any, measured: Make) -> None:
    exported([measured(history, variant=v) for v in ("numba", "torch")], tmp_path)
    by_asv(tmp_path, ["block", "numba"])
    exported([measured(history, variant=v) for v in ("numba", "torch")], tmp_path)
    ours, theirs = sorted(drawn(tmp_path), key=str)
    # What was not run is n/a with us; asv calls what its own file does not name failed.
    assert str(ours.pop("'block'")) == "nan"
    assert ours == {"'numba'": 0.5, "'torch'": 0.5}
    assert theirs == {"'numba'": 7.0, "'torch'": None, "'block'": 7.0}


def test_numbers_of_both_are_in_numerical_order(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    by_asv(tmp_path, ["torch"])
    results = [measured(history, params={"size": size}) for size in (2, 1000)]
    exported(results, tmp_path)
    described = json.loads((tmp_path / "benchmarks.json").read_text())
    assert described["heat.time"]["params"] == [["'cpu'"], ["'torch'"], ["2", "10", "1000"]]
    values = [
        result.get_result_value("heat.time", described["heat.time"]["params"])
        for result in iter_results(str(tmp_path))
    ]
    assert sorted(map(str, values)) == ["[0.5, nan, 0.5]", "[None, 7.0, None]"]


def test_what_asv_measured_first_stays(tmp_path: Path, history: Any, measured: Make) -> None:
    content = by_asv(tmp_path, ["numba"]).read_bytes()
    exported([measured(history, variant="numba")], tmp_path)
    assert (tmp_path / "bench-1" / "0a0a0a0a-virtualenv-py3.11.json").read_bytes() == content
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    exported([measured(history, variant="numba")], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
    assert "virtualenv" not in (tmp_path / MARKER).read_text()


def test_a_benchmark_that_only_asv_has_measured_is_kept_as_asv_describes_it(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    by_asv(tmp_path, ["numba"], name="msrep.time")
    exported([measured(history)], tmp_path)
    assert drawn(tmp_path, "msrep.time") == [{"'numba'": 7.0}]
    assert drawn(tmp_path, "heat.time") == [{"'torch'": 0.5}]


def test_another_version_of_a_workload_is_kept_and_not_drawn(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    path = by_asv(tmp_path, ["block"], version="0")
    exported([measured(history)], tmp_path)
    assert path.is_file()
    assert drawn(tmp_path) == [{"'torch'": 0.5}]


def test_a_machine_that_is_exported_no_longer_keeps_what_asv_measured_on_it(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    exported([measured(history, facts={"machine": "gone"})], tmp_path)
    by_asv(tmp_path, ["torch"], machine="gone")
    for _ in range(2):
        exported([measured(history)], tmp_path)
    assert sorted(value["'torch'"] for value in drawn(tmp_path)) == [0.5, 7.0]


@pytest.mark.parametrize("content", ["{}", "[]", '{"results": {}}', "not json"])
def test_a_file_that_asv_did_not_write_either_is_refused(
    tmp_path: Path, history: Any, measured: Make, content: str
) -> None:
    by_asv(tmp_path, ["numba"]).write_text(content)
    with pytest.raises(Exception, match="was not written by `assay publish`"):
        exported([measured(history)], tmp_path)
