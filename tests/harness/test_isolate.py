"""Real worker processes that end in every way a process can; each becomes one result."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import harness
from harness.errors import AssayError
from harness.isolate import LOG_TAIL_BYTES, run_isolated
from harness.measure import Sampling
from harness.records import Case, Outcome, Params, Result, Status
from harness.task import NOT_REGISTERED, PROTOCOL, Task
from harness.testing import FAKE_WORKLOAD

QUICK = Sampling(min_samples=3, max_samples=3, budget_s=0.1, warm_up_s=0.0)


def task_of(variant: str, hoard_bytes: int = 1 << 62, **options: object) -> Task:
    [found] = [one for one in FAKE_WORKLOAD.variants if one.name == variant]
    params: Params = {"step_s": 0.5, "real_s": 0.0, "hoard_bytes": hoard_bytes, "mode": "plain"}
    return Task(
        case=Case("fake", "1", variant, "fake", params),
        backend="harness.testing:FAKE_BACKEND",
        workload="harness.testing:FAKE_WORKLOAD",
        variant=found,
        sampling=QUICK,
        environment={"machine": "here"},
        **options,  # type: ignore[arg-type]
    )


def ended(variant: str, timeout_s: float = 60.0, **options: int | tuple[int, ...]) -> Result:
    return run_isolated(task_of(variant, **options), timeout_s=timeout_s, env={})  # type: ignore[arg-type]


def test_a_good_case_comes_back_with_everything_it_measured() -> None:
    phases: list[str] = []
    result = run_isolated(task_of("exact"), timeout_s=60.0, env={}, on_phase=phases.append)
    assert result.outcome is Outcome.OK
    assert [m.quantity for m in result.measurements] == [
        *("time", "peak_memory", "energy"),
        *("first_call", "canary", "canary"),
    ]
    assert result.measurements[0].values == (0.5, 0.5, 0.5)
    assert result.measurements[2].values == (5.0, 5.0, 5.0)
    assert result.work is not None
    assert result.work.items == 4.0
    assert result.quality is not None
    assert result.quality.values == {"score": 1.0}
    assert result.environment["machine"] == "here"
    assert {"runtime", "device"} <= set(result.environment)
    assert phases == [
        *("limits", "look up", "import", "canary", "prepare", "first call", "verify"),
        *("time", "peak_memory", "energy", "quality", "canary"),
    ]
    assert result.duration_s > 0
    assert result.started_at == pytest.approx(time.time(), abs=60)


def test_a_rejected_verification_is_failed_and_never_timed() -> None:
    result = ended("wrong")
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith("verification rejected the output: error 1, over")
    assert result.measurements == ()
    assert result.verification is not None
    assert not result.verification.passed


@pytest.mark.parametrize("variant", ["not-a-number", "not-json"])
def test_a_value_that_cannot_be_stored_is_failed_with_its_name(variant: str) -> None:
    result = ended(variant)
    assert result.outcome is Outcome.FAILED
    if variant == "not-a-number":
        assert "error not finite" in result.reason
    else:
        assert "a value that cannot be stored" in result.reason
        assert "float64" in result.reason


def test_an_exception_is_failed_with_its_traceback() -> None:
    result = ended("raises")
    assert result.outcome is Outcome.FAILED
    assert result.reason == "ValueError: the fake workload was asked to raise"
    assert "in prepare" in result.traceback
    assert result.phase == "prepare"


def test_input_that_is_not_accepted_is_flagged_as_the_users_to_mend() -> None:
    result = ended("rejects-input")
    assert (result.outcome, result.flags) == (Outcome.FAILED, ("bad_input",))
    assert result.reason == "input.txt: line 3 is not a number; repair the file"


def test_a_crash_names_its_signal_and_phase() -> None:
    result = ended("segfaults")
    assert result.outcome is Outcome.CRASHED
    assert result.reason == "killed by SIGSEGV in phase first call"


def test_running_out_of_memory_is_its_own_outcome() -> None:
    assert ended("hoards").outcome is Outcome.OUT_OF_MEMORY


def test_a_hang_ends_at_the_time_out_with_its_children() -> None:
    result = ended("hangs", timeout_s=3.0)
    assert result.outcome is Outcome.TIMEOUT
    assert result.reason.startswith("ran longer than 3 s (in phase first call)")
    assert not [child for child in psutil.Process().children() if "harness.worker" in _line(child)]


def test_what_a_worker_prints_is_kept_to_its_tail_and_never_taken_for_an_answer() -> None:
    result = ended("chatters")
    assert result.outcome is Outcome.OK
    assert result.log_tail.endswith("the last words\n")
    assert len(result.log_tail) <= LOG_TAIL_BYTES


def test_a_memory_limit_becomes_out_of_memory() -> None:
    # Untouched memory costs nothing, so that only the limit can refuse it.
    assert ended("hoards", hoard_bytes=8 << 30).outcome is Outcome.OK
    limited = ended("hoards", hoard_bytes=8 << 30, memory_limit_bytes=4 << 30)
    assert limited.outcome is Outcome.OUT_OF_MEMORY


def test_pinned_workers_run_on_their_cpus_only() -> None:
    cpu = max(os.sched_getaffinity(0))
    result = ended("exact", pin=(cpu,))
    assert result.environment["runtime"]["affinity"] == [cpu]


def test_a_worker_that_cannot_start_is_crashed_with_the_interpreters_words() -> None:
    result = run_isolated(task_of("exact"), timeout_s=60.0, env={"PYTHONHOME": "/nonexistent"})
    assert result.outcome is Outcome.CRASHED
    assert result.reason.startswith("exited with status 1 in phase start")
    assert "encodings" in result.log_tail


NASTY = """
import os, signal, sys, time
from dataclasses import dataclass
from harness.testing import FakeBackend, FakeDevice, FakeWorkload

@dataclass(frozen=True)
class Nasty(FakeWorkload):
    def prepare(self, device, variant, params, seed):
        answer = int(sys.argv[1])
        if params["mode"] == "signal":
            os.kill(os.getpid(), 40)
        if params["mode"] == "fork" and os.fork() == 0:
            time.sleep(60)
        if params["mode"] == "fork":
            os.kill(os.getpid(), signal.SIGSEGV)
        if params["mode"] == "bytes":
            os.write(answer, b'{"phase":"\\xff"}\\n' + b"[" * 5000 + b"\\n")
        if params["mode"] == "endless":
            for _ in range(70):
                os.write(answer, b"x" * (1 << 20))
            os.write(answer, b"\\n")
        return super().prepare(device, variant, params, seed)

class DeadCanary(FakeDevice):
    def canary(self):
        raise RuntimeError("no air")

class Backend(FakeBackend):
    def open(self, index):
        return DeadCanary()

class Closed(FakeBackend):
    def open(self, index):
        from harness import AssayError
        raise AssayError("the driver is too old; update it")

CLOSED = Closed()

WORKLOAD = Nasty()
BACKEND = Backend()
"""


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Run the workload above in one of its modes."""
    (tmp_path / "nasty.py").write_text(NASTY.replace("\\\\", "\\"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(mode: str) -> Result:
        task = task_of("exact")
        case = replace(task.case, params={**task.case.params, "mode": mode})
        task = replace(task, case=case, workload="nasty:WORKLOAD", backend="nasty:BACKEND")
        return run_isolated(task, timeout_s=30.0, env={})

    return run


def test_a_signal_without_a_name_is_a_crash_like_any_other(
    nasty: Callable[[str], Result],
) -> None:
    assert nasty("signal").reason == "killed by signal 40 in phase prepare"


def test_a_crash_is_told_at_once_though_a_child_holds_the_pipe(
    nasty: Callable[[str], Result],
) -> None:
    result = nasty("fork")
    assert (result.outcome, result.reason) == (
        Outcome.CRASHED,
        "killed by SIGSEGV in phase prepare",
    )


@pytest.mark.parametrize("mode", ["bytes", "endless"])
def test_junk_on_the_answer_pipe_is_kept_as_log_and_harms_nothing(
    nasty: Callable[[str], Result], mode: str
) -> None:
    result = nasty(mode)
    assert result.outcome is Outcome.OK
    assert "[on the answer pipe]" in result.log_tail


def test_a_canary_that_fails_loses_no_measurement(nasty: Callable[[str], Result]) -> None:
    result = nasty("plain")
    assert result.outcome is Outcome.OK
    canary = result.measurement("canary")
    assert canary is not None
    assert (canary.status, canary.reason) == (Status.UNAVAILABLE, "RuntimeError: no air")
    time_ = result.measurement("time")
    assert time_ is not None
    assert time_.values == (0.5, 0.5, 0.5)


OTHER_WORKER = """
import os, sys, time
os.write(int(sys.argv[1]), LINE.encode() + b"\\n")
time.sleep(60)
"""


@pytest.fixture
def worker_that_says(tmp_path: Path) -> Callable[[str], Result]:
    """Run a case in a worker of another Assay, which says one line and goes on working."""

    def run(line: str, timeout_s: float = 30.0) -> Result:
        (tmp_path / "harness").mkdir()
        (tmp_path / "harness/__init__.py").write_text("")
        (tmp_path / "harness/worker.py").write_text(OTHER_WORKER.replace("LINE", repr(line)))
        env = {"PYTHONPATH": str(tmp_path)}
        return run_isolated(task_of("exact"), timeout_s=timeout_s, env=env)

    return run


@pytest.mark.parametrize(
    ("line", "spoken", "older"),
    [
        (f'{{"protocol":{PROTOCOL + 1},"phase":["import"]}}', PROTOCOL + 1, "this Assay"),
        (f'{{"protocol":{PROTOCOL + 1}}}', PROTOCOL + 1, "this Assay"),
        ('{"phase":"import","result":null}', 0, "the worker's Assay"),
    ],
)
def test_a_worker_that_speaks_another_protocol_is_refused_at_once(
    worker_that_says: Callable[[str], Result], line: str, spoken: int, older: str
) -> None:
    result = worker_that_says(line)
    assert result.outcome is Outcome.FAILED
    assert result.reason.startswith(
        f"the worker speaks protocol {spoken}, this Assay {PROTOCOL}; upgrade {older}"
    )
    assert result.duration_s < 15


@pytest.mark.parametrize("line", ['{"some":"json"}', "[1]", f'{{"protocol":{PROTOCOL}}}'])
def test_json_that_is_no_answer_is_no_protocol(
    worker_that_says: Callable[..., Result], line: str
) -> None:
    result = worker_that_says(line, 2.0)
    assert result.outcome is Outcome.TIMEOUT
    assert "[on the answer pipe] " + line in result.log_tail


def test_a_worker_of_another_interpreter_answers_like_our_own(tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False)
    paths = [str(Path(harness.__file__).parents[1]), *sys.path[1:]]
    result = run_isolated(
        task_of("exact"),
        timeout_s=60.0,
        env={"PYTHONPATH": os.pathsep.join(paths)},
        python=tmp_path / "other/bin/python",
    )
    assert (result.outcome, result.reason) == (Outcome.OK, "")
    assert result.measurements[0].values == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("name", ["absent", "not-executable"])
def test_an_interpreter_that_cannot_start_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "not-executable").write_text("")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(AssayError, match=f"{name} cannot be started .*; name a Python interpreter"):
        run_isolated(task_of("exact"), timeout_s=9.0, env={}, python=tmp_path / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "change", [{"workload": "nowhere"}, {"variant": "nothing"}, {"params": {"n0pe": 1}}]
)
def test_names_that_a_worker_does_not_know_are_told_from_failures(change: dict[str, Any]) -> None:
    case = replace(Case("msrep", "1", "scipy", "cpu", {}), **change)
    task = Task(case=case, sampling=Sampling(min_samples=1, max_samples=1))
    result = run_isolated(task, timeout_s=60.0, env={})
    assert result.outcome is Outcome.FAILED
    assert result.flags == (NOT_REGISTERED,)
    assert result.reason.startswith("unknown ")


def test_a_device_that_does_not_open_is_no_bad_input(nasty: Callable[[str], Result]) -> None:
    assert nasty("plain").outcome is Outcome.OK
    result = run_isolated(replace(task_of("exact"), backend="nasty:CLOSED"), timeout_s=30.0, env={})
    assert (result.outcome, result.flags) == (Outcome.FAILED, ())
    assert result.reason == "the driver is too old; update it"


def test_killing_the_parent_kills_the_worker(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_isolate as t;"
        "t.run_isolated(t.task_of('hangs'), timeout_s=60.0, env={}, on_phase=print)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        assert any(line.strip() == "first call" for line in parent.stdout)
        [worker] = psutil.Process(parent.pid).children()
        parent.kill()
    worker.wait(timeout=10)
    assert not worker.is_running()


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
