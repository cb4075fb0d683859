"""Machines' results come together whole, in any order, and nothing that was there is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_export import export
from dashboards.ledger import write_ledger
from harness import store
from harness.case_run import CaseRun, case_runs
from harness.errors import AssayError
from harness.merge import MergeReport, merge
from harness.records import Case, Measurement, Outcome, Result, Work
from harness.thinning import prune

FIRST_S = 1_790_000_000
OTHER_RUN = "20260101T000000Z-00000000"
COMMITS = ["a" * 40, "b" * 40]

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


def result_of(
    machine: str = "bench-1", size: int = 10, night: int = 0, torch: str = "2.12.0"
) -> Result:
    commit = COMMITS[night % 2]
    environment: dict[str, Any] = {
        "machine": machine,
        "id": f"{machine}-{torch}",
        "commit": commit,
        "commit_time": FIRST_S - 1000 + COMMITS.index(commit),
        "dirty": False,
        "python": "3.11.9",
        "packages": {"torch": torch},
        "cpu": {"model": "Example", "architecture": "x86_64", "logical_cpus": 2},
    }
    return Result(
        Case("heat", "1", "torch", "cpu", {"size": size}),
        Outcome.OK,
        started_at=FIRST_S + night * 86_400.0,
        environment=environment,
        work=Work(),
        measurements=(
            Measurement("time", "s", "process", "clock", values=(1.0 + size, 1.1 + size)),
        ),
    )


def store_run(root: Path, *results: Result, finish: bool = True) -> Path:
    with store.open_run(
        root,
        [result.case for result in results],
        fingerprint=str(root),
        settings={},
        environment=results[0].environment,
        force=True,
    ) as run:
        for result in results:
            path = run.append(result)
        if finish:
            run.finish()
    return path.parent


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def read_cases(root: Path) -> list[CaseRun]:
    return case_runs((stored.run, stored.result) for stored in store.read(root).results)


def test_runs_of_several_machines_come_together(tmp_path: Path) -> None:
    store_run(tmp_path / "one", result_of("one"), result_of("one", size=20))
    store_run(tmp_path / "two", result_of("two", night=1))
    report = merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert report == MergeReport(runs=2, new_runs=2, files=7, left_out=(), conflicts=())
    assert contents(tmp_path / "all") == contents(tmp_path / "one") | contents(tmp_path / "two")
    machines = {one.result.environment["machine"] for one in read_cases(tmp_path / "all")}
    assert machines == {"one", "two"}


def test_merging_again_copies_nothing(tmp_path: Path) -> None:
    store_run(tmp_path / "one", result_of())
    merge([tmp_path / "one"], tmp_path / "all")
    again = merge([tmp_path / "one"], tmp_path / "all")
    assert (again.runs, again.new_runs, again.files) == (1, 0, 0)


measurements = st.lists(
    st.tuples(
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from([10, 20, 30]),
        st.integers(0, 3),
        st.sampled_from(["2.12.0", "2.13.0"]),
    ),
    min_size=2,
    max_size=6,
)


@given(measurements=measurements, order=st.permutations(["one", "two", "three"]))
@settings(max_examples=15, deadline=None)
def test_two_machines_nights_are_merged_in_any_order_with_the_same_outcome(
    tmp_path_factory: pytest.TempPathFactory,
    measurements: Sequence[tuple[str, int, int, str]],
    order: Sequence[str],
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    for machine, size, night, torch in measurements:
        store_run(folder / machine, result_of(machine, size, night, torch))
    sources = [folder / machine for machine in order if (folder / machine).exists()]
    merge(sources, folder / "at-once")
    for source in reversed(sources):
        merge([source], folder / "one-by-one")
    assert contents(folder / "at-once") == contents(folder / "one-by-one")
    for name in ("at-once", "one-by-one"):
        cases = read_cases(folder / name)
        export(cases, folder / f"asv-{name}")
        write_ledger(cases, folder / f"ledger-{name}")
    assert contents(folder / "asv-at-once") == contents(folder / "asv-one-by-one")
    heads = [(folder / f"ledger-{name}/.git/refs/heads/main") for name in ("at-once", "one-by-one")]
    assert heads[0].read_bytes() == heads[1].read_bytes()


def test_a_run_that_was_copied_in_part_is_completed(tmp_path: Path) -> None:
    run = store_run(tmp_path / "one", result_of(), result_of(size=20))
    merge([tmp_path / "one"], tmp_path / "all")
    whole = contents(tmp_path / "all")
    for name in ("finished", "run.json"):
        (tmp_path / "all" / run.name / name).unlink()
    next((tmp_path / "all" / run.name).glob("*-0.json")).unlink()
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert (report.new_runs, report.files) == (0, 3)
    assert contents(tmp_path / "all") == whole


def test_a_file_with_other_content_is_named_and_both_stay(tmp_path: Path, assay: Assay) -> None:
    run = store_run(tmp_path / "one", result_of(), result_of(size=20))
    merge([tmp_path / "one"], tmp_path / "all")
    path = next(run.glob("*-0.json"))
    store.write_record(path, "result", replace(store.read_result(path), reason="another"))
    store_run(tmp_path / "two", result_of("two"))
    before = contents(tmp_path / "one"), contents(tmp_path / "all")
    answer = assay("store", "merge", "one", "two", "--into", "all")
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert f"one/{run.name}/{path.name} differs from all/{run.name}/{path.name}" in line
    assert "both stay" in line
    assert contents(tmp_path / "one") == before[0]
    assert before[1].items() <= contents(tmp_path / "all").items()
    assert len(read_cases(tmp_path / "all")) == 3, "what does not clash is merged all the same"


@pytest.mark.parametrize("pruned", ["one", "all"])
def test_where_one_side_was_pruned_the_whole_result_is_kept(tmp_path: Path, pruned: str) -> None:
    result = result_of()
    many = tuple(1.0 + 0.01 * number for number in range(40))
    result = replace(result, measurements=(replace(result.measurements[0], values=many),))
    store_run(tmp_path / "one", result)
    merge([tmp_path / "one"], tmp_path / "all")
    whole = contents(tmp_path / "all")
    assert prune(tmp_path / pruned, older_than_s=-1e9, keep=7).results == 1
    assert contents(tmp_path / pruned) != whole
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert report.conflicts == ()
    assert contents(tmp_path / "all") == whole


def test_a_run_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    store_run(tmp_path / "one", result_of())
    with store.open_run(
        tmp_path / "one", [result_of(size=20).case], fingerprint="f", settings={}, environment={}
    ) as run:
        run.append(result_of(size=20))
        report = merge([tmp_path / "one"], tmp_path / "all")
        [line] = report.left_out
        assert run.header.id in line
        assert "still being written" in line
        assert not (tmp_path / "all" / run.header.id).exists()
        run.finish()
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert (report.new_runs, report.left_out) == (1, ())


def test_only_what_belongs_to_a_run_is_copied(tmp_path: Path) -> None:
    run = store_run(tmp_path / "one", result_of())
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (run / f"{'0' * 16}-0.json").symlink_to(secret)
    (run / "run.sh").write_text("evil")
    (run / "set-aside").mkdir()
    (run / "set-aside" / f"{'1' * 16}-0.json").write_text("{}")
    (tmp_path / "one" / "linked").symlink_to(run, target_is_directory=True)
    (tmp_path / "one" / ".start-killed").mkdir()
    (tmp_path / "one" / "nightly.json").write_text("{}")
    os.mkfifo(run / f"{'2' * 16}-0.json")
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert report.files == 3
    assert len(report.left_out) == 2, "the link and the pipe are told"
    [copied] = (tmp_path / "all").iterdir()
    assert len(list(copied.iterdir())) == 3


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: next(run.glob("*-0.json")).write_text("{"), "damaged"),
        (
            lambda run: next(run.glob("*-0.json")).rename(run / f"{'0' * 16}-0.json"),
            "another case",
        ),
        (lambda run: run.rename(run.with_name(OTHER_RUN)), "restore the folder's name"),
        (lambda run: (run / "finished").write_text("yes"), "damaged"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_told_and_left_out(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    damage(store_run(tmp_path / "one", result_of()))
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert report.files == 2
    [line] = report.left_out
    assert told in line


@pytest.mark.parametrize("name", ["nightly.json", "README.md", "2026\n", "-rf", "x" * 255])
def test_a_folder_without_a_run_s_name_costs_no_other_run(tmp_path: Path, name: str) -> None:
    run = store_run(tmp_path / "one", result_of())
    shutil.copytree(run, tmp_path / "one" / name)
    store_run(tmp_path / "two", result_of("two"))
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "nightly.json").write_text("{}")
    report = merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert (report.runs, report.files) == (2, 6)
    [line] = report.left_out
    assert "has not the name of a run" in line
    assert len(list((tmp_path / "all").iterdir())) == 3


def test_a_run_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
from harness.merge import merge
if os.geteuid() == 0:
    os.seteuid(65534)
print(*merge([Path("one"), Path("two")], Path("all")).left_out, sep="\\n")
"""
    store_run(tmp_path / "one", result_of())
    closed = store_run(tmp_path / "two", result_of("two"))
    (tmp_path / "all").mkdir()
    for folder, mode in ((tmp_path, 0o755), (tmp_path / "all", 0o777), (closed, 0)):
        folder.chmod(mode)
    try:
        said = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)
    finally:
        closed.chmod(0o755)
    assert said.splitlines() == [
        f"two/{closed.name} cannot be read (Permission denied); check its permissions",
        "two holds no run",
    ]


def test_a_link_where_a_file_should_go_is_not_written_through(tmp_path: Path) -> None:
    run = store_run(tmp_path / "one", result_of())
    target = tmp_path / "all" / run.name
    target.mkdir(parents=True)
    (target / "finished").symlink_to(tmp_path / "elsewhere")
    report = merge([tmp_path / "one"], tmp_path / "all")
    assert len(report.conflicts) == 1
    assert not (tmp_path / "elsewhere").exists()


def test_wrong_sources_are_told(tmp_path: Path) -> None:
    store_run(tmp_path / "one", result_of())
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssayError, match="absent is no folder; name results folders"):
        merge([tmp_path / "absent"], tmp_path / "all")
    with pytest.raises(AssayError, match="is the folder to merge into"):
        merge([tmp_path / "one"], tmp_path / "empty" / ".." / "one")
    with pytest.raises(AssayError, match=r"no run in .*empty"):
        merge([tmp_path / "empty"], tmp_path / "all")
    report = merge([tmp_path / "empty", tmp_path / "one"], tmp_path / "all")
    assert report.left_out == (f"{tmp_path / 'empty'} holds no run",)


def test_the_command_says_what_it_merged(tmp_path: Path, assay: Assay) -> None:
    store_run(tmp_path / "one", result_of("one"))
    store_run(tmp_path / "two", result_of("two"))
    answer = assay("store", "merge", "one", "two")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "merged 2 runs into results: 2 new, 6 files\n"
    shown = assay("show", "--all", "--json")
    assert shown.stdout.count('"workload": "heat"') == 2
