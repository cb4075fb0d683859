"""Runs one case in a fresh process, so that its crash, hang or hunger for memory costs one case."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import msgspec
import psutil

from harness import limits, ranks
from harness.errors import AssayError
from harness.records import Outcome, Result
from harness.task import PROTOCOL, Task, decode_message, encode, protocol_of
from harness.validity import MAX_FILE_BYTES

LOG_TAIL_BYTES = 8 << 10
"""Enough for the last screens of output; a worker that prints without end costs no more."""

_BLOCK_BYTES = 1 << 16
_JUNK_BYTES = 200  # enough to tell what it was, and leaves room for the worker's own last words
_LONGEST_WAIT_S = 86_400.0  # epoll refuses more than 2^31 ms
_REAP_S = 5.0  # a worker that has answered may take this long to tear down before it is killed


def run_isolated(
    task: Task,
    *,
    timeout_s: float,
    env: Mapping[str, str],
    on_phase: Callable[[str], None] = lambda phase: None,
    python: str | Path = sys.executable,
) -> Result:
    """Run a task in a fresh worker process and return its result, whatever becomes of the worker.

    The worker answers over a pipe of its own; what it prints is read apart and its tail is kept.

    Args:
        task: the case and how to measure it.
        timeout_s: after this long the worker and all its children are killed.
        env: variables set in the worker on top of this process's own.
        on_phase: called with the name of each phase that the worker enters.
        python: the interpreter of the worker, which imports its own Assay.

    Raises:
        AssayError: there is no such interpreter, or `task.pin` names a CPU that is not there.
    """
    started_at, started = time.time(), time.monotonic()
    answer = Answer(on_phase)
    ending: Ending | None = None
    try:
        with _folder_for_ranks(task) as folder:
            ending = converse(
                "harness.worker",
                encode(replace(task, parent_pid=os.getpid(), folder=folder)),
                answer.take,
                timeout_s=timeout_s,
                env=env,
                pin=task.pin,
                python=python,
            )
    except OtherProtocolError as error:
        outcome, reason = Outcome.FAILED, str(error)
    else:
        outcome, reason = (
            (Outcome.TIMEOUT, _timeout_reason(timeout_s, answer.phase))
            if ending.timed_out
            else death(ending.status, ending.oom_kills, answer.phase)
        )
    result = answer.result or Result(
        case=task.case,
        process=task.process,
        outcome=outcome,
        reason=reason,
        phase=answer.phase,
        environment=dict(task.environment),
    )
    return replace(
        result,
        started_at=started_at,
        duration_s=time.monotonic() - started,
        log_tail="" if ending is None else ending.log_tail,
    )


def _folder_for_ranks(task: Task) -> contextlib.AbstractContextManager[str]:
    if ranks.world_size(task.case.params) == 1:
        return contextlib.nullcontext("")
    # Made here: a launcher that is killed leaves nothing behind.
    return tempfile.TemporaryDirectory(prefix="assay-ranks-")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child process ended.

    Attributes:
        status: its exit status; negative for the signal that killed it.
        timed_out: whether it was killed because its time ran out.
        oom_kills: how many processes the kernel killed for lack of memory meanwhile.
        log_tail: the end of what it printed.
    """

    status: int
    timed_out: bool
    oom_kills: int
    log_tail: str


class OtherProtocolError(Exception):
    """A child that speaks another version of the protocol: one line with the fix."""


def converse(
    module: str,
    request: bytes,
    take: Callable[[bytes], bool],
    *,
    timeout_s: float,
    env: Mapping[str, str],
    pin: Sequence[int] = (),
    python: str | Path = sys.executable,
) -> Ending:
    """Start `python -m module ANSWER_FD`, send it a request, and hear it until its answer is whole.

    It and all its children are gone when this returns, however it returns.

    Args:
        module: what to run; it reads the request from stdin and writes lines to ANSWER_FD.
        request: what is sent.
        take: called with each line of the answer; says whether it was the last. A line that it
            cannot read (ValueError, MsgspecError) is not the child's own and is kept as a print.
        timeout_s: after this long the child is killed.
        env: variables set in the child on top of this process's own.
        pin: CPUs to start it on; empty for all.
        python: its interpreter.

    Raises:
        AssayError: there is no such interpreter, or `pin` names a CPU that is not there.
    """
    deadline = time.monotonic() + timeout_s
    kills_before = count_oom_kills()
    read_end, write_end = os.pipe()
    try:
        # Inherited, so that threads which libraries start while they are imported are pinned too.
        with limits.pinned(pin):
            child = subprocess.Popen(
                [python, "-P", "-m", module, str(write_end)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                env={**os.environ, **env},
                start_new_session=True,
            )
    except BaseException as error:
        os.close(read_end)
        if isinstance(error, FileNotFoundError | PermissionError):
            raise AssayError(
                f"{python} cannot be started ({error.strerror}); name a Python interpreter"
            ) from error
        raise
    finally:
        os.close(write_end)
    conversation = _Conversation(take)
    try:
        _send(child, request)
        timed_out = not conversation.listen(child, read_end, deadline)
    finally:
        _kill_group(child)
        os.close(read_end)
    return Ending(
        status=child.returncode,
        timed_out=timed_out,
        oom_kills=count_oom_kills() - kills_before,
        log_tail=bytes(conversation.log).decode(errors="replace"),
    )


def other_protocol(spoken: int) -> OtherProtocolError:
    """Return the refusal of a child that speaks that version."""
    older = "this Assay" if spoken > PROTOCOL else "the worker's Assay"
    return OtherProtocolError(
        f"the worker speaks protocol {spoken}, this Assay {PROTOCOL}; upgrade {older} "
        "with `pip install -U assay`, or measure a commit that speaks the same"
    )


def death(status: int, oom_kills: int, phase: str) -> tuple[Outcome, str]:
    """Return what to say of a worker that ended without an answer.

    Args:
        status: its exit status; negative for the signal that killed it.
        oom_kills: how many processes the kernel killed for lack of memory meanwhile.
        phase: the last one that it entered.
    """
    if status == -signal.SIGKILL and oom_kills > 0:
        return Outcome.OUT_OF_MEMORY, f"killed by the kernel for lack of memory in phase {phase}"
    if status < 0:
        known = {one.value: one.name for one in signal.Signals}
        name = known.get(-status, f"signal {-status}")
        return Outcome.CRASHED, f"killed by {name} in phase {phase}"
    return Outcome.CRASHED, f"exited with status {status} in phase {phase} before it answered"


def count_oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory so far; 0 where it says not."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Answer:
    """What a worker has said of its case so far."""

    def __init__(self, on_phase: Callable[[str], None] = lambda phase: None) -> None:
        self.phase = "start"
        self.result: Result | None = None
        self._on_phase = on_phase

    def take(self, line: bytes) -> bool:
        """Take a line of the answer and return whether it was the last.

        Raises:
            ValueError, msgspec.MsgspecError: the line is no message.
            OtherProtocolError: it is one of another version.
        """
        spoken = protocol_of(line)
        # Anything printed as JSON speaks version 0; only with a phase or result is it an answer.
        if spoken not in (0, PROTOCOL):
            raise other_protocol(spoken)
        message = decode_message(line)
        if not message.phase and message.result is None:
            raise ValueError("neither a phase nor a result")
        if spoken == 0:
            raise other_protocol(spoken)
        if message.phase:
            self.phase = message.phase
            self._on_phase(message.phase)
        self.result = message.result
        return self.result is not None


class _Conversation:
    """What has been heard from a child so far: whether it has answered, and its prints."""

    def __init__(self, take: Callable[[bytes], bool]) -> None:
        self.answered = False
        self.log = bytearray()
        self._take = take
        self._pending = bytearray()

    def listen(self, child: subprocess.Popen[bytes], answer: int, deadline: float) -> bool:
        """Listen until the child has answered or ended; return False where the time ran out."""
        assert child.stdout is not None
        output = child.stdout.fileno()
        # A child of the child may hold both pipes open beyond its death.
        death = os.pidfd_open(child.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in (answer, output, death):
                    selector.register(descriptor, selectors.EVENT_READ)
                while not self.answered and answer in selector.get_map():
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        return False
                    ready = {
                        key.fd for key, _ in selector.select(timeout=min(left_s, _LONGEST_WAIT_S))
                    }
                    for descriptor in ready & {answer, output}:
                        block = os.read(descriptor, _BLOCK_BYTES)
                        if not block:
                            selector.unregister(descriptor)
                        elif descriptor == answer:
                            self._hear(block)
                        else:
                            self._keep(block)
                    # What a dead child had answered is in the pipe already.
                    if death in ready and answer not in ready:
                        break
        finally:
            os.close(death)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_REAP_S)
        self._drain(child.stdout)
        return True

    def _hear(self, block: bytes) -> None:
        first, *later = block.split(b"\n")
        self._pending += first
        for line in later:
            if not self.answered:
                self._hear_line(bytes(self._pending))
            self._pending = bytearray(line)
        if len(self._pending) > MAX_FILE_BYTES:
            # No answer is as large: something else writes here, and what it wrote is dropped.
            self._keep(b"[on the answer pipe] a line without end\n")
            self._pending.clear()

    def _hear_line(self, line: bytes) -> None:
        try:
            self.answered = self._take(line)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            # Something in the child wrote to a descriptor that is not its own.
            self._keep(b"[on the answer pipe] " + line[:_JUNK_BYTES] + b"\n")

    def _keep(self, block: bytes) -> None:
        self.log += block
        del self.log[:-LOG_TAIL_BYTES]

    def _drain(self, output: IO[bytes]) -> None:
        os.set_blocking(output.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while block := os.read(output.fileno(), _BLOCK_BYTES):
                self._keep(block)


def _send(child: subprocess.Popen[bytes], body: bytes) -> None:
    assert child.stdin is not None
    # A child that dies at once leaves a broken pipe; its death is reported as what it is.
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(body)
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # Ranks are started in sessions of their own, which the signal to the group does not reach.
    # A child that was waited for has lent its number to whoever comes next.
    below = _descendants(child.pid) if child.returncode is None else []
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()
    child.wait()
    psutil.wait_procs(below, timeout=_REAP_S)
    if child.stdout is not None:
        child.stdout.close()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _timeout_reason(timeout_s: float, phase: str) -> str:
    return (
        f"ran longer than {timeout_s:g} s (in phase {phase}); "
        "give it more with --timeout or choose a smaller size"
    )
