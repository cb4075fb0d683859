"""Kills a process of a pool, as a system that is short of memory does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time


def kill_a_worker() -> None:
    """Kill this process's workers as soon as there is one; run it in a thread of its own."""
    deadline_s = time.monotonic() + 30.0
    while not multiprocessing.active_children() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    for worker in multiprocessing.active_children():
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
