from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from backends._host_device import HostDevice
from harness import protocols
from harness.errors import AssayError
from harness.host import read_cpu
from harness.isolate import run_isolated
from harness.measure import Sampling
from harness.protocols import SIZES
from harness.records import Case, Outcome, Params, Variant
from harness.task import Task
from workloads.solar import WORKLOAD, page_cache
from workloads.solar.feed import Delivered
from workloads.solar.loader import Loader
from workloads.solar.planned_feeds import PlannedFeed
from workloads.solar.run import Run

SMALL: Params = {"data": "ptychonn", "samples": 100, "batch": 16, "cache": "warm"}
FIELDS = ("order", "rank", "source", "target")
OWN = ("assay", "lru", "minio", "solar-paper")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def variant(name: str) -> Variant:
    return next(variant for variant in WORKLOAD.variants if variant.name == name)


def prepared(name: str, **params: Any) -> Run:
    if "torch" in variant(name).packages:
        pytest.importorskip("torch", reason="torch is not installed")
    chosen = WORKLOAD.check({**SMALL, **params})
    return WORKLOAD.prepare(HostDevice("cpu", read_cpu()), variant(name), chosen, 0)


@dataclass
class Spoilt:
    """A feed that changes each batch before it is delivered."""

    feed: Any
    spoil: Any

    def epoch(self) -> Iterator[Delivered]:
        return map(self.spoil, self.feed.epoch())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.feed, name)


def test_importing_the_workload_loads_neither_torch_nor_numba_nor_h5py() -> None:
    program = (
        "import sys, workloads.solar\n"
        "print([name for name in ('torch', 'numba', 'h5py') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_the_workload_takes_part_in_what_it_should() -> None:
    for protocol in (
        protocols.ChecksParams,
        protocols.EstimatesTime,
        protocols.ReadsDisk,
        protocols.ResetsSomeCases,
        protocols.RunsOnRanks,
        protocols.DeclaresWork,
        protocols.ReportsCounters,
        protocols.ReportsSpans,
        protocols.DescribesInputs,
    ):
        assert isinstance(WORKLOAD, protocol), protocol


@pytest.mark.parametrize("size", SIZES)
def test_every_case_of_every_size_is_in_order(size: str) -> None:
    for params in WORKLOAD.cases(size):
        assert WORKLOAD.estimate_s(variant("assay"), WORKLOAD.check(params)) > 0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"data": "ptychon"}, "no file or folder 'ptychon'.*shapes to generate: ptychonn"),
        ({"samples": 0}, "samples=0; choose 1 or more"),
        ({"batch": 0}, "batch=0; choose 1 or more"),
        ({"batch": 2, "world_size": 3}, "leaves some of 3 ranks without a sample"),
        ({"epochs": 2}, "epochs=1 or 2 leave none to time"),
        ({"buffer": 1.5}, "buffer=1.5 is no share; choose 0 to 1"),
        ({"buffer": float("nan")}, "buffer=nan is no share; choose 0 to 1"),
        ({"gzip": "yes"}, "gzip=yes compresses chunks; add -p chunk=1 or more"),
        ({"datasets": "X"}, "datasets= is for a file"),
        ({"data": "autophase", "train": "cnn"}, "train=cnn learns ptychonn's samples"),
        ({"world_size": 5000, "batch": 5000}, "world_size=5000; choose up to 1024"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_in_one_line(params: Params, message: str) -> None:
    with pytest.raises(AssayError, match=message) as caught:
        WORKLOAD.check(params)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["dataloader", "dataloader-tuned", *OWN])
@pytest.mark.parametrize("chunk", [0, 7])
def test_every_variant_delivers_what_h5py_reads(name: str, chunk: int) -> None:
    run = prepared(name, chunk=chunk)
    for _ in range(3):
        verification = WORKLOAD.verify(run)
        assert verification.passed, verification
    assert "DataLoader" in verification.detail or "bound" in verification.detail
    run.feed.close()


def test_compressed_samples_are_read_by_h5py_and_the_detail_says_so() -> None:
    run = prepared("assay", chunk=8, gzip="yes")
    verification = WORKLOAD.verify(run)
    assert verification.passed
    assert "h5py" in verification.detail
    run.feed.close()


def test_a_file_of_the_users_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["a"] = random.standard_normal((50, 3, 5))
        file["b"] = random.integers(0, 99, 50)
        file["unlike"] = np.arange(7)
    for datasets in ("", "b, a"):
        run = prepared("assay", data=str(path), datasets=datasets)
        assert WORKLOAD.verify(run).passed
        assert WORKLOAD.inputs(run)["samples"] == 50
        run.feed.close()
    with pytest.raises(AssayError, match="c"):
        prepared("assay", data=str(path), datasets="c")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda batch: replace(batch, arrays=(batch.arrays[0][::-1].copy(), *batch.arrays[1:])),
        lambda batch: replace(batch, samples=np.roll(batch.samples, 1)),
        lambda batch: replace(
            batch, samples=batch.samples[:-1], arrays=tuple(a[:-1] for a in batch.arrays)
        ),
    ],
    ids=["rows swapped", "samples misnamed", "one left out"],
)
def test_a_feed_that_delivers_something_else_is_rejected(spoil: Any) -> None:
    run = prepared("assay")
    feed = run.feed
    run.feed = Spoilt(feed, spoil)
    assert not WORKLOAD.verify(run).passed
    feed.close()


def epoch_of(run: Run) -> dict[str, float]:
    WORKLOAD.before_sample(run)
    WORKLOAD.step(run)
    return dict(WORKLOAD.counters(run))


def test_an_epoch_reads_as_few_samples_as_its_buffer_allows() -> None:
    for buffer, reads in ((0.0, 100), (0.25, 75), (0.5, 50), (1.0, 0)):
        run = prepared("assay", buffer=buffer)
        told = epoch_of(run)
        assert (told["reads"], told["hits"]) == (reads, 100 - reads)
        assert told["read_bytes"] == reads * run.file.sample_bytes
        assert WORKLOAD.work(run).items == 100
        run.feed.close()


def test_no_policy_reads_fewer_samples_than_assay_with_the_same_memory() -> None:
    read = {}
    for name in OWN:
        run = prepared(name, buffer=0.5)
        epoch_of(run)
        read[name] = sum(epoch_of(run)["reads"] for _ in range(4))
        run.feed.close()
    assert read["assay"] == min(read.values()) == 4 * 50
    assert read["lru"] > read["assay"]
    assert read["solar-paper"] > read["assay"]


def test_cold_epochs_drop_the_pages_and_stand_beside_raw_reads(tmp_path: Path) -> None:
    run = prepared("assay", cache="cold", data="ptychonn-128", samples=64)
    try:
        told = [epoch_of(run) for _ in range(3)][-1]
    except AssayError as error:
        pytest.skip(str(error))
    assert page_cache.cached_share(run.file.path) < 0.1
    assert told["raw_bytes_per_s"] > 0
    assert told["share_of_raw"] == told["disk_bytes_per_s"] / told["raw_bytes_per_s"]
    assert WORKLOAD.work(run).bytes["disk"] == 32 * run.file.sample_bytes
    run.feed.close()


def test_a_training_that_ends_begins_anew_and_times_neither_its_first_nor_its_last_epoch() -> None:
    run = prepared("assay", epochs=4)
    assert WORKLOAD.resets(run)
    for _ in range(6):
        assert epoch_of(run)["reads"] == 50
        assert 2 <= run.played <= 3
    run.feed.close()


def test_a_simulated_file_system_is_slower_and_named_in_the_inputs() -> None:
    run = prepared("assay", filesystem="simulated")
    assert str(WORKLOAD.inputs(run)["filesystem"]).startswith("simulated")
    assert WORKLOAD.verify(run).passed
    WORKLOAD.step(run)
    assert "disk" not in WORKLOAD.work(run).bytes
    run.feed.close()
    reason = WORKLOAD.unsupported(
        variant("dataloader"), frozenset(), WORKLOAD.check({"filesystem": "simulated"})
    )
    assert reason is not None
    assert "use filesystem=real" in reason


@pytest.mark.parametrize("name", ["dataloader", "assay"])
def test_training_on_each_batch_tells_the_devices_share_of_the_time(name: str) -> None:
    pytest.importorskip("torch")
    run = prepared(name, train="cnn", samples=6, batch=2)
    told = epoch_of(run)
    assert 0 < told["accelerator_utilisation"] <= 1
    run.feed.close()


def test_ranks_share_each_step_and_meet_at_its_end() -> None:
    pytest.importorskip("torch")
    # The last step has one sample, which leaves none for the second rank.
    for name, train in (("assay", "cnn"), ("dataloader", "no")):
        params = WORKLOAD.check(
            {**SMALL, "samples": 33, "batch": 16, "world_size": 2, "train": train}
        )
        task = Task(
            case=Case("solar", WORKLOAD.version, name, "cpu", params),
            backend="backends.cpu:BACKEND",
            workload="workloads.solar:WORKLOAD",
            variant=variant(name),
            sampling=Sampling(min_samples=2, max_samples=2, budget_s=0.05, warm_up_s=0.0),
            quantities=("time",),
        )
        result = run_isolated(task, timeout_s=120.0, env={})
        assert (result.outcome, result.reason) == (Outcome.OK, "")
        assert result.verification is not None
        assert result.verification.passed
        assert result.measurement("skew") is not None


def test_memory_is_counted_as_what_it_is_and_not_as_what_an_epoch_adds() -> None:
    run = prepared("assay")
    for _ in range(2):
        told = epoch_of(run)
    assert told["buffer_bytes"] >= 50 * run.file.sample_bytes
    assert told["staging_bytes"] > 0
    run.feed.close()


def test_what_hdf5_may_have_kept_is_not_called_a_read() -> None:
    pytest.importorskip("torch")
    for chunk, known in ((0, True), (4, False)):
        run = prepared("dataloader", chunk=chunk)
        assert ("reads" in epoch_of(run)) is known
    run = prepared("assay", chunk=4, gzip="yes")
    epoch_of(run)
    assert run.epoch_reads() is None
    run.feed.close()


@pytest.mark.parametrize("name", ["assay", "dataloader"])
@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_what_lies_in_other_files_is_found_beside_the_file_from_any_folder(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, elsewhere = tmp_path / "beside", tmp_path / "elsewhere"
    for folder, values in ((beside, np.arange(40)), (elsewhere, np.full(40, 7))):
        folder.mkdir()
        (folder / "raw.bin").write_bytes(values.astype("<i8").tobytes())
        with h5py.File(folder / "part.h5", "w") as file:
            file["x"] = values
    with h5py.File(beside / "whole.h5", "w") as file:
        if kind == "external":
            file.create_dataset("x", (40,), "<i8", external=[("raw.bin", 0, 320)])
        else:
            layout = h5py.VirtualLayout((40,), "<i8")
            layout[:] = h5py.VirtualSource("part.h5", "x", (40,))
            file.create_virtual_dataset("x", layout)
    monkeypatch.chdir(elsewhere)
    run = prepared(name, data=str(beside / "whole.h5"), datasets="x", batch=8)
    assert WORKLOAD.verify(run).passed
    batch = next(run.feed.epoch())
    assert sorted(np.asarray(batch.arrays[0]).tolist()) == sorted(batch.samples.tolist())
    run.feed.close()


def test_an_order_of_the_planners_own_is_rejected() -> None:
    run = prepared("assay", samples=200)

    class Reversed:
        name = "assay"

        def __init__(self, planner: Any) -> None:
            self.planner = planner
            self.training = planner.training

        def epochs(self, start: int = 0) -> Iterator[Any]:
            for plan in self.planner.epochs(start):
                arrays = {name: getattr(plan, name)[::-1].copy() for name in FIELDS}
                yield replace(plan, **arrays)

    planner = run.feed.planner  # type: ignore[attr-defined]
    run.feed.close()
    run.feed = PlannedFeed(
        lambda: None,  # type: ignore[arg-type, return-value]
        Loader(run.file, Reversed(planner)),
        planner,
        {},
    )
    assert not WORKLOAD.verify(run).passed
    run.feed.close()
