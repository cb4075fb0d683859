"""The checklist that Assay's own workloads pass; run it after every change."""

import platform
from collections.abc import Callable

import pytest

from harness.testing import workload_checks

HOST = "arm" if platform.machine() in ("aarch64", "arm64") else "cpu"


@pytest.mark.parametrize(
    "check", workload_checks("starter_bench.workload:WORKLOAD", f"backends.{HOST}:BACKEND"), ids=str
)
def test_the_workload_conforms(check: Callable[[], None]) -> None:
    """Each demand is a test of its own."""
    check()
