"""Chooses which stored results a dashboard shows, and says why it leaves out the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from dashboards.asv_names import MAX_NAME, inert, safe_name
from harness.case_run import CaseRun
from harness.environment import environment_name, with_setting_names
from harness.records import Result
from harness.rows import supersedes
from harness.sighting import unfit

SUPERSEDED = "a newer result of the same case is there"
OTHER_PROCESSOR = "another processor has the same machine name"

LOCKED = "locked"
"""Stands for the versions in a name where the commit, which is the ledger's, tells them."""

_GIB = 2**30

_Age = tuple[float, str, str, float]
"""When a case was last started, its run, its key and how long it took: no two are alike."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What one asv result file is about, in names that are safe in a path."""

    machine: str
    commit: str
    environment: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What is shown and what is not.

    Attributes:
        shown: the latest run of every case, by place and then by the case's key.
        versions: the version of each workload that is shown.
        left_out: how many cases of runs are not shown, by reason.
    """

    shown: Mapping[Place, Mapping[str, CaseRun]]
    versions: Mapping[str, str]
    left_out: Mapping[str, int]


def select(cases: Iterable[CaseRun], versions: Mapping[str, str]) -> Selection:
    """Select what a dashboard shows; the order of `cases` does not matter.

    Args:
        cases: stored cases of runs on any machine, commit and workload.
        versions: the current version by workload; a workload that is not in it counts as being at
            the version of its latest result.
    """
    left_out: Counter[str] = Counter()
    fit: list[tuple[_Age, CaseRun]] = []
    for one in cases:
        reason = unfit(one)
        if reason is None:
            fit.append((_age(one), one))
        else:
            left_out[reason] += 1
    fit.sort(key=itemgetter(0))
    current = {one.case.workload: one.case.version for _, one in fit}
    current |= {name: version for name, version in versions.items() if name in current}
    shown: dict[Place, dict[str, CaseRun]] = {}
    for (_, _, key, _), one in fit:
        workload, version = one.case.workload, one.case.version
        if version != current[workload]:
            left_out[f"workload {inert(workload)} is at version {inert(current[workload])}"] += 1
            continue
        there = shown.setdefault(_place(one.result), {})
        left_out[SUPERSEDED] += key in there
        if supersedes(one, there.get(key)):
            there.pop(key, None)
            there[key] = one
    left_out[OTHER_PROCESSOR] += _keep_one_processor(shown)
    return Selection(shown, current, +left_out)


def processor(result: Result) -> dict[str, str]:
    """Return what tells machines apart in asv: arch, cpu and num_cpu, "unknown" where it is."""
    cpu = result.environment.get("cpu")
    facts = cpu if isinstance(cpu, Mapping) else {}
    return {
        "arch": _fact(facts.get("architecture")),
        "cpu": _fact(facts.get("model")),
        "num_cpu": _fact(facts.get("logical_cpus")),
    }


def memory(result: Result) -> str:
    """Return the machine's memory in whole GiB: what a kernel keeps for itself changes."""
    size = result.environment.get("memory_bytes")
    return f"{round(size / _GIB)} GiB" if isinstance(size, int | float) else "unknown"


def kernel(result: Result) -> str:
    """Return the operating system's kernel."""
    return _fact(result.environment.get("kernel"))


def python(result: Result) -> str:
    """Return Python's version without its last number, which breaks no series.

    On the ledger no version breaks one: each has a commit of its own.
    """
    if _on_ledger(result):
        return LOCKED
    return ".".join(_fact(result.environment.get("python")).split(".")[:2])


def packages(result: Result) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = result.environment.get("packages")
    facts = found if isinstance(found, Mapping) else {}
    return {inert(str(name)): _fact(facts[name]) for name in sorted(facts) if facts[name]}


def settings(result: Result) -> dict[str, object]:
    """Return the settings that differ from the default, such as the number of threads."""
    found = result.environment.get("settings")
    return {str(name): found[name] for name in sorted(found)} if isinstance(found, Mapping) else {}


def _age(one: CaseRun) -> _Age:
    last = max(one.results, key=lambda result: result.started_at)
    return last.started_at, one.run, one.case.key, last.duration_s


def _place(result: Result) -> Place:
    environment = result.environment
    return Place(
        safe_name(environment["machine"]), environment["commit"], safe_name(_environment(result))
    )


def _environment(result: Result) -> str:
    if _on_ledger(result):
        return with_setting_names([LOCKED], settings(result))
    return environment_name(
        {"python": python(result), "packages": packages(result), "settings": settings(result)}
    )


def _on_ledger(result: Result) -> bool:
    return isinstance(result.environment.get("lock"), str)


def _keep_one_processor(shown: Mapping[Place, dict[str, CaseRun]]) -> int:
    """Drop, within each place, what ran on another processor than its latest case."""
    dropped = 0
    for cases in shown.values():
        processors = {key: processor(one.result) for key, one in cases.items()}
        *_, latest = processors.values()  # in the order of age
        others = [key for key, found in processors.items() if found != latest]
        for key in others:
            del cases[key]
        dropped += len(others)
    return dropped


def _fact(value: object) -> str:
    if value is None or value == "":
        return "unknown"
    # asv names folders by them, which file systems measure in bytes.
    return inert(str(value)).encode()[: 2 * MAX_NAME].decode(errors="ignore")
