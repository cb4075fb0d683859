"""A backend in about 20 lines: this machine's processor under another name."""

import os
from dataclasses import dataclass

from harness import AssayError
from harness.meters.host_memory import HostMemory
from harness.meters.wall_clock import WallClock


@dataclass(frozen=True)
class SlowDevice:
    name: str = "slowcpu"
    index: int = 0

    def torch_device(self):
        raise AssayError("slowcpu runs no torch; choose another backend for this variant")

    def synchronize(self):
        """A call on this device returns when its work is done."""

    def end_step(self):
        """No work is collected."""

    def meters(self):
        return (WallClock(), HostMemory())

    def environment(self):
        return {"processors": os.cpu_count()}


class SlowBackend:
    name = "slowcpu"

    def unavailable(self):
        return None if hasattr(os, "sched_getaffinity") else "needs Linux; use another machine"

    def features(self):
        return frozenset({"host", "fp64"})

    def open(self, index):
        if index != 0:
            raise AssayError(f"slowcpu has 1 device, there is no index {index}; use 0")
        return SlowDevice()


BACKEND = SlowBackend()
