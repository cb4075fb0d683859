"""The command line as a user meets it: what it prints, how it exits, and that it starts at once."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Assay = Callable[..., "subprocess.CompletedProcess[str]"]

FAKE = ("-w", "fake", "-b", "fake", "--size", "small", "--processes", "1")


def one_line(text: str) -> str:
    """The single line that a wrong usage prints."""
    [line] = text.splitlines()
    return line


@pytest.mark.parametrize("statement", ["import harness", "import harness.cli"])
def test_importing_the_harness_loads_no_framework_and_no_table_library(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in ('torch', 'numba', 'pandas', 'rich') if m in sys.modules])"  # noqa: E501
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_help_names_every_command_without_loading_a_framework(assay: Assay) -> None:
    answer = assay("--help", PYTHONPROFILEIMPORTTIME="1")
    assert answer.returncode == 0
    for command in (
        "data",
        "devices",
        "list",
        "preview",
        "publish",
        "run",
        "show",
        "store",
        "ab",
        "compare",
    ):
        assert f"  {command} " in answer.stdout
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "harness.cli" in loaded
    assert not loaded & {"torch", "numba", "pandas", "scipy", "asv", "rich"}


def test_devices_say_available_or_why_not(assay: Assay) -> None:
    rows = json.loads(assay("devices", "--json").stdout)
    found = {row["backend"]: row for row in rows}
    assert {"cpu", "arm", "cuda", "fake"} <= set(found)
    assert found["fake"]["unavailable"] is None
    assert [meter["quantity"] for meter in found["fake"]["meters"]] == [
        "time",
        "peak_memory",
        "energy",
    ]
    host, other = ("cpu", "arm") if os.uname().machine == "x86_64" else ("arm", "cpu")
    assert found[host]["unavailable"] is None
    assert found[other]["unavailable"]
    text = assay("devices").stdout
    assert f"{host}: available" in text


def test_list_shows_variants_parameters_and_sizes(assay: Assay) -> None:
    text = assay("list").stdout
    for part in ("fake 1", "exact", "baseline", "needs unicorn", "step_s", "(plain, fancy)"):
        assert part in text, part
    workloads = {row["workload"] for row in json.loads(assay("list", "--json").stdout)}
    assert workloads == {"fake", "heat", "msrep", "solar"}


def test_a_dry_run_prints_the_plan_and_measures_nothing(assay: Assay, tmp_path: Path) -> None:
    answer = assay("run", *FAKE, "--dry-run")
    assert answer.returncode == 0
    assert "fake/exact on fake step_s=0.5" in answer.stdout
    assert "skip: needs unicorn" in answer.stdout
    assert "13 cases, about" in answer.stdout
    assert not (tmp_path / "results").exists()
    plan = json.loads(assay("run", *FAKE, "--dry-run", "--json").stdout)
    assert plan[0]["variant"] == "exact"
    assert plan[0]["estimate_s"] > 0


def test_a_run_prints_its_table_and_show_prints_it_again(assay: Assay) -> None:
    ran = assay("run", *FAKE, "--processes", "2", "--variant", "exact", "--variant", "half")
    assert ran.returncode == 0, ran.stderr
    assert "125 ms" in ran.stdout
    assert "2.00x [2.00, 2.00]" in ran.stdout
    assert "[2/2] fake/" in ran.stderr
    assert "fake/half on fake #2: ok" in ran.stderr
    assert "ETA" in ran.stderr
    shown = assay("show")
    assert "62.5 ms" in shown.stdout
    rows = json.loads(assay("show", "--json").stdout)
    assert [row["time_s"]["median"] for row in rows] == pytest.approx([0.125, 0.0625])
    assert rows[1]["speedup"] == {
        "baseline": "exact",
        "ratio": 2.0,
        "ci_low": 2.0,
        "ci_high": 2.0,
    }
    assert "time_s.median" in assay("show", "--csv").stdout.splitlines()[0]
    assert assay("show", "--markdown").stdout.startswith("### fake")
    assert len(json.loads(assay("show", "--all", "--json", "-w", "fake").stdout)) == 2


def test_a_failed_case_exits_with_1_and_the_others_are_measured(assay: Assay) -> None:
    ran = assay("run", *FAKE, "--variant", "segfaults", "--variant", "exact", "--json")
    assert ran.returncode == 1
    rows = {row["variant"]: row for row in json.loads(ran.stdout)}
    assert rows["segfaults"]["outcome"] == "crashed"
    assert rows["exact"]["outcome"] == "ok"


def test_input_that_a_worker_rejects_is_one_line_and_status_2(assay: Assay) -> None:
    ran = assay("run", *FAKE, "--variant", "rejects-input")
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "assay: input.txt: line 3 is not a number; repair the file"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rum",), "unknown command 'rum'; did you mean run?"),
        (("run", "-w", "fke"), "unknown workload 'fke'; did you mean fake?"),
        (("run", "-b", "cpuu"), "unknown backend 'cpuu'; did you mean cpu or cuda?"),
        (("run", "--variant", "scipi"), "unknown variant 'scipi'; did you mean scipy?"),
        (("run", "-p", "step_s"), "-p 'step_s' is not of the form NAME=VALUE"),
        (("run", "-p", "stepp_s=1"), "unknown parameter 'stepp_s'; did you mean step_s"),
        (("run", "-w", "fake", "-p", "step_s=x"), "parameter step_s='x' is not a number"),
        (("run", "--size", "smal"), "unknown size 'smal'; did you mean small?"),
        (("run", *FAKE, "--budget", "1s"), "a budget of 1 s is too short"),
        (("run", "--budget", "soon"), "'soon' is not a duration"),
        (("run", "--precision", "300%"), "'300%' is over 100 %"),
        (("run", "--pin", "9999"), "CPU 9999 is not there"),
        (("run", "--threads", "0"), "Invalid value for '--threads'"),
        (("run", "--suite", "nightly"), "unknown suite 'nightly'; none is registered"),
        (("run", "--config", "no.toml"), "cannot read no.toml"),
        (("run", "--flavour"), "No such option"),
        (("run", "--seed", "-1"), "Invalid value for '--seed'"),
        (("run", "--seed", str(1 << 63)), "Invalid value for '--seed'"),
        (("run", "--pin", "9" * 5000), "'9999999999999999999999999999999999999999...' is not a"),
        (("run", "--budget", "9" * 400), "'9999999999999999999999999999999999999999...' is not a"),
        (("run", "--memory-limit", "9" * 400), "'99999999999999999999999999999999999999"),
        (("run", "-w", "msrep", "-p", "matrix=~nosuchuser/x"), "no file or folder '~nosuchuser/x"),
        (("run", "-w", "msrep", "-p", f"matrix={'n' * 300}"), "no file or folder 'nnnnn"),
        (("run", "-p", "matrix=caf\udce9.mtx"), r"-p 'matrix=caf\udce9.mtx' is not UTF-8"),
        (("run", "-w", "a\x1b]0;b\x07"), r"unknown workload 'a\x1b]0;b\x07'; "),
        (("show", "--run", "caf\udce9"), r"no run 'caf\udce9' in results"),
        (("show", "--results", "a\x1b[2Jb"), "no run 'latest' in a?[2Jb; it holds no run"),
        (
            ("data", "fetch", "gowalla", "--folder", "/proc/nope"),
            "cannot write to /proc/nope/gowalla: No such file or directory",
        ),
        (("show",), "no run 'latest' in results; it holds no run"),
        (("show", "--run", "x"), "no run 'x' in results"),
        (("data", "fetch", "gowala"), "unknown data set 'gowala'; did you mean gowalla?"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_fix_and_status_2(
    assay: Assay, arguments: tuple[str, ...], message: str
) -> None:
    answer = assay(*arguments)
    assert answer.returncode == 2
    assert one_line(answer.stderr).startswith(f"assay: {message}")
    assert answer.stdout == ""


def test_a_results_folder_that_cannot_be_written_is_one_line(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = assay("run", *FAKE, "--variant", "exact", "--results", "file/results")
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith(
        "assay: cannot write to the results folder file/results: Not a directory"
    )


def test_a_corrupt_result_is_named_after_everything_else_is_shown(
    assay: Assay, tmp_path: Path
) -> None:
    assay("run", *FAKE, "--variant", "exact", "--variant", "half")
    [first, _] = sorted((tmp_path / "results").glob("*/*-0.json"))
    first.write_text('{"schema": 1, "result": {')
    shown = assay("show", "--json")
    assert shown.returncode == 2
    assert len(json.loads(shown.stdout)) == 1
    assert "is damaged" in one_line(shown.stderr)


def test_a_suite_gives_the_options_and_flags_win_over_it(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "assay.toml").write_text(
        'results = "kept"\n[suites.quick]\nworkloads = ["fake"]\nbackends = ["fake"]\n'
        'variants = ["exact"]\nsize = "small"\nprocesses = 1\n'
        "params = {step_s = [0.25, 0.75]}\n"
    )
    ran = assay("run", "--suite", "quick", "--json")
    assert ran.returncode == 0, ran.stderr
    assert [row["params"]["step_s"] for row in json.loads(ran.stdout)] == [0.25, 0.75]
    assert (tmp_path / "kept").is_dir()
    over = assay("run", "--suite", "quick", "--variant", "half", "-p", "step_s=1", "--json")
    assert [row["variant"] for row in json.loads(over.stdout)] == ["half"]


def test_prune_says_what_it_did(assay: Assay) -> None:
    assay("run", *FAKE, "--variant", "exact")
    answer = assay("store", "prune", "--older-than", "1ms", "--keep", "999", "--dry-run")
    assert answer.stdout.startswith("would thin 0 of 1 results")
    answer = assay("store", "prune", "--older-than", "1ms", "--keep", "9", "--dry-run")
    assert answer.stdout.startswith("would thin 1 of 1 results")


@pytest.mark.parametrize("arguments", [(), ("data",), ("store",)])
def test_without_a_subcommand_the_help_is_printed_as_it_is_with_status_2(
    assay: Assay, arguments: tuple[str, ...]
) -> None:
    answer = assay(*arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == assay(*arguments, "--help").stdout
    assert len(answer.stderr.splitlines()) > 5


def test_show_names_a_workload_that_has_no_result(assay: Assay) -> None:
    assay("run", *FAKE, "--variant", "exact")
    for arguments, message in (
        (("-w", "fkae"), "unknown workload 'fkae'; did you mean fake?"),
        (("-w", "fake", "-w", "heat"), "no result of workload 'heat'; there are results of fake"),
        (("--all", "-w", "heat", "--json"), "no result of workload 'heat'; there are results of"),
        (
            ("--all", "--results", "none", "-w", "x"),
            "no result of workload 'x'; there is no result",
        ),
    ):
        answer = assay("show", *arguments)
        assert answer.returncode == 2
        assert answer.stdout == ""
        assert one_line(answer.stderr).startswith(f"assay: {message}")


def test_show_does_not_hide_damage_behind_a_workload_that_is_not_there(
    assay: Assay, tmp_path: Path
) -> None:
    assay("run", *FAKE, "--variant", "exact")
    [path] = (tmp_path / "results").glob("*/*-0.json")
    path.write_text("{")
    answer = assay("show", "-w", "fake")
    assert answer.returncode == 2
    assert "no result of workload 'fake'; there is no result; " in one_line(answer.stderr)
    assert "is damaged" in answer.stderr


def register(folder: Path, module: str, source: str, points: str) -> None:
    """Make a module on PYTHONPATH a plug-in of its own."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def test_broken_plug_ins_are_named_and_the_others_are_listed(
    assay: Assay, plugin_folder: Path
) -> None:
    source = """
class Broken:
    name = "broken"
    def __getattr__(self, name):
        raise ValueError("asked for \x1b[2J")
    def datasets(self):
        raise ValueError("no data today")
    def unavailable(self):
        raise ValueError("no device today")
BROKEN = Broken()
"""
    register(
        plugin_folder,
        "broken",
        source,
        "[assay.workloads]\nbroken = broken:BROKEN\nabsent = no_such_module:X\n"
        "[assay.backends]\nbroken = broken:BROKEN\n",
    )
    listed = assay("list")
    assert listed.returncode == 2
    assert "msrep" in listed.stdout
    assert "workload 'broken' raised ValueError: asked for ?[2J; repair" in one_line(listed.stderr)
    assert "workload 'absent' does not load" in listed.stderr
    data = assay("data", "list", "--json")
    assert data.returncode == 0
    assert "gowalla" in {row["name"] for row in json.loads(data.stdout)}
    assert [line.partition(" does")[0] for line in data.stderr.splitlines()] == [
        "warning: workload 'absent'",
        "warning: workload 'broken': ValueError('no data today')",
    ]
    devices = assay("devices")
    assert devices.returncode == 0
    assert "broken: raised ValueError: no device today; repair" in devices.stdout
    assert "fake: available" in devices.stdout


@pytest.fixture
def steered(plugin_folder: Path) -> tuple[str, ...]:
    """Arguments that run two variants whose names would steer a terminal; one is skipped."""
    source = """
from harness.records import Variant
def hostile(name, need):
    return Variant(f"\x1b]0;{name}\x07[/x]", "harness.testing.fakes:VirtualClock", False, need)
RUNS = hostile("runs", frozenset())
SKIPPED = hostile("skipped", frozenset({"\x1b[2Junicorn"}))
"""
    register(
        plugin_folder,
        "steering",
        source,
        "[assay.variants]\nfake/runs = steering:RUNS\nfake/skipped = steering:SKIPPED\n",
    )
    names = (f"\x1b]0;{name}\x07[/x]" for name in ("runs", "skipped"))
    return (*FAKE, *(part for name in names for part in ("--variant", name)))


def test_names_and_reasons_cannot_steer_the_terminal(
    assay: Assay, steered: tuple[str, ...]
) -> None:
    answers = [
        assay("list"),
        assay("run", *steered, "--dry-run"),
        assay("run", *steered),
        assay("show"),
        assay("show", "--markdown"),
        assay("show", "--csv"),
    ]
    for answer in answers:
        assert answer.returncode == 0, answer.stderr
        assert "?]0;runs?" in answer.stdout.replace("\\", "")
        said = answer.stdout + answer.stderr
        assert said.replace("\n", "").isprintable(), answer.args


def test_names_cannot_steer_the_terminal_through_the_progress_bar(
    assay_program: str, steered: tuple[str, ...], plugin_folder: Path, tmp_path: Path
) -> None:
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [assay_program, "run", *steered],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(plugin_folder), "TERM": "xterm", "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    ) as ran:
        os.close(terminal)
        said = b""
        # The terminal's end is an error once the program has closed the other.
        with contextlib.suppress(OSError):
            while block := os.read(master, 1 << 16):
                said += block
    os.close(master)
    assert ran.returncode == 0, said
    assert b"?]0;runs?[/x]" in said
    assert b"skipped: needs ?[2Junicorn" in said
    assert b"\x1b]0;" not in said
    assert b"\x07" not in said
