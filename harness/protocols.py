"""The three contracts: a `Backend` opens devices, a `Workload` does work, a `Meter` measures.

A backend or workload is any object with these members, registered as an entry point; nothing needs
to be subclassed. Required members are few. Everything optional is a protocol of one method further
down: an object that has the method takes part, one that has not gets the default named there.

Importing the module that holds a backend or workload must load neither torch nor numba: the parent
process plans with names, features and parameters only, and only the worker runs kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from harness.records import (
    Case,
    Ceiling,
    Facts,
    Parameter,
    Params,
    Quality,
    Variant,
    Verification,
    Work,
)

State = TypeVar("State")

SIZES = ("ci", "small", "medium", "paper")
"""The sizes of every workload; one process of each `ci` case of a workload takes
under 60 s together."""


class Meter(Protocol):
    """Reads one quantity over a window."""

    @property
    def quantity(self) -> str:
        """Return "time", "peak_memory", "energy", ..."""
        ...

    @property
    def unit(self) -> str:
        """Return the SI unit: "s", "B", "J"."""
        ...

    @property
    def scope(self) -> str:
        """Return what is seen: "process", "package", "device", ..."""
        ...

    @property
    def name(self) -> str:
        """Return the source of the values: "perf_counter", "vmhwm", "rapl", ..."""
        ...

    @property
    def min_window_s(self) -> float:
        """Return the shortest window the meter resolves; steps are repeated to fill it."""
        ...

    def unavailable(self) -> str | None:
        """Return why the meter cannot read here, with the fix; None where it can."""
        ...

    def start(self) -> Any:
        """Open a window and return its token."""
        ...

    def stop(self, token: Any) -> float:
        """Close the window and return the quantity over the whole of it.

        Raises:
            MeterError: the window cannot be told; the quantity becomes unavailable with the reason.
        """
        ...


class MeterError(Exception):
    """A window that a meter cannot tell, such as a counter that wrapped twice: reason and fix."""


class Device(Protocol):
    """One opened device, in the worker."""

    @property
    def name(self) -> str:
        """Return the backend's name."""
        ...

    @property
    def index(self) -> int:
        """Return which of the backend's devices this is."""
        ...

    def torch_device(self) -> Any:
        """Return the `torch.device`; imports torch."""
        ...

    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""
        ...

    def end_step(self) -> None:
        """Mark the end of a step for devices that collect work lazily; nothing elsewhere."""
        ...

    def meters(self) -> Sequence[Meter]:
        """Return the meters that see this device, the one for "time" first."""
        ...

    def environment(self) -> Facts:
        """Return facts about the device, its driver and its libraries."""
        ...


class Backend(Protocol):
    """A kind of device."""

    @property
    def name(self) -> str:
        """Return the registered name: "cpu", "arm", "cuda", "gaudi"."""
        ...

    def unavailable(self) -> str | None:
        """Return why this machine has no such device, with the fix; None where it has. No torch."""
        ...

    def features(self) -> frozenset[str]:
        """Return what variants may require: "fp64", "sparse", "bf16", "avx512_bf16", "sve", ..."""
        ...

    def open(self, index: int) -> Device:
        """Open the device in this process, which is a worker.

        Raises:
            AssayError: there is no device of that index.
        """
        ...


class Group(Protocol):
    """The ranks of a case with `world_size` > 1; every rank calls the same methods in one order."""

    @property
    def rank(self) -> int:
        """Return which rank this process is, from 0."""
        ...

    @property
    def size(self) -> int:
        """Return how many ranks there are."""
        ...

    @property
    def hosts(self) -> Sequence[int]:
        """Return for each rank the number of its host, from 0."""
        ...

    def barrier(self) -> None:
        """Return once every rank has called this."""
        ...

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank; small and picklable."""
        ...

    def gather(self, value: Any) -> Sequence[Any]:
        """Return every rank's value, in order of ranks, on every rank; small and picklable."""
        ...

    def environment(self) -> Facts:
        """Return facts about the ranks: world size, hosts, collectives, threads; {} for one."""
        ...


class Workload(Protocol[State]):
    """A problem with several implementations."""

    @property
    def name(self) -> str:
        """Return the registered name."""
        ...

    @property
    def version(self) -> str:
        """Return the version, bumped when numbers stop being comparable."""
        ...

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Return every parameter, in the order in which they are shown."""
        ...

    @property
    def variants(self) -> Sequence[Variant]:
        """Return the implementations; exactly one is the baseline."""
        ...

    def cases(self, size: str) -> Iterable[Params]:
        """Yield the parameters of each case of a size; what is not named takes its default."""
        ...

    def prepare(self, device: Device, variant: Variant, params: Params, seed: int) -> State:
        """Build everything a step needs, on the device.

        Raises:
            AssayError: an input cannot be accepted.
        """
        ...

    def step(self, state: State) -> None:
        """Do one unit of timed work; never synchronises by itself."""
        ...

    def verify(self, state: State) -> Verification:
        """Compare the output with a reference; runs before anything is timed."""
        ...


@runtime_checkable
class ChecksParams(Protocol):
    """Default: any parameters of the right types are accepted as they are."""

    def check(self, params: Params) -> Params:
        """Return the parameters in normal form; in the parent, quick, before anything is planned.

        Raises:
            AssayError: a value or the file it names cannot be accepted.
        """
        ...


@runtime_checkable
class SaysUnsupported(Protocol):
    """Default: every variant supports every case whose features and packages are there."""

    def unsupported(self, variant: Variant, features: frozenset[str], params: Params) -> str | None:
        """Return why this variant cannot run this case on a device of these features, or None."""
        ...


@runtime_checkable
class RunsOnRanks(Protocol):
    """Default: a case with `world_size` > 1 is refused.

    Every rank calls every method of the workload, in the same order, so that each may talk to the
    other ranks; what rank 0 returns is reported, and of the verifications the worst.
    """

    def prepare_rank(
        self, device: Device, variant: Variant, params: Params, seed: int, group: Group
    ) -> Any:
        """Build what this rank's share of a step needs; torch.distributed is initialised.

        Raises:
            AssayError: an input cannot be accepted, or the variant does not run on several ranks.
        """
        ...


@runtime_checkable
class EstimatesTime(Protocol):
    """Default: `plan.DEFAULT_ESTIMATE_S` a case."""

    def estimate_s(self, variant: Variant, params: Params) -> float:
        """Return the seconds a worker takes on two cores, imports included, sampling aside."""
        ...


@runtime_checkable
class SetsWorkerEnv(Protocol):
    """Default: the worker inherits the environment as it is."""

    def worker_env(self, case: Case) -> Mapping[str, str]:
        """Return environment variables to set before the worker starts (allocator, modes)."""
        ...


@runtime_checkable
class ResetsBeforeSample(Protocol):
    """Default: samples follow each other. With a reset, a sample is exactly one step."""

    def before_sample(self, state: Any) -> None:
        """Restore, untimed, what a sample must start from (cold cache, initial weights)."""
        ...


@runtime_checkable
class ResetsSomeCases(Protocol):
    """Default: a workload with `before_sample` resets before every sample of every case."""

    def resets(self, state: Any) -> bool:
        """Return whether this case is reset; where it is not, a sample may be many steps."""
        ...


@runtime_checkable
class DeclaresWork(Protocol):
    """Default: a step is one item, and no rates are shown."""

    def work(self, state: Any) -> Work:
        """Return what one step does."""
        ...


@runtime_checkable
class ReportsSpans(Protocol):
    """Default: none."""

    def spans(self, state: Any) -> Mapping[str, float]:
        """Return named phases in s, such as conversion; "compile" becomes a quantity."""
        ...


@runtime_checkable
class ReportsCounters(Protocol):
    """Default: none."""

    def counters(self, state: Any) -> Mapping[str, float]:
        """Return counts, such as bytes read."""
        ...


@runtime_checkable
class MeasuresQuality(Protocol):
    """Default: none."""

    def quality(self, state: Any) -> Quality:
        """Return what speed must not cost; a pass of its own after all measurements."""
        ...


@runtime_checkable
class DescribesInputs(Protocol):
    """Default: none."""

    def inputs(self, state: Any) -> Facts:
        """Return facts about the input that was used: shape, entries, digest of a file."""
        ...


@runtime_checkable
class MeasuresCeilings(Protocol):
    """For a `Device`. Default: results are held against no ceiling."""

    def ceilings(self) -> Sequence[Ceiling]:
        """Return the rates that nothing on this device exceeds, per cache level and dtype."""
        ...


@runtime_checkable
class RunsCanary(Protocol):
    """For a `Device`. Default: drift of the machine is not told from changes of the code."""

    @property
    def canary_name(self) -> str:
        """Return what the kernel is, with its version: other kernels' times do not compare."""
        ...

    def canary(self) -> Sequence[float]:
        """Run the fixed reference kernel several times, some ms each; return s each."""
        ...


@runtime_checkable
class ComparesRanks(Protocol):
    """For a `Meter`. Default: there is one rank, and a sample has no skew."""

    @property
    def skew(self) -> float:
        """Return by how much the last window's largest reading of a rank exceeds the smallest."""
        ...


@runtime_checkable
class ReadsDisk(Protocol):
    """Default: results are held against no ceiling of a disk."""

    def disk_folder(self, params: Params) -> Path:
        """Return the folder that the steps of a case read from; in the parent."""
        ...


@runtime_checkable
class NamesDatasets(Protocol):
    """Default: none."""

    def datasets(self) -> Sequence[Any]:
        """Return the `harness.data.Dataset`s that `assay data` lists and fetches."""
        ...
