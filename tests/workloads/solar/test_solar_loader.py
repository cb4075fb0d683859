from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.errors import AssayError
from tests.workloads.solar.plans import KeepFirst, Written
from workloads.solar import lru, minio, schedule, solar_paper
from workloads.solar.epoch_plan import READ, EpochPlan, Planner, Training
from workloads.solar.layout import SampleFile, sample_file
from workloads.solar.loader import Batch, Loader, Options

PLANNERS = [KeepFirst, schedule.planner, lru.planner, minio.planner, solar_paper.planner]
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "one a chunk": {"per_chunk": 1},
    "eight a chunk": {"per_chunk": 8},
    "gzip": {"per_chunk": 3, "compression": "gzip"},
    "checksum": {"per_chunk": 4, "fletcher32": True},
    "big-endian": {"dtype": ">f4"},
}


def _write(path: Path, samples: int, shape: tuple[int, ...], layouts: list[str]) -> SampleFile:
    random = np.random.default_rng(0)
    with h5py.File(path, "w", alignment_threshold=4096, alignment_interval=4096) as file:
        for number, name in enumerate(layouts):
            options = {"dtype": "f4", **LAYOUTS[name]}
            per_chunk = min(options.pop("per_chunk", 0), samples)
            chunks = (per_chunk, *shape) if per_chunk else None
            dataset = file.create_dataset(str(number), (samples, *shape), chunks=chunks, **options)
            dataset[...] = random.normal(size=(samples, *shape))
    return sample_file(path)


def _contents(file: SampleFile) -> list[NDArray[Any]]:
    with h5py.File(file.path) as opened:
        return [opened[name][()] for name in file.names]


def _training(samples: int = 50, **others: int) -> Training:
    values = {"batch": 16, "ranks": 1, "slots": 10, "epochs": 3, "seed": 5, **others}
    return Training(samples=samples, **values)


@pytest.fixture
def file(tmp_path: Path) -> SampleFile:
    return _write(tmp_path / "a.h5", 50, (4, 3), ["contiguous", "eight a chunk"])


@settings(max_examples=30)
@given(
    samples=st.integers(1, 40),
    shape=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    layouts=st.lists(st.sampled_from(list(LAYOUTS)), min_size=1, max_size=3),
    batch=st.integers(1, 45),
    ranks=st.integers(1, 3),
    slots=st.integers(0, 45),
    gap_bytes=st.sampled_from([0, 1, 100, 10_000]),
    depth=st.integers(2, 5),
    threads=st.integers(1, 4),
    ahead=st.booleans(),
    make=st.sampled_from(PLANNERS),
)
def test_every_batch_has_the_bytes_that_h5py_reads_and_the_plans_counts(
    tmp_path_factory: pytest.TempPathFactory,
    samples: int,
    shape: tuple[int, ...],
    layouts: list[str],
    batch: int,
    ranks: int,
    slots: int,
    gap_bytes: int,
    depth: int,
    threads: int,
    ahead: bool,
    make: Callable[[Training], Planner],
) -> None:
    file = _write(tmp_path_factory.mktemp("loader") / "a.h5", samples, shape, layouts)
    contents = _contents(file)
    training = _training(samples, batch=batch, ranks=ranks, slots=slots)
    planner = make(training)
    options = Options(depth=depth, threads=threads, gap_bytes=gap_bytes, ahead=ahead)
    plans = list(planner.epochs())
    steps = training.steps
    for rank in range(ranks):
        with Loader(file, planner, rank=rank, options=options) as loader:
            for plan in plans:
                batches = 0
                for found in loader.epoch():
                    at = slice(found.step * batch, (found.step + 1) * batch)
                    mine = plan.rank[at] == rank
                    assert (found.epoch, found.step) == (plan.epoch, batches)
                    assert found.samples.tolist() == plan.order[at][mine].tolist()
                    assert found.weight == pytest.approx(mine.mean() * ranks)
                    for array, whole in zip(found.arrays, contents, strict=True):
                        assert array.dtype.isnative
                        np.testing.assert_array_equal(array, whole[found.samples])
                        array.fill(0)
                    batches += 1
                assert batches == steps
            reads = sum(int(((p.rank == rank) & (p.source == READ)).sum()) for p in plans)
            delivered = sum(int((p.rank == rank).sum()) for p in plans)
            counters = loader.counters
            assert (counters.samples, counters.reads) == (delivered, reads)
            assert counters.hits == delivered - reads
            assert counters.useful_bytes == reads * file.sample_bytes
            assert next(loader.epoch(), None) is None
            if gap_bytes == 0 and not file.fallback:
                assert counters.read_bytes == counters.useful_bytes


def test_chunks_of_many_samples_are_read_no_further_than_their_samples(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5", 64, (8,), ["eight a chunk"])
    with Loader(file, KeepFirst(_training(64, slots=0))) as loader:
        list(loader.epoch())
        assert loader.counters.read_bytes == 64 * 8 * 4


def test_neighbours_are_one_request_and_the_gap_between_them_is_counted(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5", 64, (8,), ["contiguous"])

    def counted(batch: int, gap_bytes: int) -> tuple[int, int]:
        options = Options(threads=1, gap_bytes=gap_bytes)
        with Loader(
            file, KeepFirst(_training(64, batch=batch, slots=0)), options=options
        ) as loader:
            list(loader.epoch())
            return loader.counters.requests, loader.counters.read_bytes

    assert counted(64, 0) == (1, 64 * 32)
    apart, bytes_apart = counted(32, 0)
    together, bytes_together = counted(32, 64 * 32)
    assert apart > 2
    assert together == 2
    assert bytes_together > bytes_apart == 64 * 32


def test_what_h5py_unpacks_counts_each_stored_chunk_of_a_step_once(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5", 30, (100,), ["gzip"])
    with h5py.File(file.path) as opened:
        stored = opened["0"].id.get_storage_size()
    with Loader(file, KeepFirst(_training(30, batch=30, slots=0))) as loader:
        list(loader.epoch())
        assert loader.counters.read_bytes == stored
        assert loader.counters.requests == 10
        assert loader.how == "0: h5py (filtered (deflate))"


def _rows(batches: Iterator[Batch]) -> list[tuple[int, int, list[int], list[bytes]]]:
    return [
        (b.epoch, b.step, b.samples.tolist(), [array.tobytes() for array in b.arrays])
        for b in batches
    ]


@settings(max_examples=15)
@given(
    epoch=st.integers(0, 2),
    taken=st.integers(0, 3),
    ranks=st.integers(1, 2),
    make=st.sampled_from(PLANNERS),
)
def test_a_training_taken_up_in_the_middle_of_an_epoch_gets_the_same_remaining_batches(
    tmp_path_factory: pytest.TempPathFactory,
    epoch: int,
    taken: int,
    ranks: int,
    make: Callable[[Training], Planner],
) -> None:
    file = _write(tmp_path_factory.mktemp("resume") / "a.h5", 50, (3,), ["contiguous", "gzip"])
    training = _training(ranks=ranks)
    planner = make(training)
    with Loader(file, planner, rank=ranks - 1) as loader:
        for _ in range(epoch):
            list(loader.epoch())
        batches = loader.epoch()
        for _ in range(taken):
            next(batches)
        state = json.loads(json.dumps(loader.state_dict()))
        rest = _rows(iter(loader))
        reads = loader.counters.reads
    with Loader(file, planner, rank=ranks - 1) as other:
        other.load_state_dict(state)
        assert _rows(iter(other)) == rest
        assert other.counters.reads <= reads
        assert other.counters.refilled <= training.slots


def test_steps_so_large_that_threads_share_their_copies_arrive_whole(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5", 65, (32, 1024), ["contiguous"])
    (contents,) = _contents(file)
    with Loader(file, schedule.planner(_training(65, batch=32, slots=60, epochs=2))) as loader:
        for batch in loader:
            np.testing.assert_array_equal(batch.arrays[0], contents[batch.samples])
        assert loader.counters.hits == 60


def _values(loader: Loader) -> list[int]:
    return [int(value) for batch in loader for value in batch.arrays[0]]


def test_a_slot_that_a_step_empties_is_filled_in_the_same_step(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["x"] = np.arange(4)
    training = Training(samples=4, batch=2, ranks=1, slots=1, epochs=3, seed=0)
    plans = (
        ([0, 1, 2, 3], [-1, -1, -1, -1], [0, -1, -1, -1]),
        ([1, 0, 3, 2], [-1, 0, -1, -1], [0, -1, -1, -1]),
        ([3, 2, 1, 0], [-1, -1, 0, -1], [-1, -1, -1, -1]),
    )
    with Loader(sample_file(tmp_path / "a.h5"), Written(training, plans)) as loader:
        assert _values(loader) == [0, 1, 2, 3, 1, 0, 3, 2, 3, 2, 1, 0]
        assert loader.counters.hits == 2


def test_of_the_samples_that_one_slot_has_held_the_last_is_there_when_resumed(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened["x"] = np.arange(6)
    training = Training(samples=6, batch=2, ranks=1, slots=1, epochs=2, seed=0)
    plans = (
        ([0, 1, 2, 3, 4, 5], [-1] * 6, [0, -1, 0, -1, -1, -1]),
        ([5, 4, 3, 2, 1, 0], [-1, -1, -1, 0, -1, -1], [-1] * 6),
    )
    with Loader(sample_file(tmp_path / "a.h5"), Written(training, plans)) as loader:
        loader.load_state_dict({**loader.state_dict(), "step": 2})
        assert _values(loader) == [4, 5, 5, 4, 3, 2, 1, 0]
        assert (loader.counters.hits, loader.counters.refilled) == (1, 1)


def test_a_state_of_other_settings_or_another_file_is_refused(
    file: SampleFile, tmp_path: Path
) -> None:
    state = Loader(file, KeepFirst(_training())).state_dict()
    with pytest.raises(AssayError, match="another training"):
        Loader(file, KeepFirst(_training(seed=6))).load_state_dict(state)
    copied = _write(tmp_path / "b.h5", 50, (4, 3), ["contiguous", "eight a chunk"])
    with pytest.raises(AssayError, match="not the file"):
        Loader(copied, KeepFirst(_training())).load_state_dict(state)
    with pytest.raises(AssayError, match="does not have"):
        Loader(file, KeepFirst(_training())).load_state_dict({**state, "step": 99})


def test_a_loop_left_early_is_taken_up_where_it_was_left(file: SampleFile) -> None:
    with Loader(file, KeepFirst(_training(epochs=1))) as loader:
        first = [batch.step for batch in loader.epoch() if batch.step < 1][:1]
        assert first == [0]
    with Loader(file, KeepFirst(_training(epochs=1))) as loader:
        for batch in loader.epoch():
            if batch.step == 1:
                break
        assert [batch.step for batch in loader.epoch()] == [2, 3]


def test_a_training_without_end_goes_on(file: SampleFile) -> None:
    with Loader(file, KeepFirst(_training(epochs=0))) as loader:
        assert [b.epoch for b, _ in zip(loader, range(9), strict=False)] == [0] * 4 + [1] * 4 + [2]


def test_nothing_is_read_ahead_of_an_epoch_that_is_not_asked_for(file: SampleFile) -> None:
    asked: list[int] = []

    def delay(requests: NDArray[np.int64]) -> float:
        asked.append(len(requests))
        return 0.0

    planner = KeepFirst(_training())
    with Loader(file, planner, options=Options(ahead=False, delay=delay)) as loader:
        list(loader.epoch())
        list(loader.epoch())
        assert len(asked) == 2 * 4
        assert next(loader.epoch()).epoch == 2


def test_an_epoch_is_planned_while_the_one_before_it_is_delivered_and_at_no_other_time(
    file: SampleFile,
) -> None:
    begun: list[int] = []
    planned: list[int] = []

    class Slow(KeepFirst):
        def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
            for plan in super().epochs(start):
                begun.append(plan.epoch)
                time.sleep(0.05)
                planned.append(plan.epoch)
                yield plan

    with Loader(file, Slow(_training(epochs=0)), options=Options(ahead=False)) as loader:
        for epoch in range(3):
            list(loader.epoch())
            assert planned == list(range(epoch + 2))
            time.sleep(0.05)
            assert begun == list(range(epoch + 2))


def test_staging_memory_stays_within_its_limit_however_unequal_the_steps(
    file: SampleFile,
) -> None:
    class Unequal(KeepFirst):
        def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
            for plan in super().epochs(start):
                few = np.arange(50) >= 2 * plan.epoch
                yield EpochPlan(
                    plan.epoch, plan.order, few.astype(np.int32), plan.source, plan.target
                )

    limit = 48 * file.sample_bytes
    planner = Unequal(_training(ranks=2, slots=0, epochs=8))
    options = Options(depth=6, staging_bytes=limit)
    contents = _contents(file)
    with Loader(file, planner, options=options) as loader:
        for batch in loader:
            np.testing.assert_array_equal(batch.arrays[1], contents[1][batch.samples])
        assert 0 < loader.counters.staging_bytes <= limit
    small = Options(staging_bytes=31 * file.sample_bytes)
    with (
        Loader(file, KeepFirst(_training()), options=small) as loader,
        pytest.raises(AssayError, match="two steps of 16 samples"),
    ):
        list(loader)


@pytest.mark.parametrize("direct", [True, False])
def test_aligned_samples_are_read_past_the_page_cache_where_that_is_allowed(
    tmp_path: Path, direct: bool
) -> None:
    file = _write(tmp_path / "a.h5", 50, (1024,), ["contiguous", "eight a chunk"])
    contents = _contents(file)
    options = Options(direct=direct, gap_bytes=8192)
    with Loader(file, KeepFirst(_training(slots=5)), options=options) as loader:
        for batch in loader:
            for array, whole in zip(batch.arrays, contents, strict=True):
                np.testing.assert_array_equal(array, whole[batch.samples])
        assert ("O_DIRECT" in loader.how) if direct else loader.how.startswith("0, 1: buffered")


def test_samples_that_are_not_aligned_are_read_through_the_page_cache(file: SampleFile) -> None:
    with Loader(file, KeepFirst(_training()), options=Options(direct=True)) as loader:
        list(loader.epoch())
        assert loader.how == "0, 1: buffered (O_DIRECT not possible)"


def test_a_simulated_file_system_holds_each_step_back(file: SampleFile) -> None:
    options = Options(delay=lambda requests: 1e-3 * len(requests), ahead=False)
    with Loader(file, KeepFirst(_training(slots=0)), options=options) as loader:
        start = time.perf_counter()
        list(loader.epoch())
        assert time.perf_counter() - start > 1e-3 * loader.counters.requests


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Options(depth=1), "depth"),
        (Options(threads=0), "threads"),
        (Options(gap_bytes=-1), "gap_bytes"),
        (Options(staging_bytes=0), "staging_bytes"),
    ],
)
def test_options_out_of_range_are_refused(file: SampleFile, options: Options, name: str) -> None:
    with pytest.raises(AssayError, match=name):
        Loader(file, KeepFirst(_training()), options=options)


def test_a_plan_for_another_number_of_samples_or_ranks_is_refused(file: SampleFile) -> None:
    with pytest.raises(AssayError, match="plan for this file"):
        Loader(file, KeepFirst(_training(49)))
    with pytest.raises(AssayError, match="rank 1 of 1"):
        Loader(file, KeepFirst(_training()), rank=1)


def test_a_loader_that_is_dropped_or_closed_twice_leaves_no_thread(file: SampleFile) -> None:
    before = threading.active_count()
    for batch in Loader(file, KeepFirst(_training(epochs=0))):
        if batch.epoch == 1:
            break
    assert threading.active_count() <= before
    loader = Loader(file, KeepFirst(_training()))
    next(loader.epoch())
    loader.close()
    loader.close()
    assert threading.active_count() <= before
    with pytest.raises(AssayError, match="closed"):
        next(loader.epoch())
