"""What pyperf saves becomes one result a process, warm-ups and peak apart from the times."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.errors import AssayError
from harness.frame import results_frame
from harness.importing import import_files
from harness.records import Result


def imported(root: Path, *files: Path) -> list[Result]:
    import_files(files, root)
    return [stored.result for stored in store.read(root).results]


def runs_of(file: Path) -> list[dict[str, Any]]:
    [benchmark] = json.loads(file.read_text())["benchmarks"]
    runs: list[dict[str, Any]] = benchmark["runs"]
    return runs


def changed(file: Path, place: Path, **metadata: Any) -> Path:
    value = json.loads(file.read_text())
    value["metadata"] |= metadata
    place.write_text(json.dumps(value))
    return place


def test_every_run_with_values_is_a_process(pyperf_file: Path, tmp_path: Path) -> None:
    results = imported(tmp_path, pyperf_file)
    runs = runs_of(pyperf_file)
    measured = [run for run in runs if "values" in run]
    assert len(runs) > len(measured) == len(results) == 3
    assert [result.process for result in results] == [0, 1, 2]
    assert [list(result.measurements[0].values) for result in results] == [
        run["values"] for run in measured
    ]
    assert {result.case.key for result in results} == {results[0].case.key}
    assert results[0].case.params == {"benchmark": "sum"}
    assert results[0].case.workload == "pyperf"


def test_steps_are_the_loops_and_the_repetitions_in_them(pyperf_file: Path, tmp_path: Path) -> None:
    metadata = json.loads(pyperf_file.read_text())["metadata"]
    assert metadata["inner_loops"] == 2
    for result in imported(tmp_path, pyperf_file):
        assert result.measurements[0].steps_per_sample == metadata["loops"] * 2


def test_warm_ups_and_the_largest_size_of_the_process_are_quantities_of_their_own(
    pyperf_file: Path, tmp_path: Path
) -> None:
    [run, *_] = [run for run in runs_of(pyperf_file) if "values" in run]
    result = imported(tmp_path, pyperf_file)[0]
    time, warm_up, peak = result.measurements
    assert (time.quantity, warm_up.quantity, peak.quantity) == ("time", "warm_up", "max_rss")
    assert list(warm_up.values) == [value for _, value in run["warmups"]]
    shared = json.loads(pyperf_file.read_text())["metadata"]  # what all processes have alike
    assert peak.values == ({**shared, **run["metadata"]}["mem_max_rss"],)
    assert peak.flags == ("whole_process",)
    frame = results_frame(tmp_path)
    assert (frame[frame["quantity"] == "time"].groupby("process").size() == 2).all()


def test_the_environment_is_the_files(pyperf_file: Path, tmp_path: Path) -> None:
    metadata = json.loads(pyperf_file.read_text())["metadata"]
    result = imported(tmp_path, pyperf_file)[0]
    facts = result.environment
    assert facts["machine"] == metadata["hostname"]
    assert facts["cpu"]["model"] == metadata.get("cpu_model_name")
    assert facts["kernel"] in metadata["platform"]
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["commit"] is None
    assert facts["dirty"] is None
    assert result.inputs["timeit_stmt"] == "'sum(x)'"
    assert result.flags == ("imported",)
    assert result.verification is None


def test_a_packed_file_is_read_and_known_as_the_same(pyperf_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "sum.json.gz"
    packed.write_bytes(gzip.compress(pyperf_file.read_bytes()))
    first = import_files([packed], tmp_path / "results")
    assert [(one.cases, one.results) for one in first.runs] == [(1, 3)]
    again = import_files([pyperf_file], tmp_path / "results")
    assert again.runs == ()
    assert again.known == {str(pyperf_file): first.runs[0].run}


def test_only_what_was_appended_is_new(pyperf_file: Path, tmp_path: Path) -> None:
    import_files([pyperf_file], tmp_path / "results")
    value = json.loads(pyperf_file.read_text())
    appended = {"values": [1.0, 2.0], "metadata": {"date": "2030-01-01 00:00:00"}}
    value["benchmarks"][0]["runs"].append(appended)
    longer = tmp_path / "longer.json"
    longer.write_text(json.dumps(value))
    report = import_files([longer], tmp_path / "results")
    assert [one.results for one in report.runs] == [1]
    assert report.known == {}


def test_bytes_are_a_peak_and_no_time(pyperf_file: Path, tmp_path: Path) -> None:
    file = changed(pyperf_file, tmp_path / "memory.json", unit="byte")
    result = imported(tmp_path / "results", file)[0]
    assert [(one.quantity, one.unit) for one in result.measurements] == [("peak_memory", "B")]


def test_pyperfs_own_measure_of_memory_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    subprocess.run(
        [sys.executable, "-m", "pyperf", "timeit", "--track-memory", "--processes=2", "--values=1",
         "--loops=1", "--name=space", f"--output={file}", "bytearray(10**7)"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    results = imported(tmp_path / "results", file)
    for result in results:
        assert [(one.quantity, one.unit) for one in result.measurements] == [("peak_memory", "B")]
        assert result.measurements[0].values[0] > 1e6


def test_a_peak_measured_apart_is_not_mixed_with_that_of_the_timed_processes(
    pyperf_file: Path, tmp_path: Path
) -> None:
    memory = changed(pyperf_file, tmp_path / "memory.json", unit="byte")
    value = json.loads(memory.read_text())
    for benchmark in value["benchmarks"]:
        for run in benchmark["runs"]:
            run["values"] = [1e6 for _ in run.get("values", ())]
    memory.write_text(json.dumps(value))
    results = imported(tmp_path / "results", pyperf_file, memory)
    assert len({result.case.key for result in results}) == 1
    peaks = [m for result in results for m in result.measurements if m.quantity == "peak_memory"]
    assert len(peaks) == 3
    assert {value for peak in peaks for value in peak.values} == {1e6}


def timed(folder: Path, *what: str) -> Path:
    """Run pyperf and give no name to what it measures."""
    file = folder / f"{len(list(folder.iterdir()))}.json"
    sizes = ("--processes=1", "--values=1", "--warmups=0", "--loops=1")
    subprocess.run(
        [sys.executable, "-m", "pyperf", what[0], *sizes, f"--output={file}", *what[1:]],
        check=True,
        capture_output=True,
    )
    return file


def test_benchmarks_without_a_name_are_told_apart_by_what_they_run(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    files = [
        timed(tmp_path / "files", "timeit", "sum([1, 2])"),
        timed(tmp_path / "files", "timeit", "--setup=x = [1]", "sum(x)"),
        timed(tmp_path / "files", "command", sys.executable, "-c", "bytearray(10**8)"),
    ]
    results = imported(tmp_path / "results", *files)
    assert {result.case.params["benchmark"]: result.process for result in results} == {
        "timeit 'sum([1, 2])'": 0,
        "timeit --setup 'x = [1]' 'sum(x)'": 0,
        f"command {sys.executable} -c 'bytearray(10**8)'": 0,
    }


def test_the_peak_of_a_command_is_the_commands(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    command = (sys.executable, "-c", "bytearray(10**8)")
    [result] = imported(tmp_path / "r", timed(tmp_path / "files", "command", *command))
    peaks = [one for one in result.measurements if one.quantity == "peak_memory"]
    assert [one.flags for one in peaks] == [("whole_process",)]
    assert 1e8 < peaks[0].values[0] < 2e8


def test_cpus_that_a_process_was_bound_to_are_settings(pyperf_file: Path, tmp_path: Path) -> None:
    file = changed(pyperf_file, tmp_path / "bound.json", cpu_affinity="1")
    bound = imported(tmp_path / "bound", file)[0].environment
    free = imported(tmp_path / "free", pyperf_file)[0].environment
    assert bound["settings"] == {"cpu_affinity": "1"}
    assert bound["id"] != free["id"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"unit": "furlong"}, "unit 'furlong' is not known"),
        ({"name": None}, "a benchmark has no name"),
        ({"loops": "many"}, "Expected `int`, got `str`"),
        ({"loops": 0}, "0 steps a sample"),
        ({"hostname": ["a"]}, r"Expected `str \| null`, got `array`"),
        ({"timeit_stmt": "\ud800"}, "cannot be stored"),
    ],
)
def test_what_pyperf_does_not_write_is_refused(
    pyperf_file: Path, tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    file = changed(pyperf_file, tmp_path / "file.json", **metadata)
    with pytest.raises(AssayError, match=message):
        import_files([file], tmp_path / "results")


def test_an_older_form_is_refused_with_the_command_that_converts_it(
    pyperf_file: Path, tmp_path: Path
) -> None:
    value = json.loads(pyperf_file.read_text())
    file = tmp_path / "old.json"
    file.write_text(json.dumps({**value, "version": 6}))
    with pytest.raises(AssayError, match="`python -m pyperf convert FILE -o NEW`"):
        import_files([file], tmp_path / "results")
