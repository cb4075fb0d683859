"""A device with a virtual clock, and a workload that moves it exactly or misbehaves on request.

The sampling loop, the plan, isolation and the store run against these for real, in real worker
processes, and yield numbers that a test can state exactly.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.errors import AssayError
from harness.protocols import Device, Meter, MeterError
from harness.records import (
    Ceiling,
    Facts,
    Parameter,
    Params,
    Quality,
    Variant,
    Verification,
    Work,
    verified,
)


@dataclass(slots=True)
class VirtualClock:
    """Virtual time in s and virtual energy at a constant power; only `advance` moves them."""

    power_w: float = 10.0
    now_s: float = 0.0
    peak_bytes: float = 0.0
    synchronized: int = 0
    ended_steps: int = 0

    def advance(self, seconds: float) -> None:
        """Let `seconds` of device work pass."""
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class FakeMeter:
    """Reads time, energy or peak memory off a virtual clock.

    Attributes:
        why_not: the reason `unavailable` gives; None where the meter reads.
        breaks: the reason `stop` raises; None where windows can be told.
    """

    clock: VirtualClock
    quantity: str = "time"
    unit: str = "s"
    scope: str = "device"
    name: str = "virtual"
    min_window_s: float = 0.0
    why_not: str | None = None
    breaks: str | None = None

    def unavailable(self) -> str | None:
        """Return the reason given at construction."""
        return self.why_not

    def start(self) -> float:
        """Return the reading at the window's start."""
        return self._read()

    def stop(self, token: float) -> float:
        """Return the difference since `token`; a peak is the reading itself.

        Raises:
            MeterError: `breaks` is given.
        """
        if self.breaks is not None:
            raise MeterError(self.breaks)
        return self._read() if self.quantity == "peak_memory" else self._read() - token

    def _read(self) -> float:
        if self.quantity == "energy":
            return self.clock.now_s * self.clock.power_w
        if self.quantity == "peak_memory":
            return self.clock.peak_bytes
        return self.clock.now_s


@dataclass(frozen=True, slots=True)
class FakeDevice:
    """A device on which work takes virtual time."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    name: str = "fake"
    index: int = 0

    def torch_device(self) -> object:
        """Return nothing useful: no torch runs on a fake.

        Raises:
            AssayError: always.
        """
        raise AssayError("the fake device has no torch device; use a workload without torch")

    def synchronize(self) -> None:
        """Count the call."""
        self.clock.synchronized += 1

    def end_step(self) -> None:
        """Count the call."""
        self.clock.ended_steps += 1

    def meters(self) -> Sequence[Meter]:
        """Return time, memory and energy, all off the virtual clock."""
        return (
            FakeMeter(self.clock),
            FakeMeter(self.clock, quantity="peak_memory", unit="B"),
            FakeMeter(self.clock, quantity="energy", unit="J"),
        )

    def ceilings(self) -> Sequence[Ceiling]:
        """Return a rate for each kind that the fake workload declares, ten times what it reaches.

        At the fake workload's default parameters, that is.
        """
        return (
            Ceiling("memory_rate", "L1", "B/s", (1280.0, 1270.0), 64.0, "virtual"),
            Ceiling("flop_rate", "float64", "FLOP/s", (160.0, 159.0), None, "virtual"),
        )

    @property
    def canary_name(self) -> str:
        """Return the virtual kernel's name."""
        return "virtual-1"

    def canary(self) -> Sequence[float]:
        """Let about a virtual millisecond pass three times."""
        started = self.clock.now_s
        readings = []
        for _ in range(3):
            self.clock.advance(2**-10)  # a float that leaves sums exact
            readings.append(self.clock.now_s - started)
            started = self.clock.now_s
        return readings

    def environment(self) -> Facts:
        """Return the device's name."""
        return {"device": "fake"}


@dataclass(frozen=True, slots=True)
class FakeBackend:
    """A backend that is available everywhere, or nowhere where `why_not` is given."""

    name: str = "fake"
    why_not: str | None = None

    def unavailable(self) -> str | None:
        """Return the reason given at construction."""
        return self.why_not

    def features(self) -> frozenset[str]:
        """Return two features that nothing else has."""
        return frozenset({"virtual_time", "fp64"})

    def open(self, index: int) -> FakeDevice:
        """Return a new device with its own clock.

        Raises:
            AssayError: `index` is not 0.
        """
        if index != 0:
            raise AssayError(f"fake has 1 device, there is no index {index}; use 0")
        return FakeDevice()


@dataclass(slots=True)
class FakeState:
    """What the fake workload's steps work on."""

    device: FakeDevice
    variant: str
    step_s: float
    real_s: float
    hoard_bytes: int


def _variant(
    name: str, *, baseline: bool = False, requires: str = "virtual_time", packages: str = ""
) -> Variant:
    return Variant(
        name,
        run="harness.testing.fakes:VirtualClock",
        baseline=baseline,
        requires=frozenset({requires}),
        packages=frozenset({packages} if packages else ()),
    )


@dataclass(frozen=True, slots=True)
class FakeWorkload:
    """Every step takes exactly `step_s` virtual seconds; bad variants each end their own way."""

    name: str = "fake"
    version: str = "1"
    parameters: Mapping[str, Parameter] = field(
        default_factory=lambda: {
            "step_s": Parameter(0.5, "virtual seconds a step takes"),
            "real_s": Parameter(0.0, "real seconds a step takes besides"),
            "hoard_bytes": Parameter(1 << 62, "bytes that the variant `hoards` asks for"),
            "mode": Parameter("plain", "a word without effect", choices=("plain", "fancy")),
        }
    )
    variants: Sequence[Variant] = (
        _variant("exact", baseline=True),
        _variant("half"),
        _variant("wrong"),
        _variant("not-a-number"),
        _variant("not-json"),
        _variant("raises"),
        _variant("rejects-input"),
        _variant("segfaults"),
        _variant("hangs"),
        _variant("hoards"),
        _variant("chatters"),
        _variant("needs-unicorn", requires="unicorn"),
        _variant("needs-package", packages="no_such_package"),
    )

    def cases(self, size: str) -> Iterable[Params]:
        """Yield two cases at ci size and one elsewhere."""
        yield {"step_s": 0.5}
        if size == "ci":
            yield {"step_s": 2.0}

    def prepare(self, device: Device, variant: Variant, params: Params, seed: int) -> FakeState:
        """Return the state; some variants end here.

        Raises:
            AssayError: the variant is "rejects-input".
            TypeError: the device is no fake.
            ValueError: the variant is "raises".
        """
        if not isinstance(device, FakeDevice):
            raise TypeError("the fake workload runs on the fake device only")
        if variant.name == "rejects-input":
            raise AssayError("input.txt: line 3 is not a number; repair the file")
        if variant.name == "raises":
            raise ValueError("the fake workload was asked to raise")
        if variant.name == "chatters":
            print("chatter " * 4000, flush=True)
            print("the last words", flush=True)
        return FakeState(
            device,
            variant.name,
            float(params["step_s"]),
            float(params["real_s"]),
            int(params["hoard_bytes"]),
        )

    def step(self, state: FakeState) -> None:
        """Advance the virtual clock, or misbehave."""
        if state.variant == "segfaults":
            ctypes.string_at(0)
        while state.variant == "hangs":
            time.sleep(0.05)
        if state.variant == "hoards":
            np.empty(state.hoard_bytes, dtype=np.uint8)
        if state.real_s:
            time.sleep(state.real_s)
        state.device.clock.advance(state.step_s / 2 if state.variant == "half" else state.step_s)

    def verify(self, state: FakeState) -> Verification:
        """Accept every variant but "wrong"."""
        self.step(state)
        return verified(
            error={"wrong": 1.0, "not-a-number": math.nan}.get(state.variant, 0.0),
            tolerance=1e-9,
            reference="the number that was asked for",
        )

    def work(self, state: FakeState) -> Work:
        """Return four items a step, which works on as much memory as it moves."""
        return Work(
            items=4.0,
            item="item",
            flops={"float64": 8.0},
            bytes={"memory": 64.0},
            working_set_bytes=64.0,
        )

    def quality(self, state: FakeState) -> Quality:
        """Return a perfect score, of a type that JSON does not know where that is asked for."""
        return Quality({"score": np.float64(1.0) if state.variant == "not-json" else 1.0})


FAKE_BACKEND = FakeBackend()
ABSENT_BACKEND = FakeBackend(name="absent", why_not="no such device; plug one in")
FAKE_WORKLOAD = FakeWorkload()
