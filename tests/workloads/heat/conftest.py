"""The host as the one device that these tests train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from harness.protocols import Device, Meter
from harness.records import Facts
from workloads.heat import synthetic
from workloads.heat.interactions import Interactions


@dataclass(frozen=True, slots=True)
class Host:
    name: str = "host"
    index: int = 0

    def torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def synchronize(self) -> None:
        pass

    def end_step(self) -> None:
        pass

    def meters(self) -> Sequence[Meter]:
        return ()

    def environment(self) -> Facts:
        return {}


@pytest.fixture
def device() -> Device:
    return Host()


@pytest.fixture(scope="session")
def small() -> Interactions:
    return synthetic.generate(users=1_000, items=2_048, interactions=25_000, seed=7)
