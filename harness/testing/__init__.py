"""For tests: a fake device with exact numbers, and the checklist of every backend and workload."""

from harness.testing.conformance import backend_checks, workload_checks
from harness.testing.fakes import (
    ABSENT_BACKEND,
    FAKE_BACKEND,
    FAKE_WORKLOAD,
    FakeBackend,
    FakeDevice,
    FakeMeter,
    FakeWorkload,
    VirtualClock,
)

__all__ = [
    "ABSENT_BACKEND",
    "FAKE_BACKEND",
    "FAKE_WORKLOAD",
    "FakeBackend",
    "FakeDevice",
    "FakeMeter",
    "FakeWorkload",
    "VirtualClock",
    "backend_checks",
    "workload_checks",
]
