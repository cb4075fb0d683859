"""Whatever happens to the folder, no stored result is lost and no damage goes unsaid."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import store
from harness.errors import AssayError
from harness.records import (
    Case,
    Measurement,
    Outcome,
    Quality,
    Result,
    Work,
    verified,
)

CASES = [
    Case("fake", "1", variant, "fake", {"step_s": 0.5, "mode": "plain"})
    for variant in ("exact", "half", "wrong")
]


def open_run(root: Path, fingerprint: str = "abc", force: bool = False) -> store.Run:
    return store.open_run(
        root, CASES, fingerprint=fingerprint, settings={}, environment={"id": "e"}, force=force
    )


def result_of(case: Case, value: float = 0.5) -> Result:
    return Result(
        case=case,
        outcome=Outcome.OK,
        verification=verified(0.0, 1.0, "reference"),
        work=Work(items=4.0, item="item", flops={"float64": 8.0}),
        measurements=(
            Measurement("time", "s", "process", "perf_counter", values=(value, value * 2)),
        ),
        quality=Quality({"score": 1.0}),
        environment={"id": "e", "list": [1, "two", None]},
    )


def test_a_stored_result_reads_back_equal(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        path = run.append(result_of(CASES[0]))
    assert store.read_result(path) == result_of(CASES[0])
    assert [stored.result for stored in store.read(tmp_path).results] == [result_of(CASES[0])]


finite = st.floats(allow_nan=False, allow_infinity=False)
measured = st.just(0.0) | st.floats(1e-24, 1e18) | st.floats(-1e18, -1e-24)
text = st.text(max_size=20)


@given(
    params=st.dictionaries(text, st.one_of(st.booleans(), st.integers(-9, 9), finite, text)),
    values=st.lists(measured, max_size=5),
    reason=text,
)
@settings(max_examples=60, deadline=None)
def test_any_result_survives_the_journey(
    tmp_path_factory: pytest.TempPathFactory,
    params: dict[str, bool | int | float | str],
    values: list[float],
    reason: str,
) -> None:
    case = Case("w", "1", "v", "b", params)
    result = Result(
        case=case,
        outcome=Outcome.FAILED,
        reason=reason,
        measurements=(Measurement("time", "s", "process", "m", values=tuple(values)),),
    )
    path = tmp_path_factory.mktemp("journey") / "result.json"
    store.write_record(path, "result", result)
    assert store.read_result(path) == result


def test_an_unfinished_run_is_resumed_with_its_results(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.append(result_of(CASES[0]))
    with open_run(tmp_path) as again:
        assert again.resumed
        assert again.header.id == run.header.id
        assert again.has(CASES[0])
        assert not again.has(CASES[1])
        assert again.results == [result_of(CASES[0])]


def test_a_finished_run_is_never_resumed(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.finish()
    with open_run(tmp_path) as again:
        assert not again.resumed
        assert again.header.id != run.header.id


def test_another_fingerprint_or_force_starts_anew(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.append(result_of(CASES[0]))
    with open_run(tmp_path, fingerprint="other") as other:
        assert not other.resumed
    with open_run(tmp_path, force=True) as forced:
        assert not forced.resumed


def test_two_runs_at_once_write_apart_and_lose_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path) as one, open_run(tmp_path) as two:
        assert not two.resumed
        assert one.header.id != two.header.id
        one.append(result_of(CASES[0], 1.0))
        two.append(result_of(CASES[0], 2.0))
    values = {
        r.measurements[0].values[0] for r in (one.result for one in store.read(tmp_path).results)
    }
    assert values == {1.0, 2.0}


def test_two_processes_never_resume_the_same_run(tmp_path: Path) -> None:
    with open_run(tmp_path):
        pass
    opened: list[store.Run] = []
    threads = [threading.Thread(target=lambda: opened.append(open_run(tmp_path))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.header.id for run in opened}) == 2
    for run in opened:
        run.__exit__(None, None, None)


def test_a_half_written_record_is_set_aside_with_a_message(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        whole = run.append(result_of(CASES[0]))
        torn = run.append(result_of(CASES[1]))
    torn.write_bytes(torn.read_bytes()[:100])
    part = whole.with_name(f".{torn.name}.1234.part")
    part.write_bytes(b'{"schema":1')
    before = whole.read_bytes()
    with open_run(tmp_path) as again:
        assert again.has(CASES[0])
        assert not again.has(CASES[1])
        assert len(again.messages) == 2
        assert all("set aside" in message for message in again.messages)
    assert whole.read_bytes() == before
    assert not part.exists()
    assert len(list((whole.parent / "set-aside").iterdir())) == 2


def test_a_start_that_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    killed = tmp_path / ".start-20260101T000000Z-dead"
    killed.mkdir()
    (killed / "lock").touch()
    os.utime(killed, (0, 0))
    with open_run(tmp_path):
        pass
    assert not list(tmp_path.glob(".start-*"))


def test_a_start_that_has_not_locked_itself_yet_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / ".start-20260101T000000Z-young"
    young.mkdir()
    with open_run(tmp_path):
        pass
    assert young.is_dir()
    assert list(young.iterdir()) == []


def test_a_stray_file_or_link_named_like_a_start_blocks_no_run(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "results"
    root.mkdir()
    (root / ".start-file").touch()
    (root / ".start-link").symlink_to(outside)
    for stray in root.iterdir():
        os.utime(stray, (0, 0), follow_symlinks=False)
    with open_run(root) as run:
        run.append(result_of(CASES[0]))
    assert len(store.read(root).results) == 1
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"schema":1}',
        b'{"schema":"one","result":{}}',
        b'{"schema":1,"result":{"case":3}}',
        b'{"schema":1,"result":' + b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_told_and_the_others_are_read(tmp_path: Path, body: bytes) -> None:
    with open_run(tmp_path) as run:
        run.append(result_of(CASES[0]))
        damaged = run.append(result_of(CASES[1]))
    damaged.write_bytes(body)
    contents = store.read(tmp_path)
    assert [stored.result.case for stored in contents.results] == [CASES[0]]
    assert len(contents.problems) == 1
    assert str(damaged) in contents.problems[0]
    assert "\n" not in contents.problems[0]
    assert damaged.read_bytes() == body


def test_what_a_newer_assay_wrote_is_refused_politely(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        path = run.append(result_of(CASES[0]))
    envelope = json.loads(path.read_bytes())
    envelope["schema"] = store.SCHEMA + 1
    path.write_text(json.dumps(envelope))
    with pytest.raises(AssayError, match=r"written by a newer Assay .*upgrade"):
        store.read_result(path)


def test_fields_that_a_later_assay_adds_are_ignored(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        path = run.append(result_of(CASES[0]))
    envelope = json.loads(path.read_bytes())
    envelope["result"]["mood"] = "fine"
    path.write_text(json.dumps(envelope))
    assert store.read_result(path) == result_of(CASES[0])


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    with open_run(tmp_path / "results") as run:
        path = run.append(result_of(CASES[0]))
    outside = tmp_path / "outside.json"
    path.rename(outside)
    path.symlink_to(outside)
    (tmp_path / "results" / "linked").symlink_to(tmp_path)
    contents = store.read(tmp_path / "results")
    assert contents.results == ()
    assert len(contents.problems) == 1


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        path = run.append(result_of(CASES[0]))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AssayError, match="not a regular file"):
        store.read_result(path)


def test_a_huge_file_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(AssayError, match="over 64 MiB"):
        store.read_result(path)


def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from harness import store
from harness.errors import AssayError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    store.write_record(Path(sys.argv[1]) / "result.json", "result", {"a": "b" * 100})
except AssayError as error:
    print(error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith(
        f"cannot write to the results folder {tmp_path}: File too large"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_results_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssayError, match=r"cannot write to the results folder .* --results"):
        open_run(tmp_path / "file" / "results")


def test_a_missing_folder_holds_nothing_and_an_unknown_run_is_named(tmp_path: Path) -> None:
    assert store.read(tmp_path / "none").results == ()
    with pytest.raises(AssayError, match=r"no run 'x' in .*; it holds no run"):
        store.read(tmp_path / "none", "x")
    with open_run(tmp_path) as run:
        pass
    with pytest.raises(AssayError, match=f"the latest is {run.header.id}"):
        store.read(tmp_path, "x")


def test_the_latest_run_is_the_one_with_the_newest_result(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.append(replace(result_of(CASES[0], 1.0), started_at=1000.0))
    older = tmp_path / "20200101T000000Z-00000000"
    (tmp_path / run.header.id).rename(older)
    with open_run(tmp_path, fingerprint="other") as later:
        later.append(replace(result_of(CASES[0], 2.0), started_at=2000.0))
    [stored] = store.read(tmp_path, "latest").results
    assert stored.run == later.header.id
    with open_run(tmp_path) as resumed:
        assert resumed.resumed
        resumed.append(replace(result_of(CASES[1], 3.0), started_at=3000.0))
    assert {stored.run for stored in store.read(tmp_path, "latest").results} == {older.name}
    with pytest.raises(AssayError, match=f"the latest is {older.name}"):
        store.read(tmp_path, "x")


def test_of_runs_without_a_dated_result_the_last_name_is_the_latest(tmp_path: Path) -> None:
    for name, started_at in (("20200101T000000Z-00000000", 1e300), ("20210101T000000Z-0", 0.0)):
        with open_run(tmp_path, fingerprint=name) as run:
            run.append(replace(result_of(CASES[0]), started_at=started_at))
        (tmp_path / run.header.id).rename(tmp_path / name)
    [stored] = store.read(tmp_path, "latest").results
    assert stored.run == "20210101T000000Z-0"


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_run_that_may_not_be_read_is_told_and_the_others_are_read(
    tmp_path: Path, mode: int
) -> None:
    with open_run(tmp_path) as run:
        run.append(result_of(CASES[0]))
    with open_run(tmp_path, fingerprint="other") as closed:
        closed.append(result_of(CASES[1]))
    code = """
import json, os, sys
from pathlib import Path
from harness import store
if os.geteuid() == 0:
    os.seteuid(65534)
found = [store.read(Path(), run) for run in (None, "latest", sys.argv[1])]
print(json.dumps([[len(one.results), list(one.problems)] for one in found]))
"""
    tmp_path.chmod(0o755)  # for another user, who comes in by the current folder
    (tmp_path / closed.header.id).chmod(mode)
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code, closed.header.id],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        (tmp_path / closed.header.id).chmod(0o755)
    line = f"{closed.header.id} cannot be read (Permission denied); check its permissions"
    assert json.loads(answer.stdout) == [[1, [line]], [1, [line]], [0, [line]]]


def test_equal_values_have_equal_fingerprints_whatever_their_order() -> None:
    assert store.fingerprint({"a": 1, "b": 2}) == store.fingerprint({"b": 2, "a": 1})
    assert store.fingerprint({"a": 1}) != store.fingerprint({"a": 2})


def test_a_result_is_plain_json(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        path = run.append(result_of(CASES[0]))
    assert msgspec.json.decode(path.read_bytes())["result"]["case"]["workload"] == "fake"
