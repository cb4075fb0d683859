"""Every registered backend and workload passes the checklist that third parties run too."""

from __future__ import annotations

import os

import pytest

from harness.registry import installed
from harness.testing import backend_checks, workload_checks
from harness.testing.conformance import Check

HOST = "backends.cpu:BACKEND" if os.uname().machine == "x86_64" else "backends.arm:BACKEND"
FAKE = ("harness.testing:FAKE_WORKLOAD", "harness.testing:FAKE_BACKEND")
REGISTRY = installed()


def labelled(checks: list[Check], owner: str) -> list[object]:
    return [pytest.param(check, id=f"{owner}-{check}") for check in checks]


@pytest.mark.parametrize(
    "check",
    [
        case
        for name, path in {**REGISTRY.backends, "fake": FAKE[1]}.items()
        for case in labelled(backend_checks(path), name)
    ],
)
def test_every_backend_conforms(check: Check) -> None:
    check()


@pytest.mark.parametrize(
    "check",
    [
        case
        for name, path in REGISTRY.workloads.items()
        for case in labelled(workload_checks(path, HOST), name)
    ],
)
def test_every_workload_conforms(check: Check) -> None:
    check()


def test_the_checklist_rejects_a_variant_that_computes_something_else() -> None:
    checks = {check.name: check for check in workload_checks(*FAKE)}
    checks["variant_exact_is_verified_and_steps"]()
    with pytest.raises(AssertionError, match="passed=False"):
        checks["variant_wrong_is_verified_and_steps"]()


def test_the_checklist_rejects_a_ci_size_that_is_too_large() -> None:
    checks = {check.name: check for check in workload_checks(*FAKE)}
    with pytest.raises(AssertionError, match="26 cases, over 12"):
        checks["its_ci_size_fits_into_a_minute"]()
