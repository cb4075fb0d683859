"""Reads what pytest-benchmark saves: one process that timed each test in rounds.

A test without a group is the parameter `benchmark`, by its node id. Tests of one group are meant to
be compared: the group is the parameter `benchmark` and each test one of its variants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
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
    commit_id,
    environment_of,
    implementation_settings,
    unix_time,
)
from harness.records import Case, Measurement, Outcome, Result, Scalar, Work

NAME = "pytest-benchmark"

SUMMARY_ONLY = "summary_only"
"""The file holds no rounds (it was saved without their data): the one value is their median."""

OTHER_TIMER = "other_timer"
"""The test's timer is not pytest-benchmark's own; the meter is called after it. One of processor
time does not see what waits."""

_WALL_CLOCKS = ("perf_counter", "monotonic", "time")

_OWN_BENCHMARK = "parameter benchmark"  # a test's own, as the export to asv names such a one
_UNSERIALIZABLE = "UNSERIALIZABLE["  # what pytest-benchmark writes for an object, address and all


@dataclass(frozen=True, slots=True)
class _Cpu:
    brand_raw: str | None = None
    brand: str | None = None
    vendor_id_raw: str | None = None
    count: int | None = None
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Machine:
    node: str | None = None
    machine: str | None = None
    system: str | None = None
    release: str | None = None
    python_version: str | None = None
    python_implementation: str | None = None
    cpu: _Cpu = field(default_factory=_Cpu)


@dataclass(frozen=True, slots=True)
class _CommitInfo:
    id: str | None = None
    time: str | None = None
    dirty: bool | None = None
    project: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Stats:
    rounds: int
    median: float
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    stddev: float | None = None
    iterations: int = 1
    data: list[float] | None = None


@dataclass(frozen=True, slots=True)
class _Options:
    timer: str = _WALL_CLOCKS[0]


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    fullname: str
    stats: _Stats
    group: str | None = None
    params: dict[str, Any] | None = None
    param: str | None = None
    extra_info: dict[str, Any] = field(default_factory=dict)
    options: _Options = field(default_factory=_Options)


@dataclass(frozen=True, slots=True)
class _File:
    machine_info: _Machine
    benchmarks: list[_Test]
    commit_info: _CommitInfo = field(default_factory=_CommitInfo)
    datetime: str | None = None
    version: str | None = None


def recognises(value: Any) -> bool:
    """Return whether the JSON value is what pytest-benchmark saves."""
    return isinstance(value, dict) and "machine_info" in value and "benchmarks" in value


def results(document: Document, workload: str | None) -> Iterator[Found]:
    """Yield a result for each test of the file.

    Args:
        document: what `recognises` said yes to.
        workload: the suite's name; the measured project's by default.

    Raises:
        AssayError: the file is not as pytest-benchmark writes it.
    """
    try:
        file = msgspec.convert(document.value, _File)
    except (msgspec.ValidationError, RecursionError) as error:
        raise document.refused(f"it is not as {NAME} writes it ({error})") from None
    host = _host(file)
    environment = environment_of(host, _commit(file.commit_info))
    seen: set[str] = set()
    suite = workload or file.commit_info.project or NAME
    for test, variant, benchmark, own in _cases(file.benchmarks):
        params = case_params(document, {"benchmark": benchmark, **own})
        case = Case(suite, VERSION, variant, backend_of(host), params)
        if case.key in seen:
            raise document.refused(f"it holds {ascii(test.fullname)[:100]} twice")
        seen.add(case.key)
        result = Result(
            case,
            Outcome.OK,
            started_at=unix_time(file.datetime) or 0.0,
            work=Work(item="call"),
            measurements=(_time(test),),
            counters={} if test.stats.data else {"rounds": test.stats.rounds},
            inputs=plain_facts(document, test.extra_info),
            environment=environment,
            flags=tuple(_flags(test)),
        )
        # Without the rounds: a save that lacks them is of the same session.
        summary = asdict(replace(test.stats, data=None))
        yield Found(identity_of(NAME, test.fullname, file.commit_info.id, summary), result)


def _host(file: _File) -> Host:
    machine = file.machine_info
    kernel = machine.release
    if kernel and machine.system and machine.system != "Linux":
        kernel = f"{machine.system} {kernel}"
    return Host(
        machine=machine.node or None,
        architecture=machine.machine or None,
        cpu_model=machine.cpu.brand_raw or machine.cpu.brand,
        cpu_vendor=machine.cpu.vendor_id_raw,
        cpu_features=machine.cpu.flags,
        logical_cpus=machine.cpu.count,
        kernel=kernel,
        python=machine.python_version,
        settings=implementation_settings(machine.python_implementation),
        packages={} if file.version is None else {NAME: file.version},
    )


def _commit(info: _CommitInfo) -> Commit:
    found = commit_id(info.id)
    if found is None:
        return Commit(reason=info.error or f"{NAME} found no commit")
    return Commit(found, unix_time(info.time), info.dirty)


def _cases(tests: list[_Test]) -> Iterator[tuple[_Test, str, str, dict[str, Scalar]]]:
    """Yield each test with its variant, its value of `benchmark`, and its own parameters."""
    # Two tests of one name in a group, of two classes or files, are told apart by where they are.
    places = {(test.group, _node(test)) for test in tests}
    shared = Counter((group, _short(node)) for group, node in places)
    # Values that look alike (None and "None", one value twice) by the id that pytest gave them.
    alike = Counter((test.group, _node(test), str(_params(test))) for test in tests)
    for test in tests:
        node, own = _node(test), _params(test)
        if alike[test.group, node, str(own)] > 1:
            own = _by_id(test)
        if test.group is None:
            yield test, DEFAULT_VARIANT, node, own
        else:
            short = _short(node)
            yield test, node if shared[test.group, short] > 1 else short, test.group, own


def _short(node: str) -> str:
    return node.rpartition("::")[2]


def _node(test: _Test) -> str:
    """Return the test's node id without its parameters."""
    return test.fullname.removesuffix(f"[{test.param}]")


def _params(test: _Test) -> dict[str, Scalar]:
    """Return the parameters by name; under `param` pytest's own id where one is no scalar."""
    params = {
        _OWN_BENCHMARK if name == "benchmark" else name: "None" if value is None else value
        for name, value in (test.params or {}).items()
    }
    if all(map(_is_scalar, params.values())):
        return params
    return _by_id(test)


def _by_id(test: _Test) -> dict[str, Scalar]:
    return {"param": test.param or ""}


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return not value.startswith(_UNSERIALIZABLE)
    return isinstance(value, int | float)


def _flags(test: _Test) -> Iterator[str]:
    yield FLAG
    if not test.stats.data:
        yield SUMMARY_ONLY
    if test.options.timer not in _WALL_CLOCKS:
        yield OTHER_TIMER


def _time(test: _Test) -> Measurement:
    stats, timer = test.stats, test.options.timer
    # The samples are a call's already: pytest-benchmark divides each round by its iterations.
    return Measurement(
        "time",
        "s",
        "process",
        NAME if timer in _WALL_CLOCKS else f"{NAME} {timer}",
        values=tuple(stats.data or (stats.median,)),
        steps_per_sample=stats.iterations,
    )
