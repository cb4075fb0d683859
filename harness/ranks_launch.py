"""Runs a case with `world_size` > 1 from the worker process: one process a rank, one result.

The ranks are started by `torch.distributed.elastic.multiprocessing.start_processes`, the part of
torch's elastic launcher below `elastic_launch` and `torchrun`. It tells how every rank ended and
ends the others when one does; what each rank says goes to a file of its own. `elastic_launch` adds
a rendezvous and restarts: a rank that was started again would measure with cold ones, and the
reason of its death would be lost. Each rank runs `python -m harness.ranks_worker` in the
environment that `torchrun` gives, so that code cannot tell the two apart.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from harness.isolate import Answer, count_oom_kills, death
from harness.ranks import MAX_LOCAL_RANKS, thread_share, world_size
from harness.ranks_torch import first_failure, serve_store, start_processes
from harness.records import Outcome, Result
from harness.task import Task, encode

_HOST = "127.0.0.1"
_POLL_S = 0.05
_LOST_PEER = re.compile(r"\bDist\w*Error\b|/gloo/|(closed|reset) by peer", re.IGNORECASE)
"""What torch says on the ranks that remain where another one has died."""


def run_on_ranks(task: Task, enter: Callable[[str], None]) -> Result:
    """Run the case on its ranks, all on this host, and return rank 0's result.

    Where a rank fails or dies, the result says which and why, and the others are ended.

    Args:
        task: the case; its `folder` takes what the ranks say.
        enter: called with the name of each phase that rank 0 enters.
    """
    size = world_size(task.case.params)
    if size > MAX_LOCAL_RANKS:
        return _failed(
            task,
            f"world_size={size} is beyond {MAX_LOCAL_RANKS} ranks on one host; "
            "choose fewer, or start the case with torchrun on several hosts",
        )
    if importlib.util.find_spec("torch") is None:
        return _failed(
            task, "world_size > 1 needs torch.distributed; pip install 'assay[torch]', or use 1"
        )
    kills_before = count_oom_kills()
    folder = Path(task.folder)
    (folder / "task.json").write_bytes(encode(replace(task, parent_pid=os.getpid())))
    enter("start ranks")
    store = serve_store(_HOST)
    exits = _run(size, store.port, folder, enter)
    answers = [_answer(answer_file(folder, rank)) for rank in range(size)]
    return _together(task, answers, exits, first_failure(store), count_oom_kills() - kills_before)


def answer_file(folder: Path, rank: int) -> Path:
    """Return the file that a rank writes its messages to."""
    return folder / f"answer-{rank}"


def _run(size: int, port: int, folder: Path, enter: Callable[[str], None]) -> Mapping[int, int]:
    """Run the ranks until all have ended; return the exit status of each that failed."""
    context = start_processes(
        (sys.executable, "-P", "-m", "harness.ranks_worker", str(folder)),
        {rank: _environment(rank, size, port) for rank in range(size)},
        folder / "logs",
    )
    heard = Answer(enter)
    taken = 0
    try:
        while (ended := context.wait(timeout=0)) is None:
            lines = _lines(answer_file(folder, 0))
            for line in lines[taken:]:
                heard.take(line)
            taken = len(lines)
            time.sleep(_POLL_S)
    finally:
        context.close()
        # What a rank started is in the rank's group, and outlives a rank that ended by itself.
        for pid in context.pids().values():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    return {rank: failure.exitcode for rank, failure in ended.failures.items()}


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    variables = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "GROUP_RANK": "0",
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    # The name of this host may resolve to an address that cannot be reached, and need not.
    defaults = {"GLOO_SOCKET_IFNAME": "lo", **thread_share(size)}
    return variables | {name: os.environ.get(name, value) for name, value in defaults.items()}


def _answer(path: Path) -> Answer:
    """Return what a rank said; a line that its death cut short is left out."""
    answer = Answer()
    for line in _lines(path):
        with suppress(ValueError, msgspec.MsgspecError):
            answer.take(line)
    return answer


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def _together(
    task: Task,
    answers: Sequence[Answer],
    exits: Mapping[int, int],
    reported: tuple[int, str] | None,
    oom_kills: int,
) -> Result:
    """Return rank 0's result, or the one of the rank that made the others fail.

    What a rank reports first is the cause, unless it is the loss of a rank that died silently.
    """
    results = [answer.result for answer in answers]
    if reported is None and results[0] is not None and None not in results:
        return results[0]
    silent = [
        rank
        for rank, result in enumerate(results)
        if result is None and exits.get(rank, 0) != -signal.SIGTERM
    ]
    if reported is not None and not (silent and _LOST_PEER.search(reported[1])):
        rank, reason = reported
        result = results[rank] or _failed(task, reason)
    else:
        # Only where all were terminated from outside is none silent.
        rank = silent[0] if silent else min(exits, default=0)
        outcome, reason = death(exits.get(rank, 0), oom_kills, answers[rank].phase)
        result = replace(_failed(task, reason), outcome=outcome, phase=answers[rank].phase)
    return replace(result, reason=f"rank {rank} of {len(answers)}: {reason}")


def _failed(task: Task, reason: str) -> Result:
    return Result(
        case=task.case,
        process=task.process,
        outcome=Outcome.FAILED,
        reason=reason,
        phase="start ranks",
        environment=dict(task.environment),
    )
