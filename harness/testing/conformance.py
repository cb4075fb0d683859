"""The checklist that any backend or workload, ours or a third party's, passes as one test.

@pytest.mark.parametrize("check", workload_checks("mine:WORKLOAD", "backends.cpu:BACKEND"), ids=str)
def test_my_workload_conforms(check):
    check()
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness import protocols
from harness.errors import AssayError
from harness.plan import Selection, plan
from harness.probe import measure_ceilings
from harness.protocols import SIZES, Backend, Meter, Workload
from harness.ranks import WORLD_SIZE
from harness.records import Params, Variant, Work
from harness.registry import Registry, resolve

MAX_CI_CASES = 12
MAX_CI_S = 60.0
MAX_CANARY_S = 0.5
MAX_PROBE_S = 120.0
_SI_UNITS = {"s", "B", "J", "B/s", "W", "1"}
_CEILING_UNITS = {"memory_rate": "B/s", "disk_rate": "B/s", "flop_rate": "FLOP/s"}
_HEAVY = ("torch", "numba")


@dataclass(frozen=True, slots=True)
class Check:
    """One named demand; calling it raises AssertionError where it is not met."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Run the check."""
        self.run()

    def __str__(self) -> str:
        return self.name


def backend_checks(path: str) -> list[Check]:
    """Return the demands on the backend at import path `package.module:attribute`.

    Where the device is absent, what needs it is left out and the reason itself is checked.
    """
    backend: Backend = resolve(path)
    checks = [
        Check("importing_it_loads_no_framework", lambda: _loads_no_framework(path)),
        Check("it_is_available_or_says_why_not_in_one_line", lambda: _gives_a_reason(backend)),
    ]
    if backend.unavailable() is not None:
        return checks
    return [
        *checks,
        Check("its_features_are_words", lambda: _features_are_words(backend)),
        Check("it_refuses_a_device_that_is_not_there", lambda: _refuses_index(backend)),
        Check("its_device_knows_its_name_and_index", lambda: _knows_itself(backend)),
        Check("its_first_meter_is_time", lambda: _time_comes_first(backend)),
        Check("its_meters_read_or_say_why_not", lambda: _meters_read(backend)),
        Check("its_environment_is_json", lambda: _environment_is_json(backend)),
        Check("its_canary_reads_seconds", lambda: _canary_reads(backend)),
        Check("its_ceilings_are_measured_or_said_to_be_none", lambda: _ceilings_are_rates(path)),
    ]


def workload_checks(path: str, backend_path: str) -> list[Check]:
    """Return the demands on the workload at `path`, its variants run on that backend's device 0."""
    workload: Workload[Any] = resolve(path)
    backend: Backend = resolve(backend_path)
    registry = Registry(backends={backend.name: backend_path}, workloads={workload.name: path})
    return [
        Check("importing_it_loads_no_framework", lambda: _loads_no_framework(path)),
        Check("exactly_one_variant_is_the_baseline", lambda: _one_baseline(workload)),
        Check("every_size_has_cases_of_known_parameters", lambda: _sizes_are_whole(registry)),
        Check("a_world_size_comes_with_prepare_rank", lambda: _ranks_are_prepared(workload)),
        Check("its_ci_size_fits_into_a_minute", lambda: _ci_is_small(registry)),
        *_variant_checks(registry, workload, backend),
    ]


def _loads_no_framework(path: str) -> None:
    module = path.partition(":")[0]
    code = f"import {module}, sys; print([m for m in {_HEAVY!r} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]", f"importing {module} loads {answer.stdout.strip()}"


def _gives_a_reason(backend: Backend) -> None:
    reason = backend.unavailable()
    assert reason is None or (reason.strip() and "\n" not in reason), repr(reason)


def _features_are_words(backend: Backend) -> None:
    features = backend.features()
    assert isinstance(features, frozenset)
    assert all(isinstance(word, str) and word and " " not in word for word in features), features


def _refuses_index(backend: Backend) -> None:
    try:
        backend.open(4096)
    except AssayError:
        return
    raise AssertionError("open(4096) must raise AssayError where there are fewer devices")


def _knows_itself(backend: Backend) -> None:
    device = backend.open(0)
    assert (device.name, device.index) == (backend.name, 0)
    device.synchronize()
    device.end_step()


def _time_comes_first(backend: Backend) -> None:
    first = backend.open(0).meters()[0]
    assert (first.quantity, first.unit) == ("time", "s")
    assert first.unavailable() is None, "a device without time cannot be measured"


def _meters_read(backend: Backend) -> None:
    for meter in backend.open(0).meters():
        assert meter.unit in _SI_UNITS, f"{meter.name}: {meter.unit} is no SI unit of a record"
        reason = meter.unavailable()
        if reason is None:
            _reads(meter)
        else:
            assert reason.strip(), f"{meter.name} gives an empty reason"
            assert "\n" not in reason, f"{meter.name} gives more than one line"


def _reads(meter: Meter) -> None:
    value = meter.stop(meter.start())
    assert math.isfinite(value), f"{meter.name} read {value}"
    assert value >= 0, f"{meter.name} read {value}"


def _environment_is_json(backend: Backend) -> None:
    json.dumps(backend.open(0).environment(), allow_nan=False)


def _canary_reads(backend: Backend) -> None:
    device = backend.open(0)
    if isinstance(device, protocols.RunsCanary):
        readings = device.canary()
        assert len(readings) >= 3, "a canary is told from noise by several readings"
        assert all(0 < reading < MAX_CANARY_S for reading in readings), readings


def _ceilings_are_rates(path: str) -> None:
    if not isinstance(resolve(path).open(0), protocols.MeasuresCeilings):
        return
    # In a process of its own: the probe loads frameworks that this one may not have loaded.
    probe = measure_ceilings(path, device_index=0, pin=(), env={}, timeout_s=MAX_PROBE_S)
    assert probe.ceilings, probe.reason
    for ceiling in probe.ceilings:
        assert ceiling.unit == _CEILING_UNITS[ceiling.quantity], ceiling
        assert (ceiling.size_bytes is None) == (ceiling.quantity == "flop_rate"), ceiling


def _one_baseline(workload: Workload[Any]) -> None:
    names = [variant.name for variant in workload.variants]
    assert len(set(names)) == len(names), f"variants named twice: {names}"
    assert sum(variant.baseline for variant in workload.variants) == 1


def _sizes_are_whole(registry: Registry) -> None:
    for size in SIZES:
        assert plan(registry, Selection(size=size)).cases, f"size {size} has no case"


def _ranks_are_prepared(workload: Workload[Any]) -> None:
    if WORLD_SIZE in workload.parameters:
        assert isinstance(workload, protocols.RunsOnRanks), "it has world_size, no prepare_rank"
        assert workload.parameters[WORLD_SIZE].default == 1, "one rank is the default"


def _ci_is_small(registry: Registry) -> None:
    ci = plan(registry, Selection(size="ci"))
    assert len(ci.cases) <= MAX_CI_CASES, f"{len(ci.cases)} cases, over {MAX_CI_CASES}"
    once_s = sum(planned.process_s for planned in ci.cases)
    assert once_s <= MAX_CI_S, f"about {once_s:.0f} s for a process each, over {MAX_CI_S:.0f} s"


def _variant_checks(
    registry: Registry, workload: Workload[Any], backend: Backend
) -> Iterator[Check]:
    seen = set()
    for planned in plan(registry, Selection(size="ci")).cases:
        if planned.skip is None and planned.variant.name not in seen:
            seen.add(planned.variant.name)
            yield Check(
                f"variant_{planned.variant.name}_is_verified_and_steps",
                partial(_variant_works, workload, backend, planned.variant, planned.case.params),
            )


def _variant_works(
    workload: Workload[Any], backend: Backend, variant: Variant, params: Params
) -> None:
    device = backend.open(0)
    state = workload.prepare(device, variant, params, 1)
    verification = workload.verify(state)
    assert verification.passed, verification
    if isinstance(workload, protocols.ResetsBeforeSample):
        workload.before_sample(state)
    workload.step(state)
    device.synchronize()
    work = workload.work(state) if isinstance(workload, protocols.DeclaresWork) else Work()
    assert work.items > 0
