from __future__ import annotations

import itertools
import json
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.results import Results, iter_results
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_cell import CI_FLOOR, QUANTITIES, cell_of
from dashboards.asv_export import MARKER, export
from dashboards.asv_grid import MAX_SPREAD_CELLS, grid_of
from dashboards.asv_names import inert, literal, safe_name
from harness.errors import AssayError
from harness.records import Case, Measurement, Outcome, Result, Status, Work

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


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_asv_reads_the_median_per_item_its_samples_and_its_statistics(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    result = measured(history, seconds=2.0, items=4.0)
    export([result], tmp_path / "asv")
    (results,) = loaded(tmp_path / "asv")
    params = benchmarks_of(tmp_path / "asv")["heat.time"]["params"]
    expected = [value / 4 for value in result.measurements[0].values]
    (value,) = results.get_result_value("heat.time", params)
    (samples,) = results.get_result_samples("heat.time", params)
    (stats,) = results.get_result_stats("heat.time", params)
    assert value == pytest.approx(statistics.median(expected))
    assert samples == expected
    assert stats["repeat"] == 10
    assert stats["number"] == 3
    assert stats["q_25"] < value < stats["q_75"]
    assert stats["ci_99_a"] < value < stats["ci_99_b"]
    assert results.commit_hash == history.commits[0]
    assert results.date == history.times[0] * 1000
    assert results.started_at["heat.time"] == (history.times[0] + 100) * 1000


def test_a_peak_is_not_divided_by_the_items(tmp_path: Path, history: Any, measured: Make) -> None:
    export([measured(history, items=4.0)], tmp_path)
    assert list(values_of(tmp_path, "heat.peak_memory").values()) == [1.1e6]


def test_every_quantity_is_a_benchmark_with_its_unit_and_says_what_an_item_is(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    export([measured(history), measured(history, workload="msrep")], tmp_path)
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
    export(results, tmp_path)
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
    export(results, tmp_path)
    assert values_of(tmp_path, "heat.time")["'cpu'", "'numba'", "10"] is None


def test_an_absent_device_is_nan(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [measured(history), measured(history, backend="cuda", outcome=Outcome.SKIPPED)]
    export(results, tmp_path)
    value = values_of(tmp_path, "heat.time")["'cuda'", "'torch'", "10"]
    assert value is not None
    assert math.isnan(value)


def test_unavailable_energy_is_nan_and_the_reason_stands_in_the_description(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    export([measured(history)], tmp_path)
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
    value = cell_of(result, QUANTITIES[2]).value
    assert (value == 2.0) is exported


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_a_number_that_cannot_be_is_not_exported(history: Any, measured: Make, bad: float) -> None:
    time = Measurement("time", "s", "process", "clock", values=(1.0, bad))
    result = replace(measured(history), measurements=(time,))
    cell = cell_of(result, QUANTITIES[0])
    assert cell.value is not None
    assert math.isnan(cell.value)
    assert cell.samples == ()


@pytest.mark.parametrize("items", [0.0, -1.0, math.nan])
def test_a_value_per_no_items_is_not_exported(history: Any, measured: Make, items: float) -> None:
    cell = cell_of(replace(measured(history), work=Work(items=items)), QUANTITIES[0])
    assert cell.value is not None
    assert math.isnan(cell.value)


@given(
    samples=st.lists(st.floats(1e-9, 1e6), min_size=2, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_the_interval_holds_the_median_and_is_never_narrower_than_its_floor(
    samples: list[float],
) -> None:
    time = Measurement("time", "s", "process", "clock", values=tuple(samples))
    case = Case("heat", "1", "torch", "cpu", {})
    cell = cell_of(Result(case, Outcome.OK, measurements=(time,)), QUANTITIES[0])
    assert cell.value is not None
    assert cell.stats is not None
    low, high = cell.stats.ci_99_a, cell.stats.ci_99_b
    assert low is not None
    assert high is not None
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low <= cell.value * (1 - CI_FLOOR)
    assert high >= cell.value * (1 + CI_FLOOR)


@pytest.mark.parametrize("count", [4, 12])
def test_the_interval_covers_the_median_in_about_99_percent_of_all_cases(count: int) -> None:
    generator = random.Random(5)
    case = Case("heat", "1", "torch", "cpu", {})
    covered = 0
    for _ in range(1000):
        values = tuple(generator.gauss(100.0, 10.0) for _ in range(count))
        time = Measurement("time", "s", "process", "clock", values=values)
        stats = cell_of(Result(case, Outcome.OK, measurements=(time,)), QUANTITIES[0]).stats
        assert stats is not None
        assert stats.ci_99_a is not None
        assert stats.ci_99_b is not None
        covered += stats.ci_99_a <= 100.0 <= stats.ci_99_b
    # 99 % of 1000 with four standard deviations of the binomial to spare.
    assert covered >= 977


def test_one_sample_has_no_interval(history: Any, measured: Make) -> None:
    stats = cell_of(measured(history, samples=1), QUANTITIES[0]).stats
    assert stats is not None
    assert (stats.repeat, stats.ci_99_a, stats.ci_99_b) == (1, None, None)


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
    ]
    summary = export(results, tmp_path)
    assert summary.results == 1
    assert summary.left_out_lines() == [
        "3 results left out: the checkout was dirty",
        "2 results left out: no commit is known",
        "1 result left out: the commit's date is unknown",
        "1 result left out: the machine has no name",
    ]


def test_without_any_fit_result_the_former_export_stays(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    export([measured(history)], tmp_path / "asv")
    before = tree(tmp_path / "asv")
    with pytest.raises(AssayError, match=r"1 result left out: the checkout was dirty; commit"):
        export([measured(history, facts={"dirty": True})], tmp_path / "asv")
    assert tree(tmp_path / "asv") == before


def test_the_latest_result_of_a_case_wins(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [
        measured(history, seconds=4.0, started_at=1_700_000_300.0),
        measured(history, seconds=8.0, started_at=1_700_000_200.0),
    ]
    summary = export(results, tmp_path)
    assert list(values_of(tmp_path, "heat.time").values()) == [pytest.approx(1.0)]
    assert summary.left_out == {"a newer result of the same case is there": 1}


@pytest.mark.parametrize(("known", "seconds"), [({}, 4.0), ({"heat": "1"}, 8.0)])
def test_results_of_another_version_of_the_workload_drop_out(
    tmp_path: Path, history: Any, measured: Make, known: dict[str, str], seconds: float
) -> None:
    results = [
        measured(history, version="2", seconds=4.0, started_at=1_700_000_300.0),
        measured(history, version="1", seconds=8.0, started_at=1_700_000_200.0),
    ]
    summary = export(results, tmp_path, versions=known)
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
    summary = export(results, tmp_path)
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
    summary = export(results, tmp_path)
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
    export([measured(history, facts={"commit": twin}) for twin in twins], tmp_path)
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
    export(results, tmp_path / "first")
    for seed in range(5):
        random.Random(seed).shuffle(results)
        export(results, tmp_path / "next")
        assert tree(tmp_path / "next") == tree(tmp_path / "first")


def test_an_export_replaces_the_former_one_as_a_whole(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    export([measured(history, facts={"machine": "gone"})], tmp_path / "asv")
    export([measured(history)], tmp_path / "asv")
    assert {path.name for path in tmp_path.iterdir()} == {"asv"}
    assert not (tmp_path / "asv" / "gone").exists()
    assert (tmp_path / "asv" / MARKER).is_file()


@pytest.mark.parametrize("stranger", ["notes.txt", "bench-1/0a0a0a0a-env.json", "sub/deep/x"])
def test_files_of_others_are_never_deleted(
    tmp_path: Path, history: Any, measured: Make, stranger: str
) -> None:
    directory = tmp_path / "asv"
    export([measured(history)], directory)
    (directory / stranger).parent.mkdir(parents=True, exist_ok=True)
    (directory / stranger).write_text("mine")
    with pytest.raises(AssayError, match="was not written by `assay publish`"):
        export([measured(history)], directory)
    assert (directory / stranger).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, history: Any, measured: Make
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AssayError, match="cannot write"):
        export([measured(history)], tmp_path / "file" / "asv")


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
    "é" * 300,
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
    export([result], tmp_path / "asv")
    assert {path.name for path in tmp_path.iterdir()} == {"asv"}
    (file,) = loaded(tmp_path / "asv")
    (path,) = (tmp_path / "asv").rglob(f"{history.commits[0][:8]}-*.json")
    assert path.parent.parent == tmp_path / "asv"
    assert Results.load(str(path), machine_name=path.parent.name).params == file.params
    assert "<" not in (tmp_path / "asv" / "benchmarks.json").read_text()
    assert not any(character in path.read_text() for character in "<&")


@given(st.text(max_size=150), st.text(max_size=150))
@settings(max_examples=100, deadline=None)
def test_safe_names_are_safe_and_unlike_for_unlike_names(a: str, b: str) -> None:
    for name in (safe_name(a), safe_name(b)):
        assert name.replace(".", "").replace("-", "").replace("_", "").isalnum() or set(name) <= {
            *"._-"
        }
        assert name.isascii()
        assert 0 < len(name) <= 100
        assert name not in (".", "..")
        assert not name.startswith((".", "-"))
    assert (safe_name(a) == safe_name(b)) == (a == b)


@given(st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_literal_is_the_value_again_and_nothing_to_html(value: str | float | bool) -> None:
    text = literal(value)
    assert eval(text, {"inf": math.inf}) == value
    assert not set(text) & set("<>&")


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_inert_text_is_one_short_line_without_markup(text: str) -> None:
    line = inert(text)
    assert len(line) <= 100
    assert not set(line) & set("<>&\"'`\n\r\t")


params = st.fixed_dictionaries(
    {"rows": st.integers(0, 3) | st.floats(0, 2)},
    optional={"kind": st.sampled_from(["a", "b"]), "fast": st.booleans()},
)


def cases_of(grids: Sequence[tuple[str, str, dict[str, Any], int]]) -> list[Case]:
    return [Case("w", "1", variant, backend, own, seed) for variant, backend, own, seed in grids]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("vw"), st.sampled_from(["cpu", "arm"]), params, st.integers(0, 1)
        ),
        min_size=1,
        max_size=20,
    ),
    st.randoms(),
)
@settings(max_examples=100, deadline=None)
def test_unlike_cases_have_unlike_cells_and_their_order_does_not_matter(
    drawn: list[tuple[str, str, dict[str, Any], int]], shuffler: random.Random
) -> None:
    cases = list({case.key: case for case in cases_of(drawn)}.values())
    grid = grid_of(cases)
    cells = {case.key: grid.index(case) for case in cases}
    assert len(set(cells.values())) == len(cases)
    assert all(0 <= cell < grid.size for cell in cells.values())
    shuffler.shuffle(cases)
    again = grid_of(cases)
    assert again == grid
    assert {case.key: again.index(case) for case in cases} == cells


def test_a_product_of_mostly_empty_cells_becomes_one_axis() -> None:
    cases = [
        Case("w", "1", "v", "cpu", {f"p{i}": number if i == axis else 0 for i in range(4)})
        for axis in range(4)
        for number in range(1, 11)
    ]
    grid = grid_of(cases)
    assert grid.names == ("backend", "variant", "parameters")
    assert grid.size == len(cases) < MAX_SPREAD_CELLS
    assert grid.values[2][:2] == ("'p0=0 p1=0 p2=0 p3=1'", "'p0=0 p1=0 p2=0 p3=2'")
    assert sorted(grid.index(case) for case in cases) == list(range(len(cases)))


def test_a_workloads_parameter_may_be_called_like_one_of_ours() -> None:
    cases = [Case("w", "1", "v", "cpu", {"backend": value}) for value in ("inductor", "eager")]
    grid = grid_of(cases)
    assert grid.names == ("backend", "variant", "parameter backend")
    assert [grid.index(case) for case in cases] == [1, 0]


def test_more_combinations_than_a_dashboard_holds_are_refused() -> None:
    cases = [Case("w", "1", f"v{i}", f"b{i}", {"n": i}) for i in range(40)]
    with pytest.raises(AssayError, match="'w' has 64000 combinations"):
        grid_of(cases)


def test_no_number_but_nan_is_outside_json(tmp_path: Path, history: Any, measured: Make) -> None:
    results = [measured(history, samples=1), measured(history, variant="n", params={"x": math.inf})]
    export(results, tmp_path)

    def refuse(constant: str) -> float:
        assert constant == "NaN"
        return math.nan

    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)
