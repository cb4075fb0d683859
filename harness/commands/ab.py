"""`assay ab`: two commits, or two environments of one, interleaved in one run and judged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness import ab, config, preflight, sides
from harness.commands.ab_progress import AbProgress, progress_of
from harness.commands.selecting import options_of, selecting, selection_of, settings_of, warn
from harness.errors import AssayError
from harness.plan import Plan, plan
from harness.printable import printable
from harness.records import Outcome
from harness.registry import installed
from harness.tables import markdown_of_sheets, print_sheets
from harness.units import parse_share
from harness.verdict import MAX_ROUNDS, THRESHOLD, Verdict, looks
from harness.verdict_rows import VerdictRow, as_json, headline, verdict_sheets

FOLDER = "ab"
"""Below the results folder: comparisons stay out of the history."""

_MOST_ROUNDS = 1000
"""Beyond, judging takes longer than measuring."""


@click.command(name="ab")
@click.argument("base")
@click.argument("candidate", required=False)
@selecting
@click.option("--threshold", help=f"Smallest change that matters; {THRESHOLD:.0%} by default.")
@click.option(
    "--rounds",
    type=click.IntRange(1, _MOST_ROUNDS),
    default=MAX_ROUNDS,
    show_default=True,
    help="Most rounds a case; a round is a process of each side.",
)
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="SPEC",
    help="An environment's folder, or pip requirements in quotes; twice for base and candidate.",
)
@click.option("--extra", "extras", multiple=True, help="Extra of the project to install.")
@click.option("--json", "style", flag_value="json", help="JSON, one object a case.")
@click.option("--markdown", "style", flag_value="markdown", help="Markdown for a pull request.")
def ab_command(base: str, candidate: str | None, **flags: Any) -> int:
    """Compare two commits, measured by turns in one run; exit with 1 on a regression.

    CANDIDATE is HEAD by default, or BASE itself where two environments are compared.
    """
    settings_file = config.load(flags["config_path"])
    options = options_of(settings_file, flags)
    specs = _specs(flags["environments"])
    if candidate is None:
        candidate = base if specs[0] != specs[1] else "HEAD"
    rule = ab.Rule(
        threshold=_threshold(flags["threshold"]) if flags["threshold"] else THRESHOLD,
        rounds=flags["rounds"],
    )
    looks(rule.rounds, rule.alpha)
    settings = settings_of(options)
    # The budget is for rounds: it does not shorten a process.
    planned = _shorter(plan(installed(), selection_of({**options, "budget": None})))
    warn([*planned.broken, *preflight.look()])
    root = (flags["results"] or settings_file.results) / FOLDER
    with progress_of(planned, rule.rounds, settings.budget_s) as progress:
        pair = _prepared((base, candidate), specs, flags["extras"], _packages(planned), progress)
        with ExitStack() as held:
            held.callback(sides.release, *pair)
            found = ab.run_ab(planned, pair, settings, rule, root, observer=progress)
    packages = [side.environment.get("packages") for side in pair]
    if packages[0] != packages[1] and specs[0] == specs[1]:
        warn(["the sides' dependencies differ, so theirs is part of the change; --json lists them"])
    rows = [_row(compared) for compared in found]
    names = tuple(f"{side.label} {side.commit[:8]}" for side in pair)
    _print(rows, (names[0], names[1]), pair, flags["style"])
    return _status(found)


def _shorter(planned: Plan) -> Plan:
    """Halve the samplings: every round starts two processes, which tell more than samples do."""
    cases = [
        replace(one, sampling=replace(one.sampling, budget_s=one.sampling.budget_s / 2))
        for one in planned.cases
    ]
    return replace(planned, cases=tuple(cases))


def _specs(environments: Sequence[str]) -> tuple[str | None, str | None]:
    if len(environments) > 2:
        raise AssayError("--environment is given once for both sides, or twice: base, candidate")
    if not environments:
        return None, None
    return environments[0], environments[-1]


def _threshold(text: str) -> float:
    share = parse_share(text)
    if share >= 1:
        raise AssayError(f"--threshold {text} is 100 % or more; give a share such as 2%")
    return share


def _packages(planned: Plan) -> set[str]:
    return {
        package for one in planned.cases if one.skip is None for package in one.variant.packages
    }


def _prepared(
    revisions: tuple[str, str],
    specs: tuple[str | None, str | None],
    extras: Sequence[str],
    packages: Collection[str],
    progress: AbProgress,
) -> tuple[sides.Side, sides.Side]:
    cache = sides.cache_folder()
    base, candidate = (
        sides.prepare_side(
            Path.cwd(),
            revision,
            label=label,
            slot=slot,
            cache=cache,
            requirement=spec,
            extras=extras,
            packages=packages,
            say=progress.say,
        )
        for slot, (label, revision, spec) in enumerate(
            zip(("base", "candidate"), revisions, specs, strict=True)
        )
    )
    sides.prune(cache)
    return base, candidate


def _row(compared: ab.Compared) -> VerdictRow:
    judgement = compared.judgement
    note = compared.reason
    if judgement is not None and judgement.more_rounds_needed:
        note = f"undecided: needs about {judgement.more_rounds_needed} more rounds"
    return VerdictRow(
        case=compared.case,
        item=compared.item,
        base=headline(compared.base),
        candidate=headline(compared.candidate),
        ratio=None if judgement is None else judgement.ratio,
        verdict=compared.verdict,
        repetitions=f"2 x {len(compared.base)}",
        smallest_effect=None if judgement is None else judgement.smallest_detectable_effect,
        note=note,
        details=(
            ("rounds", len(compared.base)),
            ("more_rounds_needed", judgement.more_rounds_needed if judgement else None),
        ),
    )


def _print(
    rows: Sequence[VerdictRow],
    names: tuple[str, str],
    pair: tuple[sides.Side, sides.Side],
    style: str | None,
) -> None:
    if style == "json":
        said = {
            side.label: {"commit": side.commit, "environment": dict(side.environment)}
            for side in pair
        }
        click.echo(json.dumps({**said, "cases": [as_json(row) for row in rows]}, indent=2))
    elif style == "markdown":
        click.echo(markdown_of_sheets(verdict_sheets(rows, names)), nl=False)
    else:
        print_sheets(verdict_sheets(rows, names))
        counts = Counter(row.verdict for row in rows)
        click.echo(printable(", ".join(f"{count} {name}" for name, count in counts.items())))


def _status(found: Sequence[ab.Compared]) -> int:
    worse = (
        compared.outcome not in (Outcome.OK, Outcome.SKIPPED)
        or (compared.judgement is not None and compared.judgement.verdict is Verdict.REGRESSION)
        for compared in found
    )
    return int(any(worse))
