"""Makes or finds the file of a case, indexes it, and begins the training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import numpy as np

from harness.errors import AssayError
from harness.protocols import Device, Group
from harness.records import Facts, Params, Variant
from harness.registry import resolve
from workloads.solar import inputs, page_cache
from workloads.solar.epoch_plan import Training
from workloads.solar.feed import SIMULATED, WARM, Delivered, Prepare, Settings
from workloads.solar.file_cache import KeptFile, kept_file
from workloads.solar.generate import Layout
from workloads.solar.layout import SampleFile, sample_file
from workloads.solar.options import Options
from workloads.solar.raw_reads import raw_rate
from workloads.solar.run import Probe, Run, Train
from workloads.solar.simulated import SimulatedFilesystem

_PROBE_BYTES = 64 << 20
"""Read raw before each epoch: some tens of ms on common disks."""

_LATENCY_S, _RANK_BYTES_PER_S, _TOTAL_BYTES_PER_S = 1e-3, 1e9, 4e9
"""Of the simulated file system: a request over a network to a shared disk, a rank's link, and a
storage that four ranks keep busy. Nobody's in particular."""


def prepare(
    device: Device, variant: Variant, params: Params, seed: int, group: Group | None
) -> Run:
    """Return the run of a case, before its first epoch.

    Raises:
        AssayError: the file cannot be accepted or made.
    """
    start = time.perf_counter()
    kept = _kept(params, seed)
    path = inputs.user_file(params) if kept is None else kept.path
    file = sample_file(path, inputs.dataset_names(params))
    spans = {"load": time.perf_counter() - start}
    ranks, rank = (1, 0) if group is None else (group.size, group.rank)
    training = Training(
        samples=file.samples,
        batch=int(params["batch"]),
        ranks=ranks,
        slots=inputs.slots(params, file.samples),
        epochs=int(params["epochs"]),
        seed=seed,
    )
    cold = params["cache"] != WARM
    system = _simulated(params, ranks)
    settings = Settings(
        file=file,
        training=training,
        rank=rank,
        cold=cold,
        agree=_alone if group is None else group.broadcast,
        delay=None if system is None else system.delay,
    )
    make = cast(Prepare, resolve(variant.run))
    start = time.perf_counter()
    feed = make(settings, device)
    spans["feed"] = time.perf_counter() - start
    return Run(
        feed=feed,
        settings=settings,
        cache=str(params["cache"]),
        facts=_facts(file, params, training, system),
        spans=spans,
        group=group,
        train=_train(device, seed, group) if params["train"] == "cnn" else None,
        probe=_probe(file) if cold and system is None else None,
        kept=kept,
    )


def _kept(params: Params, seed: int) -> KeptFile | None:
    if not inputs.is_generated(params):
        return None
    layout = Layout(samples_a_chunk=int(params["chunk"]), gzip=params["gzip"] == "yes")
    return kept_file(str(params["data"]), int(params["samples"]), layout=layout, seed=seed)


def _simulated(params: Params, ranks: int) -> SimulatedFilesystem | None:
    if params["filesystem"] != SIMULATED:
        return None
    return SimulatedFilesystem(
        latency_s=_LATENCY_S,
        rank_bandwidth=_RANK_BYTES_PER_S,
        total_bandwidth=_TOTAL_BYTES_PER_S,
        ranks=ranks,
        queue_depth=Options().threads,
    )


def _facts(
    file: SampleFile, params: Params, training: Training, system: SimulatedFilesystem | None
) -> Facts:
    return {
        "samples": file.samples,
        "sample_bytes": file.sample_bytes,
        "datasets": ", ".join(file.names),
        "layout": file.fallback or "read at offsets",
        "slots": training.slots,
        "filesystem": "real" if system is None else str(system),
        **({} if inputs.is_generated(params) else {"file": file.path.name}),
    }


def _alone(value: Any) -> Any:
    return value


def _probe(file: SampleFile) -> Probe | None:
    """Return the raw reader; None where requests are of two kinds, or h5py's own."""
    threads = Options().threads
    kinds = {dataset.aligned for dataset in file.datasets}
    if file.fallback or len(kinds) > 1:
        return None

    def probe(last: Mapping[str, float]) -> float:
        # Whoever does not tell its requests gets the same reads before its epoch as the others: a
        # disk, or what is below a virtual one, may have a cache of its own.
        size = max(file.row_bytes)
        if last.get("requests"):
            size = round(last["read_bytes"] / last["requests"])
        seed = time.perf_counter_ns() % 2**32
        if kinds == {True}:
            with suppress(AssayError):  # some file systems refuse O_DIRECT, and so it is in a feed
                return raw_rate(
                    file.path, -(-size // 4096) * 4096, _PROBE_BYTES, threads=threads, seed=seed
                )
        page_cache.drop(file.path)
        return raw_rate(file.path, size, _PROBE_BYTES, threads=threads, direct=False, seed=seed)

    return probe


def _train(device: Device, seed: int, group: Group | None) -> Train:
    from workloads.solar.torch_training import Trainer

    trainer = Trainer(device.torch_device(), seed=seed, ranked=group is not None)

    def train(batch: Delivered) -> None:
        if len(batch.samples):
            trainer.step(batch.arrays, batch.weight)
        else:
            # The other ranks wait for this one's gradient, which weighs nothing.
            trainer.step([np.zeros((1, *each.shape[1:]), np.float32) for each in batch.arrays], 0.0)
        # Arrays are valid until the next batch is asked for, which a device may not have read.
        device.synchronize()

    return train
