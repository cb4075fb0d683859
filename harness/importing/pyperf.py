"""Reads what pyperf saves: runs, each a process of its own with warm-ups and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.importing.cases import (
    DEFAULT_VARIANT,
    VERSION,
    Found,
    case_params,
    identity_of,
    plain_facts,
)
from harness.importing.document import Document
from harness.importing.facts import (
    FLAG,
    Commit,
    Host,
    backend_of,
    environment_of,
    implementation_settings,
    unix_time,
)
from harness.records import Case, Measurement, Outcome, Result, Scalar, Work

NAME = "pyperf"

WHOLE_PROCESS = "whole_process"
"""On memory: it is that of the process's whole life, interpreter and warm-up included."""

_FORMAT = "1.0"

_QUANTITIES = {"second": ("time", "s"), "byte": ("peak_memory", "B"), "integer": ("count", "1")}
"""Quantity and SI unit by pyperf's unit; bytes are what its --track-memory and --tracemalloc
options record."""

_UNNAMED = {
    "timeit": {"timeit_setup": "--setup ", "timeit_stmt": "", "timeit_teardown": "--teardown "},
    "command": {"command": ""},
}
"""What pyperf calls each benchmark that is given no name: what was run tells them apart."""

_INPUTS = ("description", "timeit_setup", "timeit_stmt", "timeit_teardown", "command")
_PLATFORM = re.compile(r"Linux-(?P<release>.+)-(?P<machine>\w+)-with-")


@dataclass(frozen=True, slots=True)
class _Run:
    metadata: dict[str, Any] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    warmups: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Benchmark:
    runs: list[_Run]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _File:
    benchmarks: list[_Benchmark]
    version: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Metadata:
    """What is taken of the metadata of a run, those that it shares with others included."""

    name: str | None = None
    unit: str = "second"
    loops: int = 1
    inner_loops: int = 1
    date: str | None = None
    duration: float = 0.0
    mem_max_rss: int | None = None
    command_max_rss: int | None = None
    hostname: str | None = None
    platform: str | None = None
    cpu_model_name: str | None = None
    cpu_count: int | None = None
    cpu_affinity: str | None = None
    python_version: str | None = None
    python_implementation: str | None = None
    perf_version: str | None = None


def recognises(value: Any) -> bool:
    """Return whether the JSON value is what pyperf saves."""
    if not isinstance(value, dict) or "version" not in value:
        return False
    found = value.get("benchmarks")
    return isinstance(found, list) and all(isinstance(one, dict) and "runs" in one for one in found)


def results(document: Document, workload: str | None) -> Iterator[Found]:
    """Yield a result for each run of each benchmark that has values; calibrations have none.

    Args:
        document: what `recognises` said yes to.
        workload: the suite's name; "pyperf" by default.

    Raises:
        AssayError: the file is not as pyperf writes it, or in an older form.
    """
    version = document.value["version"]
    if version != _FORMAT:
        raise document.refused(
            f"it has pyperf's format {str(version)[:20]}, not {_FORMAT}; write it anew with "
            "`python -m pyperf convert FILE -o NEW`"
        )
    try:
        file = msgspec.convert(document.value, _File)
        for benchmark in file.benchmarks:
            shared = {**file.metadata, **benchmark.metadata}
            for run in benchmark.runs:
                if run.values:
                    raw = {**shared, **run.metadata}
                    found = msgspec.convert(raw, _Metadata)
                    # Before any name is made up: a later Assay may make up another.
                    identity = identity_of(NAME, found.name, found.unit, found.date, run.values)
                    result = _result(document, workload or NAME, raw, found, run)
                    yield Found(identity, result)
    except (msgspec.ValidationError, RecursionError) as error:
        raise document.refused(f"it is not as {NAME} writes it ({error})") from None


def _result(
    document: Document, workload: str, raw: Mapping[str, Any], found: _Metadata, run: _Run
) -> Result:
    if found.name is None:
        raise document.refused("a benchmark has no name; give it one with `--name`")
    host = _host(found)
    told = [f"{option}{raw[key]}" for key, option in _UNNAMED.get(found.name, {}).items()
            if key in raw]  # fmt: skip
    names: dict[str, Scalar] = {"benchmark": " ".join([found.name, *told])}
    case = Case(workload, VERSION, DEFAULT_VARIANT, backend_of(host), case_params(document, names))
    return Result(
        case,
        Outcome.OK,
        started_at=unix_time(found.date) or 0.0,
        duration_s=found.duration,
        work=Work(item="call"),
        measurements=tuple(_measurements(document, found, run)),
        inputs=plain_facts(document, {name: raw[name] for name in _INPUTS if name in raw}),
        environment=environment_of(host, Commit(reason=f"{NAME} records no commit")),
        flags=(FLAG,),
    )


def _host(found: _Metadata) -> Host:
    platform = _PLATFORM.match(found.platform or "")
    affinity = found.cpu_affinity
    return Host(
        machine=found.hostname or None,
        architecture=platform["machine"] if platform else None,
        cpu_model=found.cpu_model_name,
        logical_cpus=found.cpu_count,
        kernel=platform["release"] if platform else found.platform,
        # "3.11.7 (64-bit)", and more for a development version.
        python=(found.python_version or "").partition(" ")[0] or None,
        settings={
            **implementation_settings(found.python_implementation),
            **({} if affinity is None else {"cpu_affinity": affinity}),
        },
        packages={} if found.perf_version is None else {NAME: found.perf_version},
    )


def _measurements(document: Document, found: _Metadata, run: _Run) -> Iterator[Measurement]:
    if found.unit not in _QUANTITIES:
        known = ", ".join(_QUANTITIES)
        raise document.refused(f"its unit {found.unit[:40]!r} is not known (known: {known})")
    quantity, unit = _QUANTITIES[found.unit]
    steps = found.loops * found.inner_loops if quantity == "time" else 1
    # The values are a loop's already.
    yield Measurement(
        quantity, unit, "process", NAME, values=tuple(run.values), steps_per_sample=steps
    )
    if quantity == "time" and run.warmups:
        yield Measurement(
            "warm_up", "s", "process", NAME, "warm_up",
            values=tuple(value for _, value in run.warmups),
            steps_per_sample=max(loops for loops, _ in run.warmups) * found.inner_loops,
        )  # fmt: skip
    if quantity != "peak_memory":
        # Of a command it is what --track-memory tells as well; of a worker that is another
        # number, so its own is no sample of the same peak.
        for name, peak in (
            ("peak_memory", found.command_max_rss),
            ("max_rss", found.mem_max_rss),
        ):
            if peak is not None:
                yield Measurement(
                    name, "B", "process", "ru_maxrss", values=(peak,), flags=(WHOLE_PROCESS,)
                )
