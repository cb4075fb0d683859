"""Turns a selection into an ordered list of cases, each with an estimate or why it is skipped."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, TypeVar

from harness.errors import AssayError, unknown
from harness.measure import Sampling
from harness.protocols import (
    SIZES,
    Backend,
    ChecksParams,
    EstimatesTime,
    SaysUnsupported,
    Workload,
)
from harness.records import Case, Parameter, Params, Scalar, Variant
from harness.registry import Registry
from harness.repetition import PILOT

_Plugin = TypeVar("_Plugin")

DEFAULT_ESTIMATE_S = 3.0
"""A worker's imports and first call on two slow cores, where the workload says nothing."""

SAMPLING_S = {"ci": 0.75, "small": 2.5, "medium": 10.0, "paper": 60.0}
"""Seconds that one process spends on the samples of one quantity: about half of what it takes to
start at ci size, since another process tells more than further samples do."""

CASE_S = {"ci": 10.0, "small": 120.0, "medium": 900.0, "paper": 4 * 3600.0}
"""Wall time after which an imprecise case gets no further process, where no budget is given."""

MAX_PROCESSES = 30
"""Of one case: beyond, the square root makes precision dear."""

TIMEOUT_S = {"ci": 120.0, "small": 600.0, "medium": 3600.0, "paper": 6 * 3600.0}
"""Many times what a case of that size should take: only a hang or a wrong size gets there."""

TIMEOUT_ESTIMATES = 5.0
"""A time-out that was not asked for is at least this many estimates, which are made for two cores
and count neither steps slower than the sampling nor an energy pass."""

MIN_SAMPLING_S = 0.1
"""Less for the samples of a case than this is a budget that cannot hold one."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; an empty tuple means all.

    Attributes:
        backends: empty means every one that is available on this machine.
        params: repeated values of one parameter are swept.
        precision: a case is repeated until its interval's half-width is this share.
        processes: how often each case is repeated, whatever the precision; None to let it tell.
        budget_s: wall time for the whole run; None for each size's own a case.
        timeout_s: wall time of one process; None for each size's own.
    """

    workloads: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    size: str = "ci"
    seed: int = 0
    precision: float = 0.02
    processes: int | None = None
    budget_s: float | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Repetition:
    """How many processes measure a case.

    Attributes:
        precision: enough where the half-width of the headline's interval is this share of it.
        processes: exactly so many, whatever the precision; None to let it tell.
        case_s: wall time after which the pilot is not followed by more; None for no such limit.
    """

    precision: float = 0.02
    processes: int | None = None
    case_s: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """One case, how it is measured, and about how long that takes; or why it is skipped.

    Attributes:
        sampling: what one process does.
        repetition: how many processes there are.
        timeout_s: wall time of one process.
        setup_s: what a process takes before its samples.
    """

    case: Case
    variant: Variant
    sampling: Sampling
    repetition: Repetition
    timeout_s: float
    setup_s: float
    skip: str | None = None

    @property
    def process_s(self) -> float:
        """Seconds one process is expected to take: time and memory passes after the set-up."""
        return 0.0 if self.skip is not None else self.setup_s + self.sampling.budget_s * 4 / 3

    @property
    def estimate_s(self) -> float:
        """Seconds the case is expected to take where it does not become precise early."""
        if self.repetition.processes is not None:
            return self.process_s * self.repetition.processes
        pilot_s = self.process_s * PILOT
        return min(max(pilot_s, self.repetition.case_s or pilot_s), self.process_s * MAX_PROCESSES)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cases in the order in which they run.

    Attributes:
        backends: import paths of the backends that the cases use.
        workloads: import paths of the workloads that the cases use.
        broken: one line for each registered plug-in that does not load and was not asked for.
        budget_s: wall time, from the first process on, after which no further one is started.
    """

    cases: tuple[PlannedCase, ...]
    backends: Mapping[str, str] = field(default_factory=dict)
    workloads: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    budget_s: float | None = None

    @property
    def estimate_s(self) -> float:
        """Seconds the whole plan is expected to take."""
        total_s = sum(planned.estimate_s for planned in self.cases)
        return total_s if self.budget_s is None else min(total_s, self.budget_s)


def plan(registry: Registry, selection: Selection) -> Plan:
    """Plan a run.

    Variants of the same parameters stand next to each other, so that what is compared is measured
    close in time.

    Raises:
        AssayError: a name, a parameter or a value is not known or not accepted, nothing is left to
            run, or the budget is too short for one sample of each case.
    """
    if selection.size not in SIZES:
        raise unknown("size", selection.size, SIZES)
    broken: list[str] = []
    workloads = [registry.workload(name) for name in dict.fromkeys(selection.workloads)]
    if not workloads:
        workloads = _loadable(registry.workload, registry.workloads, broken)
    backends = [registry.backend(name) for name in dict.fromkeys(selection.backends)]
    if not backends:
        backends = _available(_loadable(registry.backend, registry.backends, broken))
    variants = {workload.name: registry.variants_of(workload) for workload in workloads}
    _check_variants(selection.variants, variants)
    _check_params(selection.params, workloads)
    cases = [
        _planned(workload, variant, backend, params, selection)
        for workload in workloads
        for backend in backends
        for params in _params(workload, selection)
        for variant in variants[workload.name]
        if not selection.variants or variant.name in selection.variants
    ]
    if not cases:
        raise AssayError("nothing to run: no selected workload has a selected variant")
    return Plan(
        cases=tuple(
            _with_timeout(planned, selection) for planned in _within_budget(cases, selection)
        ),
        backends={backend.name: registry.backends[backend.name] for backend in backends},
        workloads={workload.name: registry.workloads[workload.name] for workload in workloads},
        broken=tuple(broken),
        budget_s=selection.budget_s,
    )


def parse_value(name: str, parameter: Parameter, text: str) -> Scalar:
    """Return the value that `text` spells for a parameter.

    Raises:
        AssayError: it is not of the parameter's type or not among its choices.
    """
    kind = type(parameter.default)
    try:
        value = _BOOLEANS[text.lower()] if kind is bool else kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
    except (ValueError, KeyError, OverflowError) as error:
        raise AssayError(
            f"parameter {name}={text!r} is not {_KINDS[kind]}; the default is {parameter.default}"
        ) from error
    if parameter.choices and value not in parameter.choices:
        raise unknown(f"value of parameter {name}:", text, map(str, parameter.choices))
    return value


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _loadable(
    load: Callable[[str], _Plugin], names: Iterable[str], broken: list[str]
) -> list[_Plugin]:
    """Load what loads; what nobody asked for and does not load is told and left out."""
    found = []
    for name in names:
        try:
            found.append(load(name))
        except AssayError as error:
            broken.append(str(error))
    return found


def _available(backends: Sequence[Backend]) -> list[Backend]:
    available = [backend for backend in backends if backend.unavailable() is None]
    if not available:
        raise AssayError("no backend is available on this machine; `assay devices` says why")
    return available


def _check_variants(names: Sequence[str], variants: Mapping[str, Sequence[Variant]]) -> None:
    known = {variant.name for family in variants.values() for variant in family}
    for name in names:
        if name not in known:
            raise unknown("variant", name, known)


def _check_params(params: Sequence[tuple[str, str]], workloads: Sequence[Workload[Any]]) -> None:
    known = {name for workload in workloads for name in workload.parameters}
    for name, _ in params:
        if name not in known:
            raise unknown("parameter", name, known)


def _params(workload: Workload[Any], selection: Selection) -> Iterator[Params]:
    """Yield each case's complete parameters once: the size's own, with the user's over them."""
    given: dict[str, list[Scalar]] = {}
    for name, text in selection.params:
        if name in workload.parameters:
            value = parse_value(name, workload.parameters[name], text)
            given.setdefault(name, []).append(value)
    seen = set()
    for base in workload.cases(selection.size):
        for values in product(*given.values()):
            over = {**base, **dict(zip(given, values, strict=True))}
            params: Params = {
                name: over.get(name, parameter.default)
                for name, parameter in workload.parameters.items()
            }
            if isinstance(workload, ChecksParams):
                params = workload.check(params)
            identity = tuple(params.items())
            if identity not in seen:
                seen.add(identity)
                yield params


def _planned(
    workload: Workload[Any],
    variant: Variant,
    backend: Backend,
    params: Params,
    selection: Selection,
) -> PlannedCase:
    setup_s = DEFAULT_ESTIMATE_S
    if isinstance(workload, EstimatesTime):
        setup_s = workload.estimate_s(variant, params)
    return PlannedCase(
        case=Case(
            workload=workload.name,
            version=workload.version,
            variant=variant.name,
            backend=backend.name,
            params=params,
            seed=selection.seed,
        ),
        variant=variant,
        sampling=Sampling(budget_s=SAMPLING_S[selection.size]),
        repetition=Repetition(
            precision=selection.precision,
            processes=selection.processes,
            case_s=CASE_S[selection.size] if selection.budget_s is None else None,
        ),
        timeout_s=TIMEOUT_S[selection.size],
        setup_s=setup_s,
        skip=_reason_to_skip(workload, variant, backend, params),
    )


def _reason_to_skip(
    workload: Workload[Any], variant: Variant, backend: Backend, params: Params
) -> str | None:
    reason = backend.unavailable()
    if reason is not None:
        return f"{backend.name} is unavailable: {reason}"
    for package in sorted(variant.packages):
        if importlib.util.find_spec(package) is None:
            fix = "pip install 'assay[torch]'" if package == "torch" else f"pip install {package}"
            return f"needs the package {package}, which is not installed; {fix}"
    features = backend.features()
    missing = sorted(variant.requires - features)
    if missing:
        return f"needs {', '.join(missing)}, which {backend.name} does not have here"
    if isinstance(workload, SaysUnsupported):
        return workload.unsupported(variant, features, params)
    return None


def _with_timeout(planned: PlannedCase, selection: Selection) -> PlannedCase:
    generous_s = max(planned.timeout_s, TIMEOUT_ESTIMATES * planned.process_s)
    return replace(planned, timeout_s=selection.timeout_s or generous_s)


def _within_budget(cases: Sequence[PlannedCase], selection: Selection) -> tuple[PlannedCase, ...]:
    """Shorten the samplings until a pilot of each case fits, or as many processes as do."""
    budget_s = selection.budget_s
    if budget_s is None:
        return tuple(cases)
    running = [planned for planned in cases if planned.skip is None]
    setup_s = sum(planned.setup_s for planned in running)
    asked = selection.processes
    for processes in range(PILOT, 0, -1) if asked is None else (asked,):
        share_s = (budget_s / processes - setup_s) / max(len(running), 1) * 3 / 4
        if share_s >= MIN_SAMPLING_S:
            return tuple(
                replace(
                    planned,
                    sampling=replace(
                        planned.sampling, budget_s=min(share_s, planned.sampling.budget_s)
                    ),
                )
                for planned in cases
            )
    raise AssayError(
        f"a budget of {budget_s:g} s is too short for one sample of each of {len(running)} "
        f"cases, whose set-up alone takes about {setup_s:.0f} s; "
        "raise --budget or select fewer cases"
    )
