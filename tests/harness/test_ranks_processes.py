"""Real ranks: processes of torch's launcher that talk over gloo, and end in every way they can."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")

from harness.isolate import run_isolated
from harness.measure import Sampling
from harness.records import Case, Outcome, Params, Result, Variant
from harness.stored import read
from harness.task import BAD_INPUT, Task, encode

RANKED = """
import ctypes, subprocess, sys, time
from dataclasses import dataclass, field
from harness import AssayError
from harness.records import Parameter, verified
from harness.testing import FakeBackend, FakeWorkload

class Host(FakeBackend):
    def features(self):
        return super().features() | {"host"}

@dataclass(frozen=True)
class Ranked(FakeWorkload):
    name: str = "ranked"
    parameters: dict = field(default_factory=lambda: {
        "world_size": Parameter(1, "ranks"),
        "step_s": Parameter(0.125, ""),
        "real_s": Parameter(0.0, ""),
        "hoard_bytes": Parameter(1, ""),
        "mode": Parameter("plain", ""),
    })

    def cases(self, size):
        yield {}

    def prepare_rank(self, device, variant, params, seed, group):
        mode = params["mode"] if group.rank == 1 else "plain"
        if mode == "rejects":
            raise AssayError("input.txt: line 3 is not a number; repair the file")
        if mode == "hangs":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "grandchild"])
        slow = {**params, "step_s": params["step_s"] * (1 + group.rank)}
        return super().prepare(device, variant, slow, seed), mode, group

    def step(self, state):
        fake, mode, group = state
        if mode == "raises":
            raise ValueError("asked to raise")
        if mode == "dies":
            ctypes.string_at(0)
        if mode == "hangs":
            time.sleep(600)
        super().step(fake)

    def verify(self, state):
        return verified(1.0 if state[1] == "is wrong" else 0.0, 1e-9, "the number", "look here")

    def counters(self, state):
        return {"sum_of_ranks": float(sum(state[2].gather(state[2].rank)))}

    def quality(self, state):
        return super().quality(state[0])

class Stubborn(FakeWorkload):
    pass

WORKLOAD = Ranked()
WITHOUT = Stubborn()
BACKEND = Host()
"""
QUICK = Sampling(min_samples=3, max_samples=3, budget_s=0.1, warm_up_s=0.0)
STARTS_S = 120.0  # many times what ranks need to start on two busy cores


@pytest.fixture
def ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Make a task for the workload above, in one of its modes."""
    plugin = tmp_path / "plugin"
    info = plugin / "ranked-1.0.dist-info"
    info.mkdir(parents=True)
    (plugin / "ranked.py").write_text(RANKED)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ranked\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[assay.backends]\nfake = ranked:BACKEND\n[assay.workloads]\nranked = ranked:WORKLOAD\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def task(mode: str, size: int = 2) -> Task:
        params: Params = {
            "world_size": size,
            "step_s": 0.125,
            "real_s": 0.0,
            "hoard_bytes": 1,
            "mode": mode,
        }
        return Task(
            case=Case("ranked", "1", "exact", "fake", params),
            backend="ranked:BACKEND",
            workload="ranked:WORKLOAD",
            variant=Variant("exact", "harness.testing.fakes:VirtualClock", baseline=True),
            sampling=QUICK,
            environment={"machine": "here"},
        )

    return task


def ended(task: Task, timeout_s: float = STARTS_S) -> Result:
    return run_isolated(task, timeout_s=timeout_s, env={})


def test_a_case_on_two_ranks_reports_the_slower_ones_time_and_the_skew(
    ranked: Callable[..., Task], tmp_path: Path
) -> None:
    phases: list[str] = []
    result = run_isolated(ranked("plain"), timeout_s=STARTS_S, env={}, on_phase=phases.append)
    assert (result.outcome, result.reason) == (Outcome.OK, "")
    found = {one.quantity: one.values for one in result.measurements if one.phase == "steady"}
    assert found["time"] == (0.25, 0.25, 0.25)
    assert found["skew"] == (0.125, 0.125, 0.125)
    assert found["energy"] == (3.75, 3.75, 3.75)  # of two devices that take 10 W
    assert result.counters == {"sum_of_ranks": 1.0}
    assert result.environment["machine"] == "here"
    told = result.environment["ranks"]
    assert (told["world_size"], told["collectives"]) == (2, "gloo")
    assert len(told["threads"]) == 2
    assert min(told["threads"]) >= 1
    assert result.environment["runtime"]["numba"] is None
    assert phases[0] == "start ranks"
    assert phases[-3:] == ["energy", "quality", "canary"]
    assert not list(tmp_path.glob("assay-ranks-*"))


@pytest.mark.parametrize(
    ("mode", "outcome", "reason"),
    [
        ("dies", Outcome.CRASHED, "rank 1 of 2: killed by SIGSEGV in phase first call"),
        ("raises", Outcome.FAILED, "rank 1 of 2: ValueError: asked to raise"),
        pytest.param(
            "rejects",
            Outcome.FAILED,
            "rank 1 of 2: input.txt: line 3 is not a number; repair the file",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            "is wrong",
            Outcome.FAILED,
            "verification rejected the output: error 1, over the tolerance 1e-09, against the "
            "number; rank 1 of 2: look here",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_one_rank_that_fails_makes_one_result_that_names_it(
    ranked: Callable[..., Task], mode: str, outcome: Outcome, reason: str
) -> None:
    result = ended(ranked(mode))
    assert (result.outcome, result.reason) == (outcome, reason)
    assert (BAD_INPUT in result.flags) == (mode == "rejects")
    assert ("asked to raise" in result.traceback) == (mode == "raises")
    assert result.measurements == ()


def family(marks: tuple[str, ...]) -> list[psutil.Process]:
    """Living processes with one of these words on their command line."""
    return [one for one in psutil.process_iter() if set(marks) & set(words(one))]


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def gone(marks: tuple[str, ...]) -> bool:
    deadline = time.monotonic() + 10.0
    while (left := family(marks)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not left


@pytest.fixture
def hanging(ranked: Callable[..., Task]) -> Iterator[tuple[Task, tuple[str, ...]]]:
    """A task whose rank 1 hangs with a child, and the words that tell their processes."""
    marks = ("harness.ranks_worker", "grandchild")
    assert not family(marks)
    yield ranked("hangs"), marks
    assert gone(marks)


def test_a_time_out_ends_every_rank_and_what_they_started(
    hanging: tuple[Task, tuple[str, ...]],
) -> None:
    task, marks = hanging
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            seen.update(word for one in family(marks) for word in words(one) if word in marks)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = ended(task, timeout_s=7.0)
    finally:
        done.set()
        watcher.join()
    assert result.outcome is Outcome.TIMEOUT
    assert result.reason.startswith("ran longer than 7 s (in phase ")
    assert seen == set(marks)
    assert not family(marks)


@pytest.mark.soak
def test_killing_the_parent_ends_every_rank(hanging: tuple[Task, tuple[str, ...]]) -> None:
    task, _ = hanging
    code = (
        "import sys; from harness import isolate, task;"
        "isolate.run_isolated(task.decode_task(sys.stdin.buffer.read()), timeout_s=99, env={},"
        " on_phase=print)"
    )
    # What ranks start themselves outlives them here, as in a case on one device.
    params = {**task.case.params, "mode": "plain", "real_s": 600.0}
    slow = replace(task, case=replace(task.case, params=params))
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(encode(slow))
        parent.stdin.close()
        assert any(line.strip() == b"first call" for line in parent.stdout)
        assert len(family(("harness.ranks_worker",))) == 2
        parent.kill()
    assert gone(("harness.ranks_worker",))


@pytest.mark.soak
def test_a_workload_without_ranks_is_refused_clearly(ranked: Callable[..., Task]) -> None:
    result = ended(replace(ranked("plain"), workload="ranked:WITHOUT"))
    assert result.outcome is Outcome.FAILED
    assert "it has no prepare_rank); leave world_size at 1" in result.reason


def test_more_ranks_than_a_host_should_start_are_refused(ranked: Callable[..., Task]) -> None:
    result = ended(ranked("plain", size=1000))
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("world_size=1000 is beyond 128 ranks on one host")


def torchrun(results: Path, *options: str, nodes: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *nodes]
    case = ["-w", "ranked", "-b", "fake", "--variant", "exact", "--results", str(results)]
    return subprocess.Popen(
        [*launcher, "-m", "harness.ranks_torchrun", *case, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )


def said(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=STARTS_S)
    return process.returncode, output


def test_the_same_case_runs_under_torchrun_and_rank_0_stores_it(
    ranked: Callable[..., Task], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    status, output = said(torchrun(results, "--processes", "1"))
    assert status == 0, output
    assert "process 0 is in run" in output
    assert "the run is finished" in output
    [stored] = read(results).results
    assert stored.result.outcome is Outcome.OK
    assert stored.result.case == ranked("plain").case
    time_ = stored.result.measurement("time")
    assert time_ is not None
    assert set(time_.values) == {0.25}
    assert stored.result.environment["ranks"]["world_size"] == 2


@pytest.mark.soak
def test_under_torchrun_a_failing_rank_is_named_and_further_calls_add_processes(
    ranked: Callable[..., Task], tmp_path: Path
) -> None:
    del ranked
    results = tmp_path / "results"
    status, output = said(torchrun(results, "-p", "mode=raises"))
    assert status == 1, output
    [failed] = read(results).results
    assert failed.result.reason == "rank 1 of 2: ValueError: asked to raise"
    for _ in range(2):
        assert said(torchrun(tmp_path / "again", "--processes", "2"))[0] == 0
    stored = read(tmp_path / "again").results
    assert sorted(one.result.process for one in stored) == [0, 1]
    assert len({one.run for one in stored}) == 1


@pytest.mark.soak
def test_two_agents_of_torchrun_run_one_case_as_two_hosts_would(
    ranked: Callable[..., Task], tmp_path: Path
) -> None:
    del ranked
    results = tmp_path / "results"
    port = str(29000 + os.getpid() % 1000)
    nodes = ("--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", port)
    agents = [
        torchrun(results, "--processes", "1", nodes=(*nodes, "--node-rank", str(rank)))
        for rank in range(2)
    ]
    for agent in agents:
        status, output = said(agent)
        assert status == 0, output
    [stored] = read(results).results
    told = stored.result.environment["ranks"]
    assert (told["world_size"], len(told["hosts"])) == (4, 2)
    # Of two hosts, whose fake counters are the devices' own: all four count.
    energy = stored.result.measurement("energy")
    assert energy is not None
    assert energy.values[0] == 10.0 * 0.125 * (1 + 2 + 3 + 4)


def test_without_torchrun_the_entry_says_how_to_start_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.ranks_torchrun", "-w", "msrep"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("assay: no rank: RANK, WORLD_SIZE,")
    assert done.stderr.count("\n") == 1
