"""Two commits in one run: processes of both alternate in random order until a verdict is there.

Sequential measurements differ by what the machine did meanwhile; the two processes of a round meet
the same machine. Which of them goes first is drawn anew each time, and so is the order of the
cases.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from harness import ceilings, session, store
from harness.case_run import samples_of
from harness.comparison import differences
from harness.environment import with_settings
from harness.fingerprint import of_run
from harness.isolate import run_isolated
from harness.plan import Plan, PlannedCase
from harness.records import Case, Facts, Outcome, Result, Status, Work
from harness.registry import resolve
from harness.session import Settings
from harness.sides import Side
from harness.task import NOT_REGISTERED, Task
from harness.verdict import ALPHA, MAX_ROUNDS, THRESHOLD, Judgement, Verdict, judge, looks

NO_ROUND = "the budget was used up before a whole round; raise --budget"


@dataclass(frozen=True, slots=True)
class Rule:
    """When two sides are called different.

    Attributes:
        threshold: the smallest change, as a share, that matters.
        alpha: how often, per case, equal sides may be called different.
        rounds: the most rounds of a case.
    """

    threshold: float = THRESHOLD
    alpha: float = ALPHA
    rounds: int = MAX_ROUNDS


@dataclass(frozen=True, slots=True)
class Compared:
    """What the rounds so far say of one case.

    Attributes:
        case: what was measured on both sides.
        base: seconds per item, a list of samples for each round.
        candidate: likewise.
        judgement: None where there is nothing to judge.
        outcome: of the side that ended worse.
        verdict: the judgement's; "undecided" before there is one; or in a word why there is none.
        reason: why there is nothing to judge.
        final: whether further rounds would change nothing.
        item: what the times are per.
    """

    case: Case
    base: tuple[tuple[float, ...], ...]
    candidate: tuple[tuple[float, ...], ...]
    judgement: Judgement | None
    outcome: Outcome = Outcome.OK
    verdict: str = str(Verdict.UNDECIDED)
    reason: str = ""
    final: bool = False
    item: str = "item"


class Observer(Protocol):
    """Is told what a comparison does, to show it; each call returns at once."""

    def warn(self, message: str) -> None:
        """Say what the user should know of before reading the numbers."""
        ...

    def started(self, found: Sequence[Compared]) -> None:
        """Say what stands of each case from before an interruption."""
        ...

    def process_started(self, planned: PlannedCase, side: str, number: int) -> None:
        """Say that a worker of a side is started for a round of this case, counted from 0."""
        ...

    def phase(self, name: str) -> None:
        """Say that the worker enters a phase."""
        ...

    def round_done(self, planned: PlannedCase, compared: Compared) -> None:
        """Say what the rounds so far say."""
        ...


def run_ab(
    plan: Plan,
    sides: tuple[Side, Side],
    settings: Settings,
    rule: Rule,
    root: Path,
    *,
    observer: Observer,
) -> tuple[Compared, ...]:
    """Measure every planned case on both sides until it is judged.

    Equal commits are measured like unequal ones. Every result is stored at once, a run a side, and
    an interrupted comparison goes on where it stopped.

    Args:
        plan: the cases; each side's own worker looks up what is registered under their names.
        sides: base and candidate.
        settings: how workers are started, and the budget.
        rule: when to call the sides different.
        root: the folder of comparisons' results, apart from the history.
        observer: is told of the progress.

    Raises:
        AssayError: the folder cannot be written.
    """
    with ExitStack() as stack:
        runs: list[store.Run] = []
        for place in (0, 1):
            # Halves that were not measured by turns do not pair, so each run names its other half.
            other = [run.header.id for run in runs]
            opened = _open(plan, sides, place, settings, rule, root, other)
            runs.append(stack.enter_context(opened))
            for message in opened.messages:
                observer.warn(message)

        def so_far(
            planned: PlannedCase, before: Compared | None = None, *, ended: bool = False
        ) -> Compared:
            base, candidate = (run.of(planned.case) for run in runs)
            return compared(planned, base, candidate, rule, before=before, ended=ended)

        found = {planned.case.key: so_far(planned) for planned in plan.cases}
        observer.started([*found.values()])
        left = [planned for planned in plan.cases if not found[planned.case.key].final]
        bounds = session.device_ceilings(plan, left, settings, observer.phase, observer.warn)
        started = time.monotonic()
        for number in range(rule.rounds):
            left = [planned for planned in plan.cases if not found[planned.case.key].final]
            draw = random.Random(f"{runs[0].header.id}/{number}")
            for planned in draw.sample(left, len(left)):
                order = draw.sample((0, 1), 2)
                if all(run.has(planned.case, number) for run in runs):
                    continue
                if _too_late(planned, runs, settings, time.monotonic() - started):
                    continue
                # Both, even where half a round stands from before an interruption: the two
                # processes of a round meet the same machine.
                for place in order:
                    observer.process_started(planned, sides[place].label, number)
                    env = _worker_env(plan, planned, sides[place], settings)
                    environment = runs[place].header.environment
                    task = _task(planned, number, settings, environment)
                    result = _measured(task, planned, sides[place], env, observer.phase)
                    runs[place].append(session.bounded(result, bounds))
                key = planned.case.key
                found[key] = so_far(planned, found[key])
                observer.round_done(planned, found[key])
        for run in runs:
            run.finish()
        return tuple(so_far(planned, found[planned.case.key], ended=True) for planned in plan.cases)


def _too_late(
    planned: PlannedCase, runs: Sequence[store.Run], settings: Settings, spent_s: float
) -> bool:
    """Return whether another round of the case would go beyond the budget."""
    if settings.budget_s is None:
        return False
    before = [result for run in runs for result in run.of(planned.case)]
    round_s = 2 * sum(result.duration_s for result in before) / max(len(before), 1)
    return spent_s + round_s > settings.budget_s


def compared(
    planned: PlannedCase,
    base: Sequence[Result],
    candidate: Sequence[Result],
    rule: Rule,
    *,
    before: Compared | None = None,
    ended: bool = False,
) -> Compared:
    """Return what the rounds that are complete on both sides say of a case.

    Args:
        planned: the case.
        base: the base's results, each with its round as `process`.
        candidate: likewise.
        rule: when to call the sides different.
        before: what fewer of these rounds said: their looks are not judged again.
        ended: no further round will come: what there is takes the place of the next look.
    """
    whole = {one.process for one in base} & {one.process for one in candidate}
    base, candidate = ([one for one in side if one.process in whole] for side in (base, candidate))
    outcome, verdict, reason = _why_not(planned, base, candidate)
    groups = [
        tuple(tuple(samples_of(one, "time")) for one in results) for results in (base, candidate)
    ]
    work = next((result.work for result in base if result.work is not None), Work())
    said = Compared(
        planned.case,
        groups[0],
        groups[1],
        None,
        outcome,
        verdict,
        reason,
        final=bool(reason),
        item=work.item,
    )
    if said.reason:
        return said
    at = looks(rule.rounds, rule.alpha)
    judgement = before.judgement if before is not None else None
    judged = judgement.rounds if judgement is not None else 0
    for look, needed in enumerate(at):
        if judgement is not None and judgement.verdict is not Verdict.UNDECIDED:
            break
        count = min(needed, len(whole))
        if count <= judged:
            continue
        if count < needed and not ended:
            break
        judgement = judge(
            groups[0][:count],
            groups[1][:count],
            look=look,
            looks=at,
            threshold=rule.threshold,
            alpha=rule.alpha,
        )
        judged = count
    if ended and judgement is None:
        skipped = Outcome.SKIPPED
        return replace(said, outcome=skipped, verdict=str(skipped), reason=NO_ROUND, final=True)
    if judgement is None:
        return said
    decided = judgement.verdict is not Verdict.UNDECIDED
    return replace(
        said,
        judgement=judgement,
        verdict=str(judgement.verdict),
        final=decided or len(whole) >= rule.rounds,
    )


def _why_not(
    planned: PlannedCase, base: Sequence[Result], candidate: Sequence[Result]
) -> tuple[Outcome, str, str]:
    """Return the worse side's outcome, and in a word and a line why the sides are not judged."""
    ok, undecided = Outcome.OK, str(Verdict.UNDECIDED)
    if planned.skip is not None:
        return Outcome.SKIPPED, str(Outcome.SKIPPED), planned.skip
    for side, results in (("base", base), ("candidate", candidate)):
        for result in results:
            if NOT_REGISTERED in result.flags:
                missing = f"{side} does not have this case: {result.reason}"
                return Outcome.SKIPPED, str(Outcome.SKIPPED), missing
            if result.outcome is not Outcome.OK:
                return result.outcome, str(result.outcome), f"{side}: {result.reason}"
            if ceilings.IMPOSSIBLE in result.flags:
                return ok, ceilings.IMPOSSIBLE, f"{side}: {ceilings.impossible(result)}"
            time = result.measurement("time")
            if time is None:
                return ok, undecided, f"{side}: no time was measured"
            if not time.values:
                known = time.status is Status.UNRESOLVABLE
                return ok, str(time.status) if known else undecided, f"{side}: {time.reason}"
            if min(time.values) <= 0:
                return ok, undecided, f"{side}: a sample of no time at all"
    for one, other in zip(base, candidate, strict=True):
        if one.inputs != other.inputs:
            unlike = differences(one, other)["inputs"]
            return ok, "unlike", f"the sides measured different inputs: {unlike}"
    return ok, undecided, ""


def _open(
    plan: Plan,
    sides: tuple[Side, Side],
    place: int,
    settings: Settings,
    rule: Rule,
    root: Path,
    other: Sequence[str],
) -> store.Run:
    side = sides[place]
    environment = with_settings(dict(side.environment), session.settings_facts(settings))
    chosen = {**asdict(settings), "side": side.label, "rule": asdict(rule)}
    both = [[one.commit, str(one.python), str(one.packages)] for one in sides]
    return store.open_run(
        root,
        [planned.case for planned in plan.cases],
        fingerprint=store.fingerprint(of_run(plan, chosen, environment), both, other),
        settings=chosen,
        environment=environment,
    )


def _worker_env(plan: Plan, planned: PlannedCase, side: Side, settings: Settings) -> dict[str, str]:
    workload = resolve(plan.workloads[planned.case.workload])
    own = session.worker_env(workload, planned.case, settings)
    return {**own, "PYTHONPATH": str(side.packages)}


def _task(planned: PlannedCase, number: int, settings: Settings, environment: Facts) -> Task:
    # Without import paths: the side's own registry knows where that commit keeps its plug-ins.
    return Task(
        case=planned.case,
        process=number,
        sampling=planned.sampling,
        quantities=("time",),
        environment=environment,
        pin=settings.pin,
        memory_limit_bytes=settings.memory_limit_bytes,
    )


def _measured(
    task: Task,
    planned: PlannedCase,
    side: Side,
    env: Mapping[str, str],
    on_phase: Callable[[str], None],
) -> Result:
    result = run_isolated(
        task, timeout_s=planned.timeout_s, env=env, on_phase=on_phase, python=side.python
    )
    case = task.case
    if result.case == case:
        return result
    return replace(
        result,
        case=case,
        outcome=Outcome.FAILED,
        reason=f"{case.workload} is at version {result.case.version} in commit {side.commit[:8]} "
        f"and at {case.version} here: numbers of different versions do not compare",
        measurements=(),
    )
