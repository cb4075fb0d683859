"""What a stopped run must share to go on: plan, settings, machine, inputs, software, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import data
from harness.errors import AssayError
from harness.plan import Plan
from harness.records import Facts
from harness.store import fingerprint


def of_run(plan: Plan, settings: Mapping[str, Any], environment: Facts) -> str:
    """Return the digest that a run must share with the one it resumes.

    Args:
        plan: every case with its variant's import path, its sampling and its reason to be skipped.
        settings: how workers are started.
        environment: host facts with settings and library variables in their id, the digest of the
            sources and the commit.
    """
    return fingerprint(
        [
            [
                planned.case.key,
                planned.variant.run,
                planned.skip,
                asdict(planned.sampling),
                asdict(planned.repetition),
            ]
            for planned in plan.cases
        ],
        dict(settings),
        {key: environment[key] for key in ("machine", "id", "source_digest", "commit", "dirty")},
        sorted(_inputs(plan)),
    )


def source_packages(plan: Plan) -> list[str]:
    """Return the top-level packages whose source decides what the plan measures."""
    paths = [*plan.backends.values(), *plan.workloads.values()]
    paths += [planned.variant.run for planned in plan.cases if planned.skip is None]
    return sorted({"harness", *(path.partition(":")[0].partition(".")[0] for path in paths)})


def _inputs(plan: Plan) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of every file that a parameter names."""
    words = {
        value
        for planned in plan.cases
        for value in planned.case.params.values()
        if isinstance(value, str) and value
    }
    for word in words:
        try:
            place = data.find(word)
        except AssayError:
            continue  # a word that names no file
        yield from _states(place)


def _states(place: Path) -> Iterator[tuple[str, int, int]]:
    # One level: inputs are files, or folders of files.
    for path in [place, *(place.iterdir() if place.is_dir() else ())]:
        state = path.lstat()
        yield str(path), state.st_size, state.st_mtime_ns
