"""What pytest-benchmark saves becomes cases whose names and numbers are those of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

from harness import store
from harness.errors import AssayError
from harness.importing import import_files
from harness.records import Result


class Suite(Protocol):
    folder: Path
    commit: str
    whole: Path
    summary: Path

    def changed(self, place: Path, **facts: Any) -> Path: ...


def imported(root: Path, *files: Path, workload: str | None = None) -> list[Result]:
    import_files(files, root, workload=workload)
    return [stored.result for stored in store.read(root).results]


def named(results: list[Result], benchmark: str, **params: object) -> Result:
    wanted = {"benchmark": benchmark, **params}
    [found] = [result for result in results if wanted.items() <= result.case.params.items()]
    return found


def saved(suite: Suite) -> dict[str, Any]:
    tests: list[dict[str, Any]] = json.loads(suite.whole.read_text())["benchmarks"]
    return {test["fullname"]: test for test in tests}


def test_every_round_of_a_test_is_a_sample_of_one_call(suite: Suite, tmp_path: Path) -> None:
    results = imported(tmp_path, suite.whole)
    stats = saved(suite)["tests/test_speed.py::test_total[list-10]"]["stats"]
    found = named(results, "tests/test_speed.py::test_total", kind="list", rows=10)
    [time] = found.measurements
    assert list(time.values) == stats["data"]
    assert len(time.values) == stats["rounds"] > 5
    assert (time.quantity, time.unit, time.phase) == ("time", "s", "steady")
    assert time.steps_per_sample == stats["iterations"] > 1
    assert found.work is not None
    assert (found.work.items, found.work.item) == (1, "call")


def test_parametrised_tests_are_cases_of_their_parameters(suite: Suite, tmp_path: Path) -> None:
    results = imported(tmp_path, suite.whole)
    assert {result.case.workload for result in results} == {"parsers"}
    total = [
        dict(result.case.params)
        for result in results
        if result.case.params["benchmark"] == "tests/test_speed.py::test_total"
    ]
    for kind in ("list", "None"):
        for rows in (10, 1000):
            case = {"benchmark": "tests/test_speed.py::test_total", "kind": kind, "rows": rows}
            assert case in total
    assert len(total) == 4


def test_a_parameter_that_is_no_scalar_is_named_as_pytest_names_it(
    suite: Suite, tmp_path: Path
) -> None:
    results = imported(tmp_path, suite.whole)
    opaque = {
        result.case.params["param"]
        for result in results
        if result.case.params["benchmark"] == "tests/test_speed.py::test_opaque"
    }
    # Not its address, which would be another case in every process.
    assert opaque == {"thing0", "thing1"}


def test_the_tests_of_a_group_are_variants_of_one_benchmark(suite: Suite, tmp_path: Path) -> None:
    results = imported(tmp_path, suite.whole)
    variants = {
        result.case.variant: result
        for result in results
        if result.case.params == {"benchmark": "sorting"}
    }
    assert set(variants) == {"test_sorted", "test_pedantic"}
    assert variants["test_pedantic"].measurements[0].steps_per_sample == 4
    others = {result.case.variant for result in results} - set(variants)
    assert others == {"default"}


def test_tests_of_one_name_in_a_group_are_told_apart_by_their_place(
    suite: Suite, tmp_path: Path
) -> None:
    tests = list(saved(suite).values())
    twin = {**tests[-1], "fullname": "tests/test_other.py::test_pedantic", "name": "test_pedantic"}
    file = suite.changed(tmp_path / "file.json", benchmarks=[*tests, twin])
    variants = {result.case.variant for result in imported(tmp_path / "results", file)}
    assert variants == {
        "default",
        "test_sorted",
        "tests/test_speed.py::TestSorting::test_pedantic",
        "tests/test_other.py::test_pedantic",
    }


def test_nothing_is_told_that_the_file_does_not_tell(suite: Suite, tmp_path: Path) -> None:
    result = imported(tmp_path, suite.whole)[0]
    machine = json.loads(suite.whole.read_text())["machine_info"]
    facts = result.environment
    assert facts["machine"] == machine["node"]
    assert facts["cpu"]["model"] == machine["cpu"]["brand_raw"]
    assert facts["cpu"]["architecture"] == machine["machine"]
    assert facts["python"] == machine["python_version"]
    assert (facts["commit"], facts["dirty"]) == (suite.commit, False)
    assert facts["commit_time"] == 1_700_000_000
    assert result.case.backend == {"x86_64": "cpu", "aarch64": "arm"}[machine["machine"]]
    unknown = ("memory_bytes", "hypervisor", "source_digest")
    assert [facts[name] for name in unknown] == [None, None, None]
    assert list(facts["packages"]) == ["pytest-benchmark"]
    assert result.verification is None
    assert result.flags == ("imported",)


def test_extra_info_is_kept_as_facts_of_the_input(suite: Suite, tmp_path: Path) -> None:
    results = imported(tmp_path, suite.whole)
    found = named(results, "tests/test_speed.py::test_total", kind="list", rows=1000)
    assert found.inputs == {"rows": 1000}


def test_a_save_without_rounds_gives_their_median_and_says_so(suite: Suite, tmp_path: Path) -> None:
    results = imported(tmp_path, suite.summary)
    found = named(results, "tests/test_speed.py::test_total", kind="list", rows=10)
    stats = saved(suite)["tests/test_speed.py::test_total[list-10]"]["stats"]
    assert found.measurements[0].values == (stats["median"],)
    assert found.flags == ("imported", "summary_only")
    assert found.counters == {"rounds": stats["rounds"]}


def test_a_file_with_rounds_wins_over_a_save_of_the_same_session(
    suite: Suite, tmp_path: Path
) -> None:
    results = imported(tmp_path, suite.summary, suite.whole)
    assert len(results) == len(saved(suite))
    assert all(result.flags == ("imported",) for result in results)


def test_another_python_is_another_environment(suite: Suite, tmp_path: Path) -> None:
    machine = json.loads(suite.whole.read_text())["machine_info"]
    tests = list(saved(suite).values())[:1]
    tests[0]["stats"]["mean"] *= 2
    file = suite.changed(
        tmp_path / "pypy.json",
        machine_info={**machine, "python_implementation": "PyPy"},
        benchmarks=tests,
    )
    results = imported(tmp_path / "results", file, suite.whole)
    pypy = [one for one in results if one.environment["settings"] == {"implementation": "PyPy"}]
    assert len(pypy) == 1
    assert pypy[0].environment["id"] not in {
        one.environment["id"] for one in results if one is not pypy[0]
    }


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"benchmarks": []}, "it holds no benchmark"),
        ({"benchmarks": [{"name": "x"}]}, "missing required field `fullname`"),
        ({"machine_info": {"node": 3}}, r"Expected `str \| null`, got `int`"),
        ({"benchmarks": 3}, "Expected `array`"),
    ],
)
def test_what_pytest_benchmark_does_not_write_is_refused(
    suite: Suite, tmp_path: Path, facts: dict[str, Any], message: str
) -> None:
    file = suite.changed(tmp_path / "file.json", **facts)
    with pytest.raises(AssayError, match=message) as refusal:
        import_files([file], tmp_path / "results")
    assert "give a file of `pytest --benchmark-json FILE`" in str(refusal.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stats": {"rounds": 1, "median": -1.0}}, "has a negative time"),
        ({"stats": {"rounds": 1, "median": 1e300}}, r"a value of time is 1e\+300"),
        ({"stats": {"rounds": 1, "median": None}}, "Expected `float`"),
        ({"stats": {"rounds": 1, "median": 1.0, "iterations": 0}}, "0 steps a sample"),
        ({"stats": {"rounds": 1, "median": 1.0, "data": ["1"]}}, "Expected `float`"),
        ({"extra_info": {"text": "\ud800"}}, "cannot be stored"),
        ({"extra_info": {"text": "x" * 100_000}}, "tells over 64 KiB beside its samples"),
        ({"extra_info": {"a": [[[[[[[[[1]]]]]]]]]}}, "nest over 8 levels"),
        ({"params": {f"p{n}": "x" * 900 for n in range(100)}}, "over 64 KiB beside its samples"),
        ({"stats": {"rounds": 2**70, "median": 1.0}}, "Expected `int`"),
        ({"params": {"text": "x" * 2000}}, "longer than 1000 characters"),
        ({"params": {"text": "\ud800"}}, "cannot be stored"),
    ],
)
def test_what_cannot_have_been_measured_or_be_stored_is_refused(
    suite: Suite, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    test = {**next(iter(saved(suite).values())), **change}
    file = suite.changed(tmp_path / "file.json", benchmarks=[test])
    with pytest.raises(AssayError, match=message):
        import_files([file], tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_one_test_twice_in_a_file_is_refused(suite: Suite, tmp_path: Path) -> None:
    tests = list(saved(suite).values())
    file = suite.changed(tmp_path / "file.json", benchmarks=[*tests, tests[0]])
    with pytest.raises(AssayError, match="twice"):
        import_files([file], tmp_path / "results")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1" + "0" * 30, "1" + "0" * 30),
        ("1e400", "1e400"),
        ("Infinity", "Infinity"),
        ("NaN", "NaN"),
    ],
)
def test_a_parameter_beyond_64_bits_keeps_its_text(
    suite: Suite, tmp_path: Path, number: str, text: str
) -> None:
    test = next(iter(saved(suite).values()))
    changes = {"params": {"n": 123454321}, "extra_info": {"n": 123454321}}
    file = suite.changed(tmp_path / "file.json", benchmarks=[{**test, **changes}])
    file.write_text(file.read_text().replace("123454321", number))
    [result] = imported(tmp_path / "results", file)
    assert result.case.params["n"] == text
    assert result.inputs == {"n": text}


def test_tests_with_equal_parameters_are_told_apart_by_pytests_own_name(
    suite: Suite, tmp_path: Path
) -> None:
    test = next(iter(saved(suite).values()))
    node = test["fullname"].removesuffix(f"[{test['param']}]")
    tests = [
        {**test, "params": {"x": x}, "param": param, "fullname": f"{node}[{param}]"}
        for x, param in ((None, "None0"), ("None", "None1"), (1, "a"), (1, "b"), (2, "2"))
    ]
    file = suite.changed(tmp_path / "file.json", benchmarks=tests)
    params = [result.case.params for result in imported(tmp_path / "results", file)]
    own = [{key: one for key, one in each.items() if key != "benchmark"} for each in params]
    assert sorted(own, key=str) == [
        {"param": "None0"}, {"param": "None1"}, {"param": "a"}, {"param": "b"}, {"x": 2},
    ]  # fmt: skip


def test_another_timer_than_the_clock_is_flagged_and_named(suite: Suite, tmp_path: Path) -> None:
    [first, second, *_] = saved(suite).values()
    other = {**first, "options": {**first["options"], "timer": "process_time"}}
    file = suite.changed(tmp_path / "file.json", benchmarks=[other, second])
    results = imported(tmp_path / "results", file)
    assert {(one.flags, one.measurements[0].meter) for one in results} == {
        (("imported", "other_timer"), "pytest-benchmark process_time"),
        (("imported",), "pytest-benchmark"),
    }


def test_a_tests_own_parameter_called_benchmark_keeps_its_value(
    suite: Suite, tmp_path: Path
) -> None:
    test = next(iter(saved(suite).values()))
    file = suite.changed(
        tmp_path / "file.json", benchmarks=[{**test, "params": {"benchmark": "mine"}}]
    )
    [result] = imported(tmp_path / "results", file)
    assert result.case.params["parameter benchmark"] == "mine"
    assert result.case.params["benchmark"] != "mine"
