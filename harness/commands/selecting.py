"""The options that say what is measured and how workers are started, shared by the commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from harness import config, limits, session, units
from harness.errors import AssayError
from harness.plan import Selection
from harness.printable import printable

_OPTIONS = (
    click.option("-w", "--workload", "workloads", multiple=True, help="Workload; repeat for more."),
    click.option("-b", "--backend", "backends", multiple=True, help="Backend; repeat for more."),
    click.option("--variant", "variants", multiple=True, help="Variant; repeat for more."),
    click.option(
        "-p",
        "--param",
        "params",
        multiple=True,
        metavar="K=V",
        help="Parameter; repeated values are swept.",
    ),
    click.option("--size", help="ci (default), small, medium or paper."),
    click.option(
        "--seed",
        type=click.IntRange(0, config.MAX_WHOLE),
        help="Seed of inputs and initial values; 0 by default.",
    ),
    click.option("--budget", help="Wall time for the whole run, such as 10m."),
    click.option("--timeout", help="Wall time of one process, such as 90s."),
    click.option("--threads", type=click.IntRange(min=1), help="Threads a worker may use."),
    click.option("--pin", metavar="CPUS", help="CPUs the workers run on, such as 0,2-3."),
    click.option("--memory-limit", help="Private memory a worker may use, such as 8G."),
    click.option("--suite", help="Options from this suite of assay.toml; flags win over it."),
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="Read this file instead of ./assay.toml.",
    ),
    click.option("--results", type=click.Path(path_type=Path), help="Results folder."),
)


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of what is measured and how workers are started."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def warn(warnings: Iterable[str]) -> None:
    """Print each warning in a line of its own."""
    for warning in warnings:
        click.echo(printable(f"warning: {warning}"), err=True)


def options_of(settings_file: config.Config, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the suite's options with the flags that were given over them, in parsed form.

    Raises:
        AssayError: a value cannot be read, or there is no such suite.
    """
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


def selection_of(options: Mapping[str, Any]) -> Selection:
    """Return what is measured."""
    return Selection(
        workloads=tuple(options.get("workloads", ())),
        backends=tuple(options.get("backends", ())),
        variants=tuple(options.get("variants", ())),
        params=options.get("params", ()),
        size=options.get("size", "ci"),
        seed=options.get("seed", 0),
        precision=options.get("precision", 0.02),
        processes=options.get("processes"),
        budget_s=options.get("budget"),
        timeout_s=options.get("timeout"),
    )


def settings_of(options: Mapping[str, Any]) -> session.Settings:
    """Return how workers are started."""
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
