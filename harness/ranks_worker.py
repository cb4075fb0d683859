"""One rank of a case: started by `harness.ranks_launch` as `python -m harness.ranks_worker FOLDER`.

It reads the task from FOLDER and writes its messages to a file of its own there. A rank that fails
says so first and ends with status 1, upon which the launcher ends the others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness import limits
from harness.ranks import Place
from harness.ranks_launch import answer_file
from harness.ranks_torch import Rank, leave
from harness.records import Result
from harness.task import Message, decode_task, encode
from harness.worker import run_case, storable

_PATIENCE_S = 7 * 86_400.0
"""How long a rank waits for another: longer than any case's time-out, which ends them all."""


def main() -> None:
    """Work on this rank's share of the case that the folder in argv holds."""
    folder = Path(sys.argv[1])
    task = decode_task((folder / "task.json").read_bytes())
    limits.die_with_parent(task.parent_pid)
    place = Place.from_environment()
    with answer_file(folder, place.rank).open("wb", buffering=0) as answer:

        def send(message: Message) -> None:
            answer.write(encode(message))

        rank = Rank.connect(place, _PATIENCE_S)
        result = run_case(task, lambda phase: send(Message(phase=phase)), rank.open)
        if place.rank > 0 and not result.traceback:
            # What all ranks found, rank 0 reports.
            result = Result(case=task.case, process=task.process, outcome=result.outcome)
        send(Message(result=storable(task, result)))
    end(rank, result)


def end(rank: Rank, result: Result) -> None:
    """Leave the other ranks; where this one raised, tell them why and end at once."""
    if not result.traceback:
        leave()
        return
    rank.report(result.reason)
    print(f"rank {rank.place.rank}: {result.reason}", file=sys.stderr, flush=True)
    # Collectives that others wait in would hold up an orderly end.
    os._exit(1)


if __name__ == "__main__":
    main()
