"""One set of software is one commit, whoever measured with it and however results came together."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_export import export
from dashboards.ledger import BRANCH, LOCK_FILE, Ledger, on_ledger, write_ledger
from harness.case_run import CaseRun
from harness.errors import AssayError
from harness.history import histories
from harness.records import Case, Measurement, Outcome, Result, Work

NIGHT_S = 86_400
FIRST_S = 1_790_000_000
COMMITS = [f"{number:040x}" for number in range(1, 6)]


def git(folder: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environ | {"GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def measured(
    night: int,
    commit: str = COMMITS[0],
    *,
    torch: str = "2.12.0",
    driver: str | None = None,
    machine: str = "bench-1",
    backend: str = "cpu",
    run: str = "",
    seconds: float = 1.0,
    outcome: Outcome = Outcome.OK,
    **facts: Any,
) -> CaseRun:
    environment: dict[str, Any] = {
        "machine": machine,
        "id": f"{machine}-{torch}",
        "commit": commit,
        "commit_time": FIRST_S - 100 + COMMITS.index(commit),
        "dirty": False,
        "kernel": "6.1.0",
        "python": "3.11.9",
        "packages": {"torch": torch, "numpy": "2.4.0", "asv": "0.6.6"},
        "firmware": {"bios": "1.2", "microcode": None},
        "cpu": {"model": "Example", "architecture": "x86_64", "logical_cpus": 2},
        "memory_bytes": 8 << 30,
    } | facts
    if driver is not None and outcome is Outcome.OK:
        environment["device"] = {"name": "GPU", "driver": driver}
    result = Result(
        Case("heat", "1", "torch", backend, {"size": 10}),
        outcome,
        reason="" if outcome is Outcome.OK else "it did not end well",
        started_at=FIRST_S + night * NIGHT_S + 0.5,
        environment=environment,
        work=Work(),
        measurements=(
            Measurement("time", "s", "process", "clock", values=(seconds, seconds * 1.01)),
        )
        if outcome is Outcome.OK
        else (),
    )
    return CaseRun(run or f"run-{night}-{machine}", (result,))


def subjects(ledger: Ledger) -> list[str]:
    return [entry.subject for entry in ledger.entries]


def test_a_torch_bump_at_one_commit_is_a_commit_of_its_own(tmp_path: Path) -> None:
    cases = [measured(0), measured(1), measured(2, torch="2.13.0"), measured(3, COMMITS[1])]
    ledger = write_ledger(cases[:3], tmp_path / "ledger")
    assert subjects(ledger) == ["0000000 first lock", "0000000 torch 2.13.0"]
    assert git(ledger.folder, "log", "--format=%s", "main").splitlines() == [
        "0000000 torch 2.13.0",
        "0000000 first lock",
    ]
    lock = json.loads((ledger.folder / LOCK_FILE).read_text())
    assert lock == {
        "commit": COMMITS[0], "kernel": "6.1.0", "python": "3.11.9", "torch": "2.13.0",
        "numpy": "2.4.0", "bios": "1.2",
    }  # fmt: skip
    assert "bench-1" not in git(ledger.folder, "log", "-p", "main")


def test_the_repository_is_sound_and_dated_by_the_first_measurements(tmp_path: Path) -> None:
    ledger = write_ledger([measured(1), measured(0, torch="2"), measured(4)], tmp_path / "ledger")
    dates = git(ledger.folder, "log", "--reverse", "--format=%H %at %ct %an", "main").splitlines()
    assert dates == [
        f"{entry.commit} {entry.time_s} {entry.time_s} Assay ledger" for entry in ledger.entries
    ]
    assert [entry.time_s for entry in ledger.entries] == [FIRST_S, FIRST_S + NIGHT_S]
    assert git(ledger.folder, "fsck", "--strict") == ""
    assert git(ledger.folder, "status", "--porcelain") == ""
    trailer = "%(trailers:key=Lock,valueonly)"
    digests = git(ledger.folder, "log", "--reverse", f"--format={trailer}", "main").split()
    assert digests == [entry.digest for entry in ledger.entries]


def test_a_later_night_only_adds_commits(tmp_path: Path) -> None:
    nights = [measured(0), measured(1, COMMITS[1]), measured(2, COMMITS[1], torch="2.13.0")]
    first = write_ledger(nights[:2], tmp_path / "ledger")
    second = write_ledger(nights, tmp_path / "ledger")
    assert second.entries[:2] == first.entries
    assert len(second.entries) == 3
    git(second.folder, "merge-base", "--is-ancestor", first.entries[-1].commit, "main")


runs = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(COMMITS),
        st.sampled_from(["2.12.0", "2.13.0", "2.13.0+cpu"]),
        st.sampled_from([None, "560.1", "570.2", "a\nb \N{SNOWMAN}"]),
        st.sampled_from(["bench-1", "bench-2"]),
        st.sampled_from([Outcome.OK, Outcome.FAILED]),
    ),
    min_size=1,
    max_size=8,
)


@given(runs=runs, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_the_order_in_which_results_come_changes_no_commit(
    tmp_path_factory: pytest.TempPathFactory, runs: Sequence[Any], seed: int
) -> None:
    cases = [
        measured(
            night, commit, torch=torch, driver=driver, machine=machine, outcome=outcome,
            run=f"run-{number}",
        )
        for number, (night, commit, torch, driver, machine, outcome) in enumerate(runs)
    ]  # fmt: skip
    shuffled = list(cases)
    random.Random(seed).shuffle(shuffled)
    folder = tmp_path_factory.mktemp("ledgers")
    one, other = write_ledger(cases, folder / "one"), write_ledger(shuffled, folder / "other")
    assert one.entries == other.entries
    assert git(one.folder, "rev-parse", "main") == git(other.folder, "rev-parse", "main")
    # In two steps, as nights come, it ends at the same commit.
    write_ledger(cases[:1], folder / "steps")
    write_ledger(shuffled, folder / "steps")
    assert git(folder / "steps", "rev-parse", "main") == one.entries[-1].commit
    times = [entry.time_s for entry in one.entries]
    assert times == sorted(set(times))


def test_a_failed_case_has_the_lock_of_its_run(tmp_path: Path) -> None:
    cases = [
        measured(0, backend="cuda", driver="560.1", run="a"),
        measured(0, backend="cuda", driver="560.1", run="a", outcome=Outcome.CRASHED),
        measured(0, backend="cpu", run="a"),
    ]
    ledger = write_ledger(cases, tmp_path / "ledger")
    commits = [one.result.environment["commit"] for one in on_ledger(cases, ledger)]
    assert commits[0] == commits[1]
    assert commits[0] != commits[2], "a driver is no part of what the CPU's cases depend on"


def test_machines_that_take_turns_are_held_against_their_like(tmp_path: Path) -> None:
    cases = [
        measured(0, machine="x86"),
        measured(0, machine="arm", kernel="6.8.0", python="3.12.1", run="arm"),
        measured(1, machine="x86", torch="2.13.0"),
        measured(1, COMMITS[1], machine="arm", kernel="6.8.0", python="3.12.1", run="arm-2"),
    ]
    found = subjects(write_ledger(cases, tmp_path / "ledger"))
    assert sorted(found[2:]) == ["0000000 code", "0000000 torch 2.13.0"]


def test_what_has_no_clean_commit_is_not_locked(tmp_path: Path) -> None:
    dirty = measured(0, dirty=True)
    with pytest.raises(AssayError, match="no result of a clean commit"):
        write_ledger([dirty], tmp_path / "ledger")
    assert not (tmp_path / "ledger").exists()
    ledger = write_ledger([dirty, measured(1)], tmp_path / "ledger")
    moved = on_ledger([dirty, measured(1)], ledger)
    assert moved[0] == dirty
    assert moved[1].result.environment["commit"] == ledger.entries[0].commit


def own_repository(folder: Path) -> None:
    folder.mkdir()
    git(folder, "init", "-q")
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    git(folder, *identity, "commit", "-q", "--allow-empty", "-m", "mine")


def folder_with_a_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")


def folder_inside_a_repository(folder: Path) -> None:
    git(folder.parent, "init", "-q")
    git(folder.parent, "config", "assay.ledger", "true")
    folder_with_a_file(folder)


@pytest.mark.parametrize(
    "make", [own_repository, folder_with_a_file, folder_inside_a_repository, Path.touch]
)
def test_what_is_no_ledger_is_never_overwritten(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "ledger")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(AssayError, match=r"is no ledger of Assay's.*name an empty folder"):
        write_ledger([measured(0)], tmp_path / "ledger")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_hook_s_variables_do_not_lead_to_another_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_repository(tmp_path / "mine")
    before = git(tmp_path / "mine", "for-each-ref")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "mine" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "mine"))
    write_ledger([measured(0)], tmp_path / "ledger")
    assert git(tmp_path / "mine", "for-each-ref") == before


def test_on_the_ledger_a_driver_is_the_environment_and_code_is_code(tmp_path: Path) -> None:
    cases = [
        measured(0, backend="cuda", driver="560.1"),
        measured(1, backend="cuda", driver="570.2"),
        measured(2, COMMITS[1], backend="cuda", driver="570.2"),
    ]
    ledger = write_ledger(cases, tmp_path / "ledger")
    [series] = histories(on_ledger(cases, ledger))
    assert [point.commit for point in series.points] == [one.commit for one in ledger.entries]
    before, driver, code = (point.environment for point in series.points)
    assert before != driver
    assert driver == code


def test_on_the_ledger_versions_break_no_series_and_settings_do(tmp_path: Path) -> None:
    cases = [
        measured(0),
        measured(1, torch="2.13.0", python="3.12.1"),
        measured(1, torch="2.13.0", python="3.12.1", run="threads", settings={"threads": 1}),
    ]
    ledger = write_ledger(cases, tmp_path / "ledger")
    summary = export(on_ledger(cases, ledger), tmp_path / "asv")
    assert set(summary.commits) == {entry.commit for entry in ledger.entries}
    files = [
        json.loads(path.read_text())
        for path in (tmp_path / "asv" / "bench-1").glob("*.json")
        if path.name != "machine.json"
    ]
    assert {one["env_name"] for one in files} == {"locked", "locked-threads1"}
    assert {one["params"]["python"] for one in files} == {"locked"}
    apart = export(cases, tmp_path / "apart")
    names = {path.stem for path in apart.directory.glob("bench-1/0*.json")}
    assert len(names) == 3, "without the ledger each version is a series"


def test_asv_draws_one_line_along_the_ledger(tmp_path: Path) -> None:
    cases = [
        measured(0),
        measured(1, torch="2.13.0", python="3.12.1"),
        measured(2, COMMITS[1], torch="2.13.0", python="3.12.1"),
    ]
    ledger = write_ledger(cases, tmp_path / "ledger")
    export(on_ledger(cases, ledger), tmp_path / "asv")
    config = {
        "version": 1,
        "project": "ledger",
        "repo": str(ledger.folder),
        "branches": [BRANCH],
        "results_dir": str(tmp_path / "asv"),
        "html_dir": str(tmp_path / "html"),
    }
    (tmp_path / "asv.conf.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "asv", "publish", "--config", str(tmp_path / "asv.conf.json")]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=60)
    [graph] = (tmp_path / "html" / "graphs").rglob("arch-*/**/heat.time.json")
    points = json.loads(graph.read_text())
    index = json.loads((tmp_path / "html" / "index.json").read_text())
    assert len(points) == 3
    assert [index["revision_to_hash"][str(revision)] for revision, _ in points] == [
        entry.commit for entry in ledger.entries
    ]


def test_a_value_that_steers_the_terminal_cannot_forge_a_trailer(tmp_path: Path) -> None:
    hostile = "2.13\n\nLock: 0\x1b[2J" + "x" * 100
    ledger = write_ledger([measured(0), measured(1, torch=hostile)], tmp_path / "ledger")
    subject = subjects(ledger)[1]
    assert len(subject) <= 72
    assert subject.isprintable()
    last = git(ledger.folder, "log", "-1", "--format=%(trailers:key=Lock,valueonly)", "main")
    assert last == ledger.entries[1].digest
