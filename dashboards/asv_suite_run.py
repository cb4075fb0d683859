"""Runs a case once for all its quantities, and keeps what it found in the round's folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import msgspec

from dashboards.asv_cell import Quantity, cell_of
from dashboards.asv_names import safe_name
from harness import rounds, session
from harness.case_run import CaseRun
from harness.ceilings import IMPOSSIBLE
from harness.isolate import run_isolated
from harness.plan import Plan, PlannedCase
from harness.records import Case, Ceiling, Outcome, Result
from harness.registry import resolve
from harness.sighting import BEYOND
from harness.task import Task


class CaseFailedError(Exception):
    """A case that did not end well: one line, and the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What asv is handed: a median a process, and how many steps each sample timed together."""

    samples: tuple[float, ...]
    number: int


def measure(
    planned: Plan,
    one: PlannedCase,
    quantity: Quantity,
    processes: object,
    folder: Path,
) -> Samples | str:
    """Return a quantity of a case, from the run of this round, which is made where there is none.

    Args:
        planned: names the import paths of backend and workload.
        one: the case.
        quantity: what to return.
        processes: how many workers measure the case.
        folder: what asv's processes of one commit share; a round that has handed this quantity
            over already measures anew.

    Returns:
        The samples, or in a line why there are none though the case ended well.

    Raises:
        CaseFailedError: it did not end well, or lies beyond its ceiling.
    """
    if not isinstance(processes, int) or processes < 1:
        raise CaseFailedError(
            f"repeat={processes!r} is not a number of processes; give one, such as 8"
        )
    case = one.case
    for number in count():
        handed_over = folder / f"{case.key}-{number}.{quantity.name}"
        if not handed_over.exists():
            break
    handed_over.touch()
    stored = folder / f"{case.key}-{number}.json"
    if stored.exists():
        results = msgspec.json.decode(stored.read_bytes(), type=tuple[Result, ...])
    else:
        results = _run(planned, one, processes, folder)
        stored.write_bytes(msgspec.json.encode(results))
    found = CaseRun("", results)
    if found.outcome is not Outcome.OK:
        told = found.result
        raise CaseFailedError(
            f"{case.label}: {told.outcome}: {told.reason}\n{told.log_tail}".rstrip()
        )
    if IMPOSSIBLE in found.flags():
        raise CaseFailedError(f"{case.label}: {BEYOND}")
    cell = cell_of(found, quantity)
    if cell.stats is None:
        return cell.reason or f"{case.backend} has no meter of {quantity.name}"
    return Samples(cell.samples, cell.stats.number)


def _run(planned: Plan, one: PlannedCase, processes: int, folder: Path) -> tuple[Result, ...]:
    case, bounds = one.case, _bounds(planned, one.case, folder)
    workload = planned.workloads[case.workload]
    wanted = replace(one, repetition=replace(one.repetition, processes=processes))
    results: list[Result] = []
    while not rounds.finished(wanted, results):
        task = Task(
            case=case,
            process=len(results),
            backend=planned.backends[case.backend],
            workload=workload,
            variant=one.variant,
            sampling=rounds.sampling_for(one, results),
        )
        result = run_isolated(
            task,
            timeout_s=one.timeout_s,
            env=session.worker_env(resolve(workload), case, session.Settings()),
        )
        results.append(session.bounded(result, bounds))
    return tuple(results)


def _bounds(planned: Plan, case: Case, folder: Path) -> session.Bounds:
    """Return what bounds the cases of a workload on a device, measured once a round."""
    stored = folder / f"{safe_name(case.workload)} {safe_name(case.backend)}.ceilings"
    if not stored.exists():
        alike = [
            one
            for one in planned.cases
            if (one.case.workload, one.case.backend) == (case.workload, case.backend)
        ]
        found = session.device_ceilings(
            planned, alike, session.Settings(), lambda phase: None, print
        )
        stored.write_bytes(msgspec.json.encode(found))
    return msgspec.json.decode(stored.read_bytes(), type=dict[str, tuple[Ceiling, ...]])
