"""`assay compare`: two stored runs, commits or results folders, like with like."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import click

from harness import config, store
from harness.case_run import CaseRun, case_runs
from harness.commands.selecting import warn
from harness.comparison import FALSE_DISCOVERY_RATE, KEYS, Pair, pairs
from harness.errors import AssayError, unknown
from harness.rows import latest_of_each_case
from harness.tables import markdown_of_sheets, print_sheets
from harness.units import parse_share
from harness.verdict import THRESHOLD, Verdict
from harness.verdict_rows import VerdictRow, as_json, headline, verdict_sheets

DRIFT = 0.03
"""Of the canary: more than its own spread from process to process on an idle machine, 1 %."""

_COMMIT = re.compile(r"[0-9a-f]{4,64}")


@click.command()
@click.argument("base")
@click.argument("candidate")
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("-w", "--workload", "workloads", multiple=True, help="Only these workloads.")
@click.option("--threshold", help=f"Smallest change that matters; {THRESHOLD:.0%} by default.")
@click.option(
    "--false-discoveries",
    "rate",
    help=f"Share of false ones among the changes that are told; {FALSE_DISCOVERY_RATE:.0%}.",
)
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice([*KEYS, "all"]),
    help="Compare although this differs; repeat for more.",
)
@click.option("--normalise", is_flag=True, help="Divide each process's times by its canary's.")
@click.option("--json", "style", flag_value="json", help="JSON, one object a case.")
@click.option("--markdown", "style", flag_value="markdown", help="Markdown for a pull request.")
def compare(
    base: str,
    candidate: str,
    results: Path | None,
    workloads: tuple[str, ...],
    threshold: str | None,
    rate: str | None,
    allow: tuple[str, ...],
    normalise: bool,
    style: str | None,
) -> int:
    """Compare stored results; exit with 1 on a regression.

    BASE and CANDIDATE are each a run's id, a commit (its first digits), or a results folder.
    """
    root = results or config.load().results
    problems: dict[str, None] = {}
    sides = [_side(root, name, problems) for name in (base, candidate)]
    warn(problems)
    for name in workloads:
        known = {one.case.workload for side in sides for one in side}
        if name not in known:
            raise unknown("workload", name, known)
    chosen = [
        [one for one in side if not workloads or one.case.workload in workloads] for side in sides
    ]
    found = pairs(
        *chosen,
        allow=KEYS if "all" in allow else allow,
        threshold=parse_share(threshold) if threshold else THRESHOLD,
        rate=parse_share(rate) if rate else FALSE_DISCOVERY_RATE,
        normalise=normalise,
    )
    if not found:
        raise AssayError(f"{base} and {candidate} have no case in common; `assay show` lists them")
    if all(pair.differs for pair in found):
        raise AssayError(f"no pair is like with like: {found[0].reason}")
    paired = ({pair.base.case.key for pair in found}, {pair.candidate.case.key for pair in found})
    for name, side, keys in zip((base, candidate), chosen, paired, strict=True):
        if alone := {one.case.key for one in side} - keys:
            warn([f"left out: {len(alone)} cases that only {name} has"])
    rows = [row_of(pair) for pair in found]
    if style == "json":
        click.echo(json.dumps([as_json(row) for row in rows], indent=2))
    elif style == "markdown":
        click.echo(markdown_of_sheets(verdict_sheets(rows, (base, candidate))), nl=False)
    else:
        print_sheets(verdict_sheets(rows, (base, candidate)))
        click.echo("measured apart: `assay ab` measures by turns, and decides")
    return int(any(pair.verdict == Verdict.REGRESSION for pair in found))


def _side(root: Path, name: str, problems: dict[str, None]) -> list[CaseRun]:
    """Return the last run of each case of a run, a commit or a folder; add what is unreadable."""
    folder = False
    with suppress(OSError):  # a name too long for a path
        folder = Path(name).is_dir()
    contents = store.read(Path(name) if folder else root)
    problems |= dict.fromkeys(contents.problems)
    if folder:
        return _ok_or_raise(name, latest_of_each_case(_grouped(contents)), contents.problems)
    cases = _grouped(contents)
    runs = sorted({one.run for one in cases})
    if name == "latest" and runs:
        return [one for one in cases if one.run == _newest(cases)]
    if name in runs:
        return [one for one in cases if one.run == name]
    if _COMMIT.fullmatch(name):
        commits = {
            str(commit)
            for one in cases
            if str(commit := one.result.environment.get("commit")).startswith(name)
        }
        if len(commits) > 1:
            raise AssayError(f"{name} is the start of {len(commits)} commits; give more digits")
        of_commit = [one for one in cases if one.result.environment.get("commit") in commits]
        clean = [one for one in of_commit if one.result.environment.get("dirty") is not True]
        if of_commit and not clean:
            raise AssayError(
                f"all results of commit {name} were measured with uncommitted changes, so they are "
                f"not its own; commit and measure, or name the run {of_commit[-1].run}"
            )
        if clean:
            return latest_of_each_case(clean)
    return _ok_or_raise(name, [], (f"{root} holds no run or commit {name!r}", *contents.problems))


def _grouped(contents: store.Contents) -> list[CaseRun]:
    return case_runs((stored.run, stored.result) for stored in contents.results)


def _newest(cases: list[CaseRun]) -> str:
    return max(cases, key=lambda one: one.results[-1].started_at).run


def _ok_or_raise(name: str, cases: list[CaseRun], problems: tuple[str, ...]) -> list[CaseRun]:
    if not cases:
        why = "; ".join(problems) or f"{name} holds no result"
        raise AssayError(f"{why}; give a run's id, the first digits of a commit, or a folder")
    return cases


def row_of(pair: Pair) -> VerdictRow:
    """Return the pair as it is shown."""
    work = pair.base.result.work
    note = pair.reason
    if not note and pair.verdict == Verdict.UNDECIDED:
        note = "undecided: more processes, or `assay ab`"
    if pair.drift is not None and abs(pair.drift - 1) > DRIFT:
        moved = f"the machine's canary took {pair.drift - 1:+.1%}; --normalise divides by it"
        note = f"{note}; {moved}" if note else moved
    return VerdictRow(
        case=pair.case,
        item=work.item if work is not None else "item",
        base=headline(pair.base.groups("time")),
        candidate=headline(pair.candidate.groups("time")),
        ratio=pair.ratio,
        verdict=pair.verdict,
        repetitions=f"{len(pair.base.results)} and {len(pair.candidate.results)}",
        note=note,
        details=(
            ("p_value", pair.p_value),
            ("p_adjusted", pair.p_adjusted),
            ("canary_ratio", pair.drift),
            ("differs", list(pair.differs)),
        ),
    )
