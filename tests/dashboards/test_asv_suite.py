"""asv's own commands on a small project that registers a workload and a device with Assay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.asv_cell import QUANTITIES
from dashboards.asv_export import export
from dashboards.asv_suite import make_benchmarks
from dashboards.asv_suite_kind import REPEAT
from dashboards.asv_suite_run import CaseFailedError, Samples, measure
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.plan import Plan, PlannedCase, Selection, plan
from harness.records import Measurement, Outcome, Result, Work
from harness.registry import Registry

ROOT = Path(__file__).parents[2]
TIME, MEMORY, ENERGY = QUANTITIES

PROJECT = """
from harness.testing.fakes import FakeBackend, FakeWorkload

SLOWER = 1.0


class Toy(FakeWorkload):
    def step(self, state):
        super().step(state)
        state.device.clock.advance((SLOWER - 1) * state.step_s)


WANTED = ("exact", "wrong", "needs-unicorn")
WORKLOAD = Toy(name="toy", variants=[v for v in FakeWorkload().variants if v.name in WANTED])
BACKEND = FakeBackend()
"""
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "toy"
version = "1"
[tool.setuptools]
py-modules = ["toy"]
[project.entry-points."assay.workloads"]
toy = "toy:WORKLOAD"
[project.entry-points."assay.backends"]
fake = "toy:BACKEND"
"""
EXACT = r"\('fake', 'exact', 0.5,"

Asv = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git project of two commits, the second of which takes twice as long."""
    folder = tmp_path / "toy"
    (folder / "benchmarks").mkdir(parents=True)
    settings = json.dumps(
        {
            "version": 1,
            "project": "toy",
            "repo": ".",
            "branches": ["HEAD"],
            "environment_type": "virtualenv",
            "benchmark_dir": "benchmarks",
            "results_dir": ".asv/results",
            "html_dir": ".asv/html",
            "env_dir": ".asv/env",
            "plugins": [".dashboards.publisher"],
            "build_command": [
                "python -m pip wheel --no-deps --no-build-isolation -w {build_cache_dir} "
                "{build_dir}"
            ],
            "install_command": [
                "in-dir={env_dir} python -m pip install --no-deps --force-reinstall {wheel_file}"
            ],
        }
    )
    texts = {
        "toy.py": PROJECT,
        "pyproject.toml": PYPROJECT,
        "asv.conf.json": settings,
        "benchmarks/__init__.py": "from dashboards.suite import *\n",
        ".gitignore": ".asv/\nbuild/\n*.egg-info/\n__pycache__/\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "first")
    (folder / "toy.py").write_text(PROJECT.replace("SLOWER = 1.0", "SLOWER = 2.0"))
    git(folder, "commit", "--quiet", "--all", "-m", "second")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)


@pytest.fixture
def asv(project: Path, tmp_path: Path) -> Asv:
    """Run asv in the project, without a network, with this environment's packages in its own."""
    # asv removes the folders of PYTHONPATH from its benchmarks' search path, as they are spelled.
    packages = [f"{ROOT}/", f"{sysconfig.get_path('purelib')}/"]
    registered = tmp_path / "registered"
    info = registered / "toy-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[assay.workloads]\ntoy = toy:WORKLOAD\n[assay.backends]\nfake = toy:BACKEND\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    (home / ".asv-machine.json").write_text(
        '{"box": {"machine": "box", "os": "", "arch": "", "cpu": "", "num_cpu": "1", "ram": ""},'
        ' "version": 1}'
    )

    def run(*arguments: str, existing: bool = True) -> subprocess.CompletedProcess[str]:
        extra = [f"{project}/", f"{registered}/"] if existing else []
        path = os.pathsep.join([*extra, *packages])
        return subprocess.run(
            [sys.executable, "-m", "asv", *arguments],
            cwd=project,
            env={
                **os.environ,
                "HOME": str(home),
                "PYTHONPATH": path,
                "ASV_PYTHONPATH": path,
                "PIP_NO_INDEX": "1",
                "PIP_CONFIG_FILE": os.devnull,
            },
            capture_output=True,
            text=True,
            timeout=500,
        )

    return run


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def results_of(project: Path) -> list[dict[str, Any]]:
    """Return asv's result files, each with its rows by benchmark and column."""
    found = []
    for path in sorted((project / ".asv" / "results" / "box").glob("*-*.json")):
        content = json.loads(path.read_text())
        rows = {
            name: dict(zip(content["result_columns"], row, strict=False))
            for name, row in content["results"].items()
        }
        found.append({**content, "rows": rows})
    return found


def test_asv_checks_the_suite(asv: Asv) -> None:
    done = asv("check", "-E", "existing")
    assert done.returncode == 0, said(done)
    assert "No problems found." in said(done)


def test_asv_run_hands_over_what_one_run_of_a_case_found(asv: Asv, project: Path) -> None:
    done = asv(
        "run", "-E", "existing", "--set-commit-hash", "HEAD", "--record-samples", "--show-stderr",
        "--bench", rf"toy\.(time|energy){EXACT}", "--bench", r"toy\.time.*(wrong|needs).*0\.5,",
        "-a", "repeat=2", "-a", "rounds=1",
    )  # fmt: skip
    # 2 says that a benchmark failed.
    assert done.returncode == 2, said(done)
    assert "toy/wrong on fake step_s=0.5" in said(done)
    assert "failed: verification rejected the output" in said(done)
    assert "needs unicorn, which fake does not have here" in said(done)
    (result,) = results_of(project)
    time, energy = result["rows"]["toy.time"], result["rows"]["toy.energy"]
    assert "toy.peak_memory" not in result["rows"]
    at = cell_of(time, "'exact'", "0.5")
    # A step takes twice 0.5 s at this commit and is of 4 items; the device draws 10 W.
    assert time["samples"][at] == [0.25] * 2
    assert energy["samples"][at] == [2.5] * 2
    assert time["result"][cell_of(time, "'wrong'", "0.5")] is None
    assert str(time["result"][cell_of(time, "'needs-unicorn'", "0.5")]) == "nan"
    published = asv("publish")
    assert published.returncode == 0, said(published)
    assert (project / ".asv" / "html" / "vendor" / "jquery.min.js").is_file()


@pytest.mark.soak
def test_asv_continuous_tells_a_slower_commit(asv: Asv) -> None:
    done = asv(
        "continuous", "HEAD~1", "HEAD", "--bench", rf"toy\.(time|energy){EXACT}", existing=False
    )
    # 1 says that something became slower.
    assert done.returncode == 1, said(done)
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    slower = {row[5].partition("(")[0]: row[4] for row in rows if len(row) == 7 and row[1] == "+"}
    assert slower == {"toy.time": "2", "toy.energy": "2"}, said(done)
    assert "PERFORMANCE DECREASED." in said(done)


def cell_of(row: dict[str, Any], variant: str, step_s: str) -> int:
    """Return the place of a case on the fake device in asv's list of values."""
    backends, variants, steps, *_ = row["params"]
    at = backends.index("'fake'") * len(variants) + variants.index(variant)
    return int(at * len(steps) + steps.index(step_s))


@pytest.fixture
def planned(fakes: Registry) -> Plan:
    return plan(fakes, Selection(workloads=("fake",), backends=("fake",)))


def case_of(planned: Plan, variant: str) -> PlannedCase:
    return next(one for one in planned.cases if one.case.variant == variant)


def test_the_suites_names_and_parameters_are_those_of_the_export(
    fakes: Registry, planned: Plan, tmp_path: Path, history: Any, measured: Callable[..., Result]
) -> None:
    environment = measured(history).environment
    quantities = [
        Measurement(one.name, one.unit, "process", "virtual", values=(1.0,)) for one in QUANTITIES
    ]
    results = [
        Result(one.case, Outcome.SKIPPED, reason=one.skip, environment=environment)
        if one.skip
        else Result(
            one.case,
            Outcome.OK,
            environment=environment,
            work=Work(items=4.0, item="item"),
            measurements=tuple(quantities),
        )
        for one in planned.cases
    ]
    export([CaseRun("run", (result,)) for result in results], tmp_path / "asv")
    exported = json.loads((tmp_path / "asv" / "benchmarks.json").read_text())
    del exported["version"]
    of_suite = {vars(one)["benchmark_name"]: vars(one) for one in make_benchmarks(fakes).values()}
    assert set(exported) == set(of_suite) == {"fake.time", "fake.peak_memory", "fake.energy"}
    for name, described in exported.items():
        attributes = of_suite[name]
        assert [[repr(v) for v in axis] for axis in attributes["params"]] == described["params"]
        for key in ("param_names", "version", "unit", "type"):
            assert attributes[key] == described[key]


def test_one_run_of_a_case_serves_all_its_quantities_and_each_round_anew(
    planned: Plan, tmp_path: Path
) -> None:
    one = case_of(planned, "half")
    time = measure(planned, one, TIME, 2, tmp_path)
    runs = [*tmp_path.glob("*.json")]
    energy = measure(planned, one, ENERGY, 2, tmp_path)
    assert time == Samples((0.0625, 0.0625), 1)
    assert energy == Samples((0.625, 0.625), 1)
    assert [*tmp_path.glob("*.json")] == runs
    assert measure(planned, one, TIME, 1, tmp_path) == Samples((0.0625,), 1)
    assert len([*tmp_path.glob("*.json")]) == 2


def test_a_case_that_failed_says_why(planned: Plan, tmp_path: Path) -> None:
    with pytest.raises(CaseFailedError, match=r"^fake/raises on fake .*: failed: .*was asked to"):
        measure(planned, case_of(planned, "raises"), TIME, REPEAT, tmp_path)


def test_an_attribute_that_is_no_number_of_processes_is_one_clear_line(
    planned: Plan, tmp_path: Path
) -> None:
    with pytest.raises(CaseFailedError, match="is not a number of processes; give one"):
        measure(planned, case_of(planned, "half"), TIME, (1, 10, 20.0), tmp_path)


def test_without_any_device_every_case_says_what_it_lacks() -> None:
    registry = Registry(
        backends={"absent": "harness.testing.fakes:ABSENT_BACKEND"},
        workloads={"fake": "harness.testing:FAKE_WORKLOAD"},
    )
    for one in make_benchmarks(registry).values():
        values = [axis[0] for axis in vars(one)["params"]]
        with pytest.raises(NotImplementedError, match="absent is unavailable: no such device"):
            vars(one)["setup"](*values)


def test_a_workload_that_asv_cannot_call_is_told_and_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.testing import fakes as module

    monkeypatch.setattr(module, "DASHED", module.FakeWorkload(name="a-b"), raising=False)
    registry = Registry(
        backends={"fake": "harness.testing:FAKE_BACKEND"},
        workloads={"a-b": "harness.testing.fakes:DASHED", "fake": "harness.testing:FAKE_WORKLOAD"},
    )
    names = {vars(one)["benchmark_name"] for one in make_benchmarks(registry).values()}
    assert names == {"fake.time", "fake.peak_memory", "fake.energy"}
    assert "left out: asv cannot call a benchmark with - in its" in capsys.readouterr().err


def test_nothing_registered_is_one_clear_line() -> None:
    with pytest.raises(AssayError):
        make_benchmarks(Registry(backends={}, workloads={}))
