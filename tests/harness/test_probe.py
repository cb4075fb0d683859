"""Real probe processes that answer, fail, die and hang; a run goes on after each."""

from __future__ import annotations

import os
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.probe import Probe, measure_ceilings
from harness.task import PROTOCOL

BACKENDS = """
import os, signal, sys, time
from harness.records import Ceiling
from harness.testing import FakeBackend, FakeDevice

class Device(FakeDevice):
    def ceilings(self):
        mode = os.environ["MODE"]
        if mode == "raises":
            raise RuntimeError("the driver\\nis gone")
        if mode == "exits":
            sys.exit(3)
        if mode == "dies":
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if mode == "hangs":
            time.sleep(60)
        if mode == "other":
            os.write(int(sys.argv[1]), b'{"protocol":NEWER}\\n')
            time.sleep(60)
        if mode == "junk":
            os.write(int(sys.argv[1]), b'{"some":"junk"}\\nand more\\n')
        if mode == "nothing":
            return []
        rate = {"zero": 0.0, "nan": float("nan")}.get(mode, float(len(os.sched_getaffinity(0))))
        return [Ceiling("memory_rate", "L1", "B/s", (rate,), 64.0, os.environ["PYTHONHASHSEED"])]

class Backend(FakeBackend):
    def open(self, index):
        return Device() if index == 0 else super().open(index)

class Plain:
    def open(self, index):
        return object()

BACKEND, PLAIN = Backend(), Plain()
"""


@pytest.fixture
def probe(tmp_path: Path) -> Callable[..., Probe]:
    """Probe one of the backends above in one of its modes."""
    (tmp_path / "odd.py").write_text(BACKENDS.replace("NEWER", str(PROTOCOL + 1)))

    def run(mode: str, path: str = "odd:BACKEND", **options: object) -> Probe:
        env = {"PYTHONPATH": str(tmp_path), "MODE": mode, "PYTHONHASHSEED": "7"}
        given = {"device_index": 0, "pin": (), "timeout_s": 30.0, "env": env, **options}
        return measure_ceilings(path, **given)  # type: ignore[arg-type]

    return run


def test_ceilings_are_measured_with_the_pin_and_environment_of_the_run(
    probe: Callable[..., Probe],
) -> None:
    found = probe("well", pin=(max(os.sched_getaffinity(0)),))
    assert found.reason == ""
    [ceiling] = found.ceilings
    assert (ceiling.values, ceiling.method) == ((1.0,), "7")


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("raises", "RuntimeError: the driver is gone"),
        ("exits", "SystemExit: 3"),
        ("dies", "the probe ended with status -11: last words"),
        ("nothing", "its device measured none"),
        ("zero", "its device measured [0.0] as memory_rate of L1"),
        ("nan", "its device measured [nan] as memory_rate of L1"),
    ],
)
def test_a_probe_that_fails_says_why_and_raises_nothing(
    probe: Callable[..., Probe], mode: str, reason: str
) -> None:
    assert probe(mode) == Probe(reason=reason)


def test_a_probe_that_hangs_ends_at_the_time_out(probe: Callable[..., Probe]) -> None:
    started = time.monotonic()
    assert probe("hangs", timeout_s=3.0).reason == "the probe ran longer than 3 s"
    assert time.monotonic() - started < 20


def test_a_probe_of_another_protocol_is_refused_at_once(probe: Callable[..., Probe]) -> None:
    started = time.monotonic()
    assert f"speaks protocol {PROTOCOL + 1}, this Assay {PROTOCOL}" in probe("other").reason
    assert time.monotonic() - started < 20


def test_junk_on_the_answer_pipe_is_not_an_answer(probe: Callable[..., Probe]) -> None:
    assert len(probe("junk").ceilings) == 1


def test_a_device_without_ceilings_is_no_failure_but_a_reason(probe: Callable[..., Probe]) -> None:
    found = probe("well", path="odd:PLAIN")
    assert found.ceilings == ()
    assert "has no ceilings()" in found.reason


def test_a_device_that_is_not_there_is_a_reason(probe: Callable[..., Probe]) -> None:
    assert "there is no index 5" in probe("well", device_index=5).reason
    assert "no_such_module" in probe("well", path="no_such_module:BACKEND").reason


def test_an_interpreter_without_the_probe_is_a_reason(
    probe: Callable[..., Probe], tmp_path: Path
) -> None:
    venv.create(tmp_path / "other", with_pip=False)
    found = probe("well", python=tmp_path / "other/bin/python")
    assert "No module named 'harness'" in found.reason


def test_what_would_keep_every_worker_from_starting_is_an_error(
    probe: Callable[..., Probe], tmp_path: Path
) -> None:
    with pytest.raises(AssayError, match="cannot be started"):
        probe("well", python=tmp_path / "absent")
    with pytest.raises(AssayError, match="CPU 8000 is not there"):
        probe("well", pin=(8000,))


def test_the_fake_device_has_ceilings() -> None:
    found = measure_ceilings(
        "harness.testing:FAKE_BACKEND", device_index=0, pin=(), env={}, timeout_s=30.0
    )
    assert [ceiling.level for ceiling in found.ceilings] == ["L1", "float64"]
