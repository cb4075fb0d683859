"""`assay run`: plan, warn, measure with progress, print the table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from harness import config, limits, preflight, session, units
from harness.commands.progress import progress_for
from harness.errors import AssayError
from harness.plan import Plan, Selection, plan
from harness.printable import printable
from harness.records import Outcome, Result
from harness.registry import Registry, installed
from harness.rows import as_json, rows
from harness.tables import baselines_of, print_rows
from harness.task import BAD_INPUT


@click.command()
@click.option("-w", "--workload", "workloads", multiple=True, help="Workload; repeat for more.")
@click.option("-b", "--backend", "backends", multiple=True, help="Backend; repeat for more.")
@click.option("--variant", "variants", multiple=True, help="Variant; repeat for more.")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="K=V",
    help="Parameter; repeated values are swept.",
)
@click.option("--size", help="ci (default), small, medium or paper.")
@click.option(
    "--seed",
    type=click.IntRange(0, config.MAX_WHOLE),
    help="Seed of inputs and initial values; 0 by default.",
)
@click.option("--precision", help="Stop a case at this half-width of its interval; 2% by default.")
@click.option("--budget", help="Wall time for the whole run, such as 10m.")
@click.option("--timeout", help="Wall time for one case, such as 90s.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads a worker may use.")
@click.option("--pin", metavar="CPUS", help="CPUs the workers run on, such as 0,2-3.")
@click.option("--memory-limit", help="Private memory a worker may use, such as 8G.")
@click.option("--suite", help="Options from this suite of assay.toml; flags win over it.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Read this file instead of ./assay.toml.",
)
@click.option("--results", type=click.Path(path_type=Path), help="Results folder.")
@click.option("--dry-run", is_flag=True, help="Print the plan with a time estimate and stop.")
@click.option("--force", is_flag=True, help="Start anew instead of resuming an unfinished run.")
@click.option("--json", "as_json_", is_flag=True, help="Print the rows as JSON.")
def run(**flags: Any) -> int:
    """Measure the selected cases and store their results.

    Without a selection: every workload at ci size on every backend of this machine.
    """
    settings_file = config.load(flags["config_path"])
    options = _options(settings_file, flags)
    registry = installed()
    planned = plan(registry, _selection(options))
    _warn(planned.broken)
    if flags["dry_run"]:
        _print_plan(planned, flags["as_json_"])
        return 0
    settings = _settings(options)
    _warn(preflight.look())
    with progress_for(planned) as observer:
        outcome = session.run_plan(
            planned,
            settings,
            flags["results"] or settings_file.results,
            observer=observer,
            force=flags["force"],
        )
    found = rows(outcome.results, baselines_of(registry))
    if flags["as_json_"]:
        click.echo(json.dumps([as_json(row) for row in found], indent=2))
    else:
        print_rows(found)
        root = flags["results"] or settings_file.results
        click.echo(printable(f"run {outcome.run} is stored in {root}"))
    return _status(outcome.results, registry)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(printable(f"warning: {warning}"), err=True)


def _options(settings_file: config.Config, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The suite's options with the flags that were given over them, in parsed form."""
    parsers: dict[str, Callable[[str], float]] = {
        "precision": units.parse_share,
        "budget": units.parse_duration,
        "timeout": units.parse_duration,
        "memory_limit": units.parse_bytes,
    }
    given: dict[str, Any] = {
        key: parsers[key](value) if key in parsers else value
        for key, value in flags.items()
        if value not in (None, ())
    }
    if "params" in given:
        given["params"] = tuple(_pair(text) for text in given["params"])
    suite = dict(settings_file.suite(flags["suite"])) if flags["suite"] else {}
    if "params" in suite:
        suite["params"] = tuple(
            (name, str(value))
            for name, values in suite["params"].items()
            for value in (values if isinstance(values, list) else [values])
        )
    return {**suite, **given}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise AssayError(f"-p {text!r} is not of the form NAME=VALUE")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise AssayError(
            f"-p {text!r} is not UTF-8, so no result could name it; rename the file or link to it"
        ) from error
    return name, value


def _selection(options: Mapping[str, Any]) -> Selection:
    return Selection(
        workloads=tuple(options.get("workloads", ())),
        backends=tuple(options.get("backends", ())),
        variants=tuple(options.get("variants", ())),
        params=options.get("params", ()),
        size=options.get("size", "ci"),
        seed=options.get("seed", 0),
        precision=options.get("precision", 0.02),
        budget_s=options.get("budget"),
        timeout_s=options.get("timeout"),
    )


def _settings(options: Mapping[str, Any]) -> session.Settings:
    return session.Settings(
        threads=options.get("threads"),
        pin=_cpus(options["pin"]) if "pin" in options else (),
        memory_limit_bytes=options.get("memory_limit"),
        budget_s=options.get("budget"),
    )


def _cpus(text: str) -> tuple[int, ...]:
    """Read a list of CPUs and try it here, so that a wrong one is told before any worker starts."""
    cpus = units.parse_cpus(text)
    former = os.sched_getaffinity(0)
    limits.pin(cpus)
    os.sched_setaffinity(0, former)
    return cpus


def _print_plan(planned: Plan, as_json_: bool) -> None:
    if as_json_:
        plan_rows = [
            {
                "workload": one.case.workload,
                "variant": one.case.variant,
                "backend": one.case.backend,
                "params": dict(one.case.params),
                "seed": one.case.seed,
                "estimate_s": one.estimate_s,
                "skip": one.skip,
            }
            for one in planned.cases
        ]
        click.echo(json.dumps(plan_rows, indent=2))
        return
    for one in planned.cases:
        fate = f"skip: {one.skip}" if one.skip else f"about {one.estimate_s:.0f} s"
        click.echo(printable(f"{one.case.label}: {fate}"))
    total = units.format_duration(planned.estimate_s)
    click.echo(f"{len(planned.cases)} cases, about {total}")


def _status(results: tuple[Result, ...], registry: Registry) -> int:
    """1 where a case failed; bad input is the user's to mend, so it is told as wrong usage."""
    bad_inputs = dict.fromkeys(result.reason for result in results if BAD_INPUT in result.flags)
    if bad_inputs:
        raise AssayError("; ".join(bad_inputs))
    return int(any(r.outcome not in (Outcome.OK, Outcome.SKIPPED) for r in results))
