"""Runs one case in a fresh process, so that its crash, hang or hunger for memory costs one case."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import msgspec

from harness import limits
from harness.records import Outcome, Result
from harness.task import Message, Task, decode_message, encode
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
) -> Result:
    """Run a task in a fresh worker process and return its result, whatever becomes of the worker.

    The worker answers over a pipe of its own; what it prints is read apart and its tail is kept.

    Args:
        task: the case and how to measure it.
        timeout_s: after this long the worker and all its children are killed.
        env: variables set in the worker on top of this process's own.
        on_phase: called with the name of each phase that the worker enters.
    """
    started_at, started = time.time(), time.monotonic()
    kills_before = _oom_kills()
    read_end, write_end = os.pipe()
    # Inherited, so that threads which libraries start while they are imported are pinned too.
    with limits.pinned(task.pin):
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.worker", str(write_end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            env={**os.environ, **env},
            start_new_session=True,
        )
    os.close(write_end)
    conversation = _Conversation(on_phase)
    try:
        _send(worker, encode(replace(task, parent_pid=os.getpid())))
        timed_out = not conversation.listen(worker, read_end, deadline=started + timeout_s)
    finally:
        _kill_group(worker)
        os.close(read_end)
    result = conversation.result
    if result is None:
        outcome, reason = (
            (Outcome.TIMEOUT, _timeout_reason(timeout_s, conversation.phase))
            if timed_out
            else _death(worker.returncode, conversation.phase, _oom_kills() - kills_before)
        )
        result = Result(
            case=task.case,
            process=task.process,
            outcome=outcome,
            reason=reason,
            phase=conversation.phase,
            environment=dict(task.environment),
        )
    return replace(
        result,
        started_at=started_at,
        duration_s=time.monotonic() - started,
        log_tail=bytes(conversation.log).decode(errors="replace"),
    )


class _Conversation:
    """What has been heard from a worker so far: its answer and its prints."""

    def __init__(self, on_phase: Callable[[str], None]) -> None:
        self.phase = "start"
        self.result: Result | None = None
        self.log = bytearray()
        self._on_phase = on_phase
        self._pending = bytearray()

    def listen(self, worker: subprocess.Popen[bytes], answer: int, deadline: float) -> bool:
        """Listen until the worker has answered or ended; return False where the time ran out."""
        assert worker.stdout is not None
        output = worker.stdout.fileno()
        # A child of the worker may hold both pipes open beyond the worker's death.
        death = os.pidfd_open(worker.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in (answer, output, death):
                    selector.register(descriptor, selectors.EVENT_READ)
                while self.result is None and answer in selector.get_map():
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
                    # What a dead worker had answered is in the pipe already.
                    if death in ready and answer not in ready:
                        break
        finally:
            os.close(death)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=_REAP_S)
        self._drain(worker.stdout)
        return True

    def _hear(self, block: bytes) -> None:
        first, *later = block.split(b"\n")
        self._pending += first
        for line in later:
            self._take(bytes(self._pending))
            self._pending = bytearray(line)
        if len(self._pending) > MAX_FILE_BYTES:
            # No result is as large: something else writes here, and what it wrote is dropped.
            self._keep(b"[on the answer pipe] a line without end\n")
            self._pending.clear()

    def _take(self, line: bytes) -> None:
        try:
            message = decode_message(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # Something in the worker wrote to a descriptor that is not its own.
            self._keep(b"[on the answer pipe] " + line[:_JUNK_BYTES] + b"\n")
            message = Message()
        if message.phase:
            self.phase = message.phase
            self._on_phase(message.phase)
        self.result = self.result or message.result

    def _keep(self, block: bytes) -> None:
        self.log += block
        del self.log[:-LOG_TAIL_BYTES]

    def _drain(self, output: IO[bytes]) -> None:
        os.set_blocking(output.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while block := os.read(output.fileno(), _BLOCK_BYTES):
                self._keep(block)


def _send(worker: subprocess.Popen[bytes], body: bytes) -> None:
    assert worker.stdin is not None
    # A worker that dies at once leaves a broken pipe; its death is reported as what it is.
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.write(body)
    with contextlib.suppress(BrokenPipeError):
        worker.stdin.close()


def _kill_group(worker: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


def _timeout_reason(timeout_s: float, phase: str) -> str:
    return (
        f"ran longer than {timeout_s:g} s (in phase {phase}); "
        "give it more with --timeout or choose a smaller size"
    )


def _death(status: int, phase: str, oom_kills: int) -> tuple[Outcome, str]:
    if status == -signal.SIGKILL and oom_kills > 0:
        return Outcome.OUT_OF_MEMORY, f"killed by the kernel for lack of memory in phase {phase}"
    if status < 0:
        known = {one.value: one.name for one in signal.Signals}
        name = known.get(-status, f"signal {-status}")
        return Outcome.CRASHED, f"killed by {name} in phase {phase}"
    return Outcome.CRASHED, f"exited with status {status} in phase {phase} before it answered"


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory so far; 0 where it says not."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
