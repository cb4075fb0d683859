from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.results import Results, iter_results

from dashboards.asv_cell import QUANTITIES, cell_of
from dashboards.asv_export import MARKER, ExportSummary, export
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.records import Measurement, Outcome, Result, Status

Make = Callable[..., Result]


def loaded(directory: Path) -> list[Results]:
    return list(iter_results(str(directory)))


def benchmarks_of(directory: Path) -> dict[str, Any]:
    config = Config.from_json({"repo": ".", "results_dir": str(directory)})
    return dict(Benchmarks.load(config))


def values_of(directory: Path, benchmark: str) -> dict[tuple[str, ...], float | None]:
    """Return the values of one benchmark of the only result file, by their parameters."""
    (results,) = loaded(directory)
    params = benchmarks_of(directory)[benchmark]["params"]
    values = results.get_result_value(benchmark, params)
    return dict(zip(itertools.product(*params), values, strict=True))


def exported(results: Sequence[Result], directory: Path, **what: Any) -> ExportSummary:
    """Export results that are each of a run of their own."""
    return export(
        [CaseRun(f"{at:03}", (result,)) for at, result in enumerate(results)], directory, **what
    )


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_asv_reads_the_headline_per_item_its_processes_and_its_statistics(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    processes = [
        replace(measured(history, seconds=seconds, items=4.0), process=at)
        for at, seconds in enumerate((2.0, 2.02, 2.01))
    ]
    export([CaseRun("run", tuple(processes))], tmp_path / "asv")
    (results,) = loaded(tmp_path / "asv")
    params = benchmarks_of(tmp_path / "asv")["heat.time"]["params"]
    (value,) = results.get_result_value("heat.time", params)
    (samples,) = results.get_result_samples("heat.time", params)
    (stats,) = results.get_result_stats("heat.time", params)
    assert value == pytest.approx(2.01 / 4, rel=1e-5)
    assert samples == pytest.approx([2.0 / 4, 2.02 / 4, 2.01 / 4])
    assert stats["repeat"] == 3
    assert stats["number"] == 3
    assert stats["q_25"] < value < stats["q_75"]
    assert stats["ci_99_a"] < value < stats["ci_99_b"]
    assert results.commit_hash == history.commits[0]
    assert results.date == history.times[0] * 1000
    assert results.started_at["heat.time"] == (history.times[0] + 100) * 1000


def test_a_peak_is_not_divided_by_the_items(tmp_path: Path, history: Any, measured: Make) -> None:
    exported([measured(history, items=4.0)], tmp_path)
    assert list(values_of(tmp_path, "heat.peak_memory").values()) == [1.1e6]


def test_every_quantity_is_a_benchmark_with_its_unit_and_says_what_an_item_is(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    exported([measured(history), measured(history, workload="msrep")], tmp_path)
    found = benchmarks_of(tmp_path)
    assert {name: entry["unit"] for name, entry in found.items()} == {
        f"{workload}.{quantity}": unit
        for workload in ("heat", "msrep")
        for quantity, unit in [("time", "seconds"), ("peak_memory", "bytes"), ("energy", "joules")]
    }
    assert found["heat.time"]["pretty_name"] == "heat time per interaction"
    assert found["heat.peak_memory"]["pretty_name"] == "heat peak memory"


def test_parameters_are_literals_of_all_results_and_the_last_runs_fastest(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    results = [
        measured(history, variant=variant, params={"rows": rows, "kind": "road"}, seconds=seconds)
        for variant, rows, seconds in [("scipy", 10, 1.0), ("numba", 9, 2.0), ("numba", 10, 3.0)]
    ]
    exported(results, tmp_path)
    entry = benchmarks_of(tmp_path)["heat.time"]
    assert entry["param_names"] == ["backend", "variant", "rows", "kind"]
    assert entry["params"] == [["'cpu'"], ["'numba'", "'scipy'"], ["9", "10"], ["'road'"]]
    values = list(values_of(tmp_path, "heat.time").values())
    assert values[0] == pytest.approx(0.5)
    assert values[1] == pytest.approx(0.75)
    assert values[2] is not None
    assert math.isnan(values[2])
    assert values[3] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "outcome", [Outcome.FAILED, Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT]
)
def test_a_case_that_ended_badly_is_null(
    tmp_path: Path, history: Any, measured: Make, outcome: Outcome
) -> None:
    results = [measured(history), measured(history, variant="numba", outcome=outcome)]
    exported(results, tmp_path)
    assert values_of(tmp_path, "heat.time")["'cpu'", "'numba'", "10"] is None


def test_an_absent_device_is_nan(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [measured(history), measured(history, backend="cuda", outcome=Outcome.SKIPPED)]
    exported(results, tmp_path)
    value = values_of(tmp_path, "heat.time")["'cuda'", "'torch'", "10"]
    assert value is not None
    assert math.isnan(value)


def test_unavailable_energy_is_nan_and_the_reason_stands_in_the_description(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    exported([measured(history)], tmp_path)
    (value,) = values_of(tmp_path, "heat.energy").values()
    assert value is not None
    assert math.isnan(value)
    assert "no powercap here; run on bare metal" in benchmarks_of(tmp_path)["heat.energy"]["code"]


@pytest.mark.parametrize(
    ("status", "exported"),
    [(Status.MEASURED, True), (Status.INTEGRATED, True), (Status.MODELLED, False)],
)
def test_only_energy_that_was_read_is_exported(
    history: Any, measured: Make, status: Status, exported: bool
) -> None:
    energy = Measurement("energy", "J", "package", "any", values=(8.0, 8.0), status=status)
    result = replace(measured(history, items=4.0), measurements=(energy,))
    value = cell_of(CaseRun("run", (result,)), QUANTITIES[2]).value
    assert (value == 2.0) is exported


def test_results_without_a_clean_commit_are_left_out_and_counted(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    results = [
        measured(history),
        measured(history, facts={"dirty": True}, variant="a"),
        measured(history, facts={"dirty": True}, variant="b"),
        measured(history, facts={"dirty": None}, variant="c"),
        measured(history, facts={"commit": None}),
        measured(history, facts={"commit": "../../etc/passwd"}),
        measured(history, facts={"commit_time": None}),
        measured(history, facts={"machine": ""}),
        replace(measured(history, variant="d"), flags=("impossible",)),
    ]
    summary = exported(results, tmp_path)
    assert summary.results == 1
    assert summary.left_out_lines() == [
        "3 results left out: the checkout was dirty",
        "2 results left out: no commit is known",
        "1 result left out: it is beyond its ceiling, and so impossible",
        "1 result left out: the commit's date is unknown",
        "1 result left out: the machine has no name",
    ]


def test_without_any_fit_result_the_former_export_stays(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    exported([measured(history)], tmp_path / "asv")
    before = tree(tmp_path / "asv")
    with pytest.raises(AssayError, match=r"1 result left out: the checkout was dirty; commit"):
        exported([measured(history, facts={"dirty": True})], tmp_path / "asv")
    assert tree(tmp_path / "asv") == before


def test_the_latest_result_of_a_case_wins(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [
        measured(history, seconds=4.0, started_at=1_700_000_300.0),
        measured(history, seconds=8.0, started_at=1_700_000_200.0),
    ]
    summary = exported(results, tmp_path)
    assert list(values_of(tmp_path, "heat.time").values()) == [pytest.approx(1.0)]
    assert summary.left_out == {"a newer result of the same case is there": 1}


def test_a_skip_does_not_undo_what_was_measured(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    result = measured(history, seconds=1.0, items=1.0)
    skipped = replace(
        result, outcome=Outcome.SKIPPED, measurements=(), started_at=result.started_at + 1
    )
    exported([result, skipped], tmp_path / "asv")
    assert list(values_of(tmp_path / "asv", f"{result.case.workload}.time").values()) == [1.0]


def test_other_settings_have_a_series_of_their_own(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    default = measured(history, seconds=1.0)
    pinned = measured(history, seconds=2.0, facts={"settings": {"threads": 1}})
    exported([default, pinned], tmp_path / "asv")
    names = {results.env_name for results in loaded(tmp_path / "asv")}
    assert len(names) == 2
    assert any(name.endswith("-threads1") for name in names)


@pytest.mark.parametrize(("known", "seconds"), [({}, 4.0), ({"heat": "1"}, 8.0)])
def test_results_of_another_version_of_the_workload_drop_out(
    tmp_path: Path, history: Any, measured: Make, known: dict[str, str], seconds: float
) -> None:
    results = [
        measured(history, version="2", seconds=4.0, started_at=1_700_000_300.0),
        measured(history, version="1", seconds=8.0, started_at=1_700_000_200.0),
    ]
    summary = exported(results, tmp_path, versions=known)
    assert list(values_of(tmp_path, "heat.time").values()) == [pytest.approx(seconds / 4)]
    (reason,) = summary.left_out
    assert reason.startswith("workload heat is at version")


def test_two_processors_under_one_machine_name_are_not_mixed(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    other = {"cpu": {"model": "Other CPU", "architecture": "x86_64", "logical_cpus": 64}}
    results = [
        measured(history, started_at=1_700_000_300.0),
        measured(history, facts=other, variant="numba", started_at=1_700_000_200.0),
    ]
    summary = exported(results, tmp_path)
    assert summary.left_out == {"another processor has the same machine name": 1}
    (file,) = loaded(tmp_path)
    assert file.params["cpu"] == "Example CPU @ 2.0GHz"


def test_machines_commits_and_environments_have_files_of_their_own(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    newer = {"packages": {"numpy": "2.5.0"}}
    results = [
        measured(history, 0),
        measured(history, 1),
        measured(history, 1, facts=newer),
        measured(history, 1, facts={"machine": "bench-2"}),
    ]
    summary = exported(results, tmp_path)
    assert summary.machines == ("bench-1", "bench-2")
    assert set(summary.commits) == set(history.commits[:2])
    files = loaded(tmp_path)
    assert len({(f.params["machine"], f.commit_hash, f.env_name) for f in files}) == 4
    # asv averages results whose parameters are equal, so the environment is one of them.
    assert all(file.params["environment"] == file.env_name for file in files)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")}
    assert f"bench-2/{history.commits[1][:8]}-py3.11-numpy2.4.0-numba0.68.1.json" in names
    assert "bench-2/machine.json" in names


def test_two_commits_that_begin_alike_keep_their_files(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    twins = ["0123abcd" + "e" * 32, "0123abcd" + "f" * 32]
    exported([measured(history, facts={"commit": twin}) for twin in twins], tmp_path)
    assert sorted(file.commit_hash for file in loaded(tmp_path)) == twins


def assorted(history: Any, measured: Make) -> list[Result]:
    return [
        measured(
            history,
            at,
            facts={"machine": machine},
            variant=variant,
            params=params,
            started_at=1_700_000_000.0 + 10 * at + len(variant),
        )
        for at in range(3)
        for machine in ("bench-1", "bench-2")
        for variant in ("torch", "numba")
        for params in ({"rows": 9, "kind": "a"}, {"rows": 10}, {"kind": "b", "rows": 10})
    ]


def test_the_order_of_the_results_does_not_matter(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    results = assorted(history, measured)
    exported(results, tmp_path / "first")
    for seed in range(5):
        random.Random(seed).shuffle(results)
        exported(results, tmp_path / "next")
        assert tree(tmp_path / "next") == tree(tmp_path / "first")


def test_an_export_replaces_the_former_one_as_a_whole(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    exported([measured(history, facts={"machine": "gone"})], tmp_path / "asv")
    exported([measured(history)], tmp_path / "asv")
    assert {path.name for path in tmp_path.iterdir()} == {"asv"}
    assert not (tmp_path / "asv" / "gone").exists()
    assert (tmp_path / "asv" / MARKER).is_file()


@pytest.mark.parametrize("stranger", ["notes.txt", "bench-1/0a0a0a0a-env.json", "sub/deep/x"])
def test_files_of_others_are_never_deleted(
    tmp_path: Path, history: Any, measured: Make, stranger: str
) -> None:
    directory = tmp_path / "asv"
    exported([measured(history)], directory)
    (directory / stranger).parent.mkdir(parents=True, exist_ok=True)
    (directory / stranger).write_text("mine")
    with pytest.raises(AssayError, match="was not written by `assay publish`"):
        exported([measured(history)], directory)
    assert (directory / stranger).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AssayError, match="cannot write"):
        exported([measured(history)], tmp_path / "file" / "asv")


HOSTILE = [
    "../../escape",
    "/etc",
    "..",
    ".",
    "",
    "a/b",
    "a b",
    "benchmarks.json",
    "<b>&",
    "\0",
    "機" * 300,
]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_hostile_names_stay_in_the_folder_and_load(
    tmp_path: Path, history: Any, measured: Make, name: str
) -> None:
    facts = {"machine": name, "python": name, "packages": {"numpy": name}}
    cpu = {"model": f"<img src=x>{name}", "architecture": name, "logical_cpus": None}
    result = measured(
        history, facts={**facts, "cpu": cpu}, workload=name, variant=name, params={name: name}
    )
    exported([result], tmp_path / "asv")
    assert {path.name for path in tmp_path.iterdir()} == {"asv"}
    (file,) = loaded(tmp_path / "asv")
    (path,) = (tmp_path / "asv").rglob(f"{history.commits[0][:8]}-*.json")
    assert path.parent.parent == tmp_path / "asv"
    assert Results.load(str(path), machine_name=path.parent.name).params == file.params
    # asv names folders so, of at most 255 bytes.
    assert all(len(f"{key}-{value}".encode()) < 256 for key, value in file.params.items())
    assert "<" not in (tmp_path / "asv" / "benchmarks.json").read_text()
    assert not any(character in path.read_text() for character in "<&")


def test_no_number_but_nan_is_outside_json(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [measured(history, samples=1), measured(history, variant="n", params={"x": math.inf})]
    exported(results, tmp_path)

    def refuse(constant: str) -> float:
        assert constant == "NaN"
        return math.nan

    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)
