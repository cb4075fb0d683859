"""Time, memory and energy of an NVIDIA GPU: events, torch's allocator, the driver's counter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml

from harness.protocols import MeterError

_CLOCK_WINDOW_S = 0.01
"""Event times step by about 0.5 us (CUDA Runtime API, cudaEventElapsedTime), and the window holds
the wake-up after the last synchronisation, some tens of us: together under 1 % of 10 ms."""

_ENERGY_WINDOW_S = 10.0
"""The counter ticks about every 100 ms, so a window is off by up to one tick: 1 % of 10 s."""


@contextmanager
def nvml() -> Iterator[None]:
    """Keep NVML initialised inside the block.

    Raises:
        pynvml.NVMLError: the library or the driver is not there.
    """
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


@dataclass(frozen=True, slots=True)
class CudaEventClock:
    """Reads the time in s between two events on the device's current stream.

    The sampling loop synchronises the whole device before it opens and before it closes a window,
    so work on other streams is inside it too.

    Attributes:
        index: the device, as torch counts.
    """

    index: int
    quantity: str = field(default="time", init=False)
    unit: str = field(default="s", init=False)
    scope: str = field(default="device", init=False)
    name: str = field(default="cuda_event", init=False)
    min_window_s: float = field(default=_CLOCK_WINDOW_S, init=False)

    def unavailable(self) -> str | None:
        """Return None: every CUDA device has events."""
        return None

    def start(self) -> Any:
        """Record an event and return it."""
        return self._record()

    def stop(self, token: Any) -> float:
        """Record another event, wait for it, and return the time in s since `token`."""
        end = self._record()
        end.synchronize()
        return float(token.elapsed_time(end)) / 1e3

    def _record(self) -> Any:
        import torch

        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.index))
        return event


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Reads the peak of the bytes that torch's allocator had handed out on the device.

    What was allocated before the window and is still held counts. What does not pass through that
    allocator (the context, libraries' own buffers, other processes) does not.

    Attributes:
        index: the device, as torch counts.
    """

    index: int
    quantity: str = field(default="peak_memory", init=False)
    unit: str = field(default="B", init=False)
    scope: str = field(default="device", init=False)
    name: str = field(default="torch_cuda_allocator", init=False)
    min_window_s: float = field(default=0.0, init=False)

    def unavailable(self) -> str | None:
        """Return why torch keeps no count, with the fix; None where it does."""
        if os.environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING"):
            return (
                "torch's allocator keeps no count while PYTORCH_NO_CUDA_MEMORY_CACHING is set; "
                "unset it"
            )
        return None

    def start(self) -> None:
        """Set the peak to what is allocated now."""
        import torch

        torch.cuda.reset_peak_memory_stats(self.index)

    def stop(self, token: None) -> float:
        """Return the peak in B since `start`.

        Raises:
            MeterError: nothing was allocated by torch, so its count says nothing of the work.
        """
        import torch

        peak = torch.cuda.max_memory_allocated(self.index)
        if peak == 0:
            raise MeterError(
                "torch allocated nothing on this device; the work allocates by other means, "
                "which this meter does not see"
            )
        return float(peak)


@dataclass(frozen=True, slots=True)
class NvmlEnergy:
    """Reads the energy in J that the whole GPU used, by the driver's counter since it was loaded.

    Everything that runs on the GPU counts, whichever process gave it.

    Attributes:
        uuid: the GPU as the driver names it ("GPU-..."); None where torch could not tell.
    """

    uuid: str | None
    quantity: str = field(default="energy", init=False)
    unit: str = field(default="J", init=False)
    scope: str = field(default="device", init=False)
    name: str = field(default="nvml", init=False)
    min_window_s: float = field(default=_ENERGY_WINDOW_S, init=False)

    def unavailable(self) -> str | None:
        """Return why the counter cannot be read, with the fix; None where it can."""
        if self.uuid is None:
            return "the driver does not say which GPU this is; update the NVIDIA driver"
        try:
            with nvml():
                handle = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
                if is_partitioned(handle):
                    return (
                        "the GPU is partitioned (MIG) and its counter covers every partition; "
                        "turn MIG off to measure energy"
                    )
                pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError_NotSupported:
            return "this GPU has no energy counter; GPUs since Volta have one"
        except pynvml.NVMLError as error:
            return _unreadable(error)
        return None

    def start(self) -> Any:
        """Return the GPU's handle and its counter in mJ; NVML stays initialised until `stop`.

        Raises:
            MeterError: the counter cannot be read.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise MeterError(f"NVML does not start: {error}; check `nvidia-smi`") from error
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
            return handle, pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            pynvml.nvmlShutdown()
            raise MeterError(_unreadable(error)) from error

    def stop(self, token: Any) -> float:
        """Return the energy in J since `token`.

        Raises:
            MeterError: the counter cannot be read, stood still or went back.
        """
        handle: Any
        before_mj: int
        handle, before_mj = token
        try:
            after_mj: int = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            raise MeterError(_unreadable(error)) from error
        finally:
            pynvml.nvmlShutdown()
        if after_mj <= before_mj:
            raise MeterError(
                f"the GPU's energy counter went from {before_mj} to {after_mj} mJ; "
                "repeat the run, with the driver kept loaded (nvidia-persistenced)"
            )
        return (after_mj - before_mj) / 1e3


def is_partitioned(handle: Any) -> bool:
    """Return whether the GPU is split into MIG partitions; NVML must be initialised."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        # GPUs before Ampere, and most consumer GPUs, cannot be split and do not answer.
        return False
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _unreadable(error: Exception) -> str:
    return f"NVML does not read the energy counter: {error}; check `nvidia-smi -q -d POWER`"
