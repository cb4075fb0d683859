"""`solar`: how fast samples come from an HDF5 file to a training, planned ahead after SOLAR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.allocator import KEEP_FREED_MEMORY
from harness.errors import AssayError
from harness.protocols import Device, Group
from harness.records import Case, Facts, Parameter, Params, Variant, Verification, Work
from workloads.solar.feed import CACHES, COLD, REAL, SIMULATED, SMALL_FILE_BYTES, WARM
from workloads.solar.file_cache import cache_folder
from workloads.solar.generate import file_bytes
from workloads.solar.inputs import is_generated, user_file
from workloads.solar.shapes import SHAPES

if TYPE_CHECKING:
    from workloads.solar.run import Run

_MAX_RANKS = 1024

_TUNED = "dataloader-tuned"
_DATALOADER = frozenset({"h5py", "torch"})
_OWN = frozenset({"h5py", "numba"})
_VARIANTS = (
    Variant(
        "dataloader",
        "workloads.solar.torch_feeds:dataloader",
        baseline=True,
        packages=_DATALOADER,
    ),
    Variant(_TUNED, "workloads.solar.torch_feeds:tuned", packages=_DATALOADER),
    Variant("lru", "workloads.solar.planned_feeds:lru_feed", packages=_OWN),
    Variant("minio", "workloads.solar.planned_feeds:minio_feed", packages=_OWN),
    Variant("solar-paper", "workloads.solar.planned_feeds:solar_paper_feed", packages=_OWN),
    Variant("assay", "workloads.solar.planned_feeds:assay_feed", packages=_OWN),
)

_POLICIES = frozenset({"lru", "minio", "solar-paper"})
"""Of what a buffer keeps; they share the reader of `assay`."""

_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "data": Parameter(
            "ptychonn", f"{', '.join(SHAPES)}, or an HDF5 file of datasets of samples"
        ),
        "datasets": Parameter("", "datasets of a file, by commas; all of equal length without"),
        "samples": Parameter(2048, "samples that are generated; 0 for a file"),
        "chunk": Parameter(0, "samples a chunk of a generated file; 0 is contiguous"),
        "gzip": Parameter("no", "whether generated chunks are compressed", choices=("no", "yes")),
        "buffer": Parameter(0.5, "share of the samples that all ranks' buffers hold together"),
        "batch": Parameter(64, "samples that all ranks together train on in one step"),
        "world_size": Parameter(1, "ranks, through torch.distributed"),
        "epochs": Parameter(0, "epochs that are planned; 0 for a training without end"),
        "cache": Parameter(
            COLD,
            "page cache: left warm, dropped before each epoch (cold) or after each step",
            choices=CACHES,
        ),
        "filesystem": Parameter(
            REAL,
            "the file's own, or a simulated parallel one beside it",
            choices=(REAL, SIMULATED),
        ),
        "train": Parameter(
            "no", "cnn: each batch trains a small PtychoNN; with ptychonn", choices=("no", "cnn")
        ),
    }
)

_CI: tuple[Params, ...] = ({"samples": 1024},)
_HEADLINE: tuple[Params, ...] = tuple(
    {"data": data, "chunk": chunk, "buffer": buffer}
    for data, chunk in (("ptychonn-128", 0), ("ptychonn", 1))
    for buffer in (0.0, 0.5)
)
_AMPLIFIED: tuple[Params, ...] = tuple({"data": "ptychonn", "chunk": chunk} for chunk in (8, 32))
_SIZES: Mapping[str, tuple[Params, ...]] = MappingProxyType(
    {
        "ci": _CI,
        "small": tuple({**case, "samples": 4096} for case in _HEADLINE),
        "medium": tuple({**case, "samples": 8192, "batch": 256} for case in _HEADLINE)
        + tuple({**case, "samples": 4096, "batch": 256} for case in _AMPLIFIED)
        + ({"data": "ptychonn", "samples": 8192, "batch": 256, "cache": WARM},),
        "paper": (
            {"data": "ptychonn", "samples": 262_144, "batch": 512, "chunk": 1},
            {"data": "autophase", "samples": 24_576, "batch": 64},
            {"data": "cosmoflow", "samples": 2_048, "batch": 64},
        ),
    }
)
"""ci: 48 MB; medium: 1.6 GB and 0.4 GB a file; paper: 13, 77 and 34 GB."""

_IMPORT_S = 4.0
_GENERATED_BYTES_PER_S = 150e6
_READ_BYTES_PER_S = 100e6
_SWEEP_S = 60.0
_SHORT_SWEEP_S = 8.0
"""Measured on two shared x86 cores and rounded down."""


@dataclass(frozen=True, slots=True)
class Solar:
    """The workload; a step is one epoch."""

    name: str = "solar"
    version: str = "1"
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: _PARAMETERS)
    variants: Sequence[Variant] = _VARIANTS

    def cases(self, size: str) -> Iterable[Params]:
        """Yield layouts, buffers and page caches of the size."""
        yield from _SIZES[size]

    def check(self, params: Params) -> Params:
        """Return the parameters in normal form.

        Raises:
            AssayError: no such file, or a number out of range.
        """
        params = {name: each.default for name, each in _PARAMETERS.items()} | dict(params)
        if is_generated(params):
            if params["datasets"]:
                raise AssayError("datasets= is for a file; generated ones have their own")
            _at_least(params, "samples", 1)
            _at_least(params, "chunk", 0)
            if params["gzip"] == "yes" and not params["chunk"]:
                raise AssayError("gzip=yes compresses chunks; add -p chunk=1 or more")
        else:
            user_file(params)
            # What a file is like it tells itself, and equal cases must be one.
            params = {**params, "samples": 0, "chunk": 0, "gzip": "no"}
        for name in ("batch", "world_size"):
            _at_least(params, name, 1)
        _at_least(params, "epochs", 0)
        if int(params["world_size"]) > _MAX_RANKS:
            raise AssayError(f"world_size={params['world_size']}; choose up to {_MAX_RANKS}")
        if int(params["batch"]) < int(params["world_size"]):
            raise AssayError(
                f"batch={params['batch']} leaves some of {params['world_size']} ranks without a "
                "sample; choose one sample a rank or more"
            )
        if params["epochs"] in (1, 2):
            raise AssayError("epochs=1 or 2 leave none to time: the first is compared, the last "
                             "keeps nothing; choose 0 or 3 and more")  # fmt: skip
        if not 0.0 <= float(params["buffer"]) <= 1.0:
            raise AssayError(f"buffer={params['buffer']} is no share; choose 0 to 1")
        if params["train"] == "cnn" and not str(params["data"]).startswith("ptychonn"):
            raise AssayError(f"train=cnn learns ptychonn's samples, not those of {params['data']}")
        return params

    def unsupported(self, variant: Variant, features: frozenset[str], params: Params) -> str | None:
        """Return why a variant cannot run this case, or would be another under its own name."""
        if float(params["buffer"]) == 0.0 and variant.name in _POLICIES:
            return "buffer=0 keeps nothing, whatever the policy; see assay"
        if params["filesystem"] == SIMULATED and variant.packages == _DATALOADER:
            return "the simulated file system delays our own reader only; use filesystem=real"
        return None

    def worker_env(self, case: Case) -> Mapping[str, str]:
        """Return the allocator setting for the variants whose every batch is a new array."""
        return KEEP_FREED_MEMORY if case.variant.startswith("dataloader") else {}

    def estimate_s(self, variant: Variant, params: Params) -> float:
        """Return what a worker takes besides sampling, in s: a file's writing and two epochs."""
        if not is_generated(params):
            return _IMPORT_S
        size = file_bytes(str(params["data"]), int(params["samples"]))
        sweep_s = 0.0
        if variant.name == _TUNED:
            sweep_s = _SWEEP_S if size >= SMALL_FILE_BYTES else _SHORT_SWEEP_S
        return _IMPORT_S + sweep_s + size / _GENERATED_BYTES_PER_S + 2.0 * size / _READ_BYTES_PER_S

    def disk_folder(self, params: Params) -> Path:
        """Return the folder of the file that is read."""
        if is_generated(params):
            folder = cache_folder()
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        return user_file(params).parent

    def prepare(self, device: Device, variant: Variant, params: Params, seed: int) -> Run:
        """Make or find the file, index it, and begin the training.

        Raises:
            AssayError: the file cannot be accepted or made.
        """
        from workloads.solar.preparation import prepare  # imports h5py

        return prepare(device, variant, params, seed, None)

    def prepare_rank(
        self, device: Device, variant: Variant, params: Params, seed: int, group: Group
    ) -> Run:
        """Begin this rank's share of the training; the ranks meet at the end of each step."""
        from workloads.solar.preparation import prepare

        return prepare(device, variant, params, seed, group)

    def resets(self, run: Run) -> bool:
        """Return whether something is done before each epoch: pages dropped, or a new training."""
        return run.cache != WARM or run.settings.training.epochs > 0

    def before_sample(self, run: Run) -> None:
        """Drop the file's pages; begin anew where the training has come to its last epoch."""
        run.begin_epoch()

    def step(self, run: Run) -> None:
        """Take every batch of the next epoch."""
        run.play()

    def verify(self, run: Run) -> Verification:
        """Play an epoch: every sample once, in its step, as h5py reads it, as planned."""
        from workloads.solar.verification import verify

        return verify(run)

    def work(self, run: Run) -> Work:
        """Return an epoch's samples, the bytes that were read for it, and those delivered."""
        delivered = float(run.file.sample_bytes * run.settings.training.samples)
        moved = {"memory": delivered}
        if run.cache != WARM and run.settings.delay is None:
            reads = run.epoch_reads()
            if reads is not None:
                moved["disk"] = reads * run.file.sample_bytes
        return Work(
            items=float(run.settings.training.samples),
            item="sample",
            bytes=moved,
            working_set_bytes=delivered,
        )

    def spans(self, run: Run) -> Mapping[str, float]:
        """Return how long making or finding the file took, indexing, and planning an epoch."""
        return {**run.spans, **run.feed.spans}

    def counters(self, run: Run) -> Mapping[str, float]:
        """Return what an epoch reads, hits and asks for, and rates beside those of raw reads."""
        return run.counters()

    def inputs(self, run: Run) -> Facts:
        """Return what the file holds and how it lies, and which file system was read."""
        return run.facts


WORKLOAD = Solar()


def _at_least(params: Params, name: str, least: int) -> None:
    if int(params[name]) < least:
        raise AssayError(f"{name}={params[name]}; choose {least} or more")
