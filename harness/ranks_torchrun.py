"""One case on ranks that `torchrun` started, on one host or on several; docs/ranks.md shows how.

Every rank plans the same one case. Rank 0 alone stores the result, in a results folder as `assay
run` makes it, for `assay show` and `assay store merge`. One call is one process of the case: the
same command again adds the next one to the same run, until the run is finished.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from harness import config, limits, rounds
from harness.commands.selecting import options_of, selecting, selection_of, settings_of
from harness.environment import host_environment, with_settings
from harness.errors import AssayError
from harness.fingerprint import of_run, source_packages
from harness.plan import MAX_PROCESSES, Plan, plan
from harness.printable import printable
from harness.ranks import WORLD_SIZE, Place, thread_share
from harness.ranks_torch import Rank, first_failure
from harness.ranks_worker import end
from harness.records import Facts, Outcome, Result
from harness.registry import installed
from harness.session import Settings
from harness.store import Run, open_run
from harness.task import Task
from harness.worker import run_case, storable

_PROCESS = "assay/process"
_WRONG_USAGE = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@selecting
@click.option("--precision", help="The run is finished when its interval is so narrow; 2%.")
@click.option("--processes", type=click.IntRange(1, MAX_PROCESSES), help="Or after so many calls.")
def torchrun(**flags: Any) -> int:
    """Measure one case on the ranks that torchrun started; rank 0 stores the result."""
    place = Place.from_environment()
    settings_file = config.load(flags["config_path"])
    options = options_of(settings_file, flags)
    settings = settings_of(options)
    planned = _plan(options, place)
    if settings.pin:
        limits.pin(settings.pin)
    threads = settings.threads
    # torchrun gives each rank one thread where nobody says otherwise.
    os.environ.update(
        thread_share(place.local_size) if threads is None else limits.thread_environment(threads)
    )
    rank = Rank.connect(place, planned.cases[0].timeout_s)
    if place.rank == 0:
        root = flags["results"] or settings_file.results
        result = _measured_and_stored(rank, planned, settings, root)
    else:
        result = _measured(rank, planned, settings, int(rank.store.get(_PROCESS)), {})
    end(rank, result)
    return int(result.outcome is not Outcome.OK)


def main() -> None:
    """Run the command and exit: 0 ok, 1 a failed case, 2 wrong usage."""
    try:
        status = torchrun.main(standalone_mode=False)
    except (AssayError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"assay: {printable(' '.join(message.split()))}", err=True)
        sys.exit(_WRONG_USAGE)
    sys.exit(status if isinstance(status, int) else 0)


def _plan(options: Mapping[str, Any], place: Place) -> Plan:
    """Return the plan of the one case.

    Raises:
        AssayError: it is not one case, or it cannot run here.
    """
    selection = selection_of(options)
    given = {value for name, value in selection.params if name == WORLD_SIZE}
    if given - {str(place.size)}:
        raise AssayError(
            f"torchrun started {place.size} ranks; leave out -p {WORLD_SIZE}={min(given)}"
        )
    params = (*selection.params, *(() if given else ((WORLD_SIZE, str(place.size)),)))
    planned = plan(installed(), replace(selection, params=params))
    if len(planned.cases) != 1:
        raise AssayError(
            f"{len(planned.cases)} cases are selected, and ranks measure one; name a workload, "
            "a variant, a backend and the parameters"
        )
    if (skip := planned.cases[0].skip) is not None:
        raise AssayError(f"{planned.cases[0].case.label}: {skip}")
    return planned


def _measured_and_stored(rank: Rank, planned: Plan, settings: Settings, root: Path) -> Result:
    """Measure on rank 0, and store what came of it with whichever rank's failure it was."""
    modules = source_packages(planned)
    environment = with_settings(
        host_environment(Path.cwd(), modules=modules),
        {
            "threads": settings.threads,
            "pin": list(settings.pin),
            "memory_limit": settings.memory_limit_bytes,
            "hosts": rank.place.size // rank.place.local_size,
        },
    )
    with open_run(
        root,
        [planned.cases[0].case],
        fingerprint=of_run(planned, asdict(settings), environment),
        settings=asdict(settings),
        environment=environment,
    ) as run:
        process = rounds.next_process(run.of(planned.cases[0].case))
        rank.store.set(_PROCESS, str(process))
        signal.signal(signal.SIGTERM, _give_up)
        # An interrupted case is no failed one: the same command measures it.
        signal.signal(signal.SIGINT, _leave)
        started_at, started = time.time(), time.monotonic()
        result = _measured(rank, planned, settings, process, environment)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if result.traceback and (told := first_failure(rank.store)) is not None:
            result = replace(result, reason=f"rank {told[0]} of {rank.place.size}: {told[1]}")
        _store(
            run,
            planned,
            replace(result, started_at=started_at, duration_s=time.monotonic() - started),
            root,
        )
    return result


def _leave(number: int, frame: object) -> None:
    os._exit(128 + number)


def _give_up(number: int, frame: object) -> None:
    """Leave what torchrun ends because another rank failed, so that it becomes a result."""
    raise SystemExit("ended by torchrun; another rank's output says why")


def _measured(
    rank: Rank, planned: Plan, settings: Settings, process: int, environment: Facts
) -> Result:
    [one] = planned.cases
    task = Task(
        case=one.case,
        sampling=one.sampling,
        process=process,
        backend=planned.backends[one.case.backend],
        workload=planned.workloads[one.case.workload],
        variant=one.variant,
        environment=environment,
        memory_limit_bytes=settings.memory_limit_bytes,
    )
    return storable(task, run_case(task, lambda phase: None, rank.open))


def _store(run: Run, planned: Plan, result: Result, root: Path) -> None:
    [one] = planned.cases
    run.append(result)
    if rounds.finished(one, run.of(one.case)):
        run.finish()
        then = "the run is finished"
    else:
        then = "the same command adds the next process"
    outcome = f"{result.outcome} {result.reason}".rstrip()
    click.echo(
        printable(
            f"{one.case.label}: {outcome}; process {result.process} is in run {run.header.id} "
            f"in {root}; {then}"
        )
    )


if __name__ == "__main__":
    main()
