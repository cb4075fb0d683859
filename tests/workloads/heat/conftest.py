"""The host as the one device that these tests train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends._host_device import HostDevice
from harness.host import read_cpu
from harness.protocols import Device
from workloads.heat import synthetic
from workloads.heat.interactions import Interactions


@pytest.fixture
def device() -> Device:
    return HostDevice("cpu", read_cpu())


@pytest.fixture(scope="session")
def small() -> Interactions:
    return synthetic.generate(users=1_000, items=2_048, interactions=25_000, seed=7)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep trainings of tests out of the user's cache, and the user's out of tests."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
