from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from harness.errors import AssayError
from tests.workloads.solar.plans import KeepFirst
from workloads.solar import digest
from workloads.solar.epoch_plan import EpochPlan, Training
from workloads.solar.layout import SampleFile, sample_file
from workloads.solar.loader import Loader, Options
from workloads.solar.raw_reads import raw_rate
from workloads.solar.reads import add, copy, read, requests
from workloads.solar.staging import memory

SAMPLES = 64


def _write(path: Path, *, seed: int = 0, **options: Any) -> SampleFile:
    values = np.random.default_rng(seed).normal(size=(SAMPLES, 512)).astype("f4")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **options)
    return sample_file(path)


def _endless(slots: int = 0) -> Training:
    return Training(samples=SAMPLES, batch=8, ranks=1, slots=slots, epochs=0, seed=1)


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def _offset(file: SampleFile, sample: int) -> int:
    return int(file.datasets[0].offsets(np.array([sample]))[0])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    # Threads of earlier tests may end meanwhile.
    assert threading.active_count() <= before


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _replace(path: Path) -> None:
    _write(path.with_name("new.h5"), seed=1)
    path.with_name("new.h5").replace(path)


def _write_to(path: Path) -> None:
    _flip(path, path.stat().st_size - 1)


def _remove(path: Path) -> None:
    path.unlink()


def _train(loader: Loader) -> None:
    give_up = time.monotonic() + 5
    for _ in loader:
        if time.monotonic() > give_up:
            return
        time.sleep(1e-3)


@pytest.mark.parametrize("change", [_truncate, _replace, _write_to, _remove])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
@pytest.mark.parametrize("ahead", [True, False])
def test_a_file_that_changes_while_open_ends_the_training_within_seconds(
    tmp_path: Path, change: Callable[[Path], None], options: dict[str, Any], ahead: bool
) -> None:
    file = _write(tmp_path / "a.h5", **options)
    with Loader(file, KeepFirst(_endless()), options=Options(ahead=ahead)) as loader:
        next(loader.epoch())
        change(file.path)
        with pytest.raises(AssayError, match=r"was replaced|was truncated|No such|cannot be read"):
            _train(loader)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_file_replaced_just_before_an_epochs_last_batch_is_noticed_with_it(
    tmp_path: Path, ahead: bool
) -> None:
    file = _write(tmp_path / "a.h5")
    training = replace(_endless(), epochs=1)
    with Loader(file, KeepFirst(training), options=Options(depth=2, ahead=ahead)) as loader:
        batches = loader.epoch()
        for _ in range(6):
            next(batches)
        _replace(file.path)
        with pytest.raises(AssayError, match="was replaced"):
            list(batches)


def test_a_read_beyond_the_end_of_a_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(bytes(100))
    rows = memory(128).reshape(2, 64)
    table = requests(2)
    with path.open("rb") as file:
        add(
            table,
            file.fileno(),
            path,
            np.array([64, 0]),
            rows,
            np.array([0, 1]),
            memory(0),
        )
        with pytest.raises(AssayError, match=r"short: ends before byte 128: it was truncated"):
            read(table, 0, table.count)


@pytest.mark.parametrize(("size", "message"), [(5000, "truncated"), (8192, "Invalid argument")])
def test_a_file_system_that_refuses_to_go_on_within_a_block_means_truncation_only_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, message: str
) -> None:
    path = tmp_path / "short"
    path.write_bytes(bytes(5000))

    def direct(descriptor: int, views: list[memoryview], offset: int) -> int:
        os.truncate(path, size)
        if offset % 512:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return 5000

    monkeypatch.setattr("workloads.solar.reads.os.preadv", direct)
    rows, zero = memory(8192).reshape(1, 8192), np.array([0])
    table = requests(1)
    with path.open("rb") as file:
        add(table, file.fileno(), path, zero, rows, zero, memory(0))
        with pytest.raises(AssayError, match=message):
            read(table, 0, 1)


def test_a_read_that_fails_names_the_file_and_the_reason(tmp_path: Path) -> None:
    table = requests(1)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        rows = memory(8).reshape(1, 8)
        add(table, descriptor, tmp_path, np.array([0]), rows, np.array([0]), memory(0))
        with pytest.raises(AssayError, match="cannot be read: Is a directory"):
            read(table, 0, 1)
    finally:
        os.close(descriptor)


def test_a_read_that_comes_back_in_parts_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(bytes(range(10)))
    whole = bytes(range(64))

    def slow(descriptor: int, views: list[memoryview], offset: int) -> int:
        path.write_bytes(whole)
        part = os.pread(descriptor, 7, offset)
        filled = 0
        for view in views:
            piece = part[filled : filled + len(view)]
            view[: len(piece)] = piece
            filled += len(piece)
        return filled

    monkeypatch.setattr("workloads.solar.reads.os.preadv", slow)
    rows, scratch = memory(20).reshape(2, 10), memory(44)
    table = requests(2)
    with path.open("rb") as file:
        add(table, file.fileno(), path, np.array([54, 0]), rows, np.array([0, 1]), scratch)
        assert table.count == 1
        read(table, 0, 1)
    assert rows.tobytes() == whole[54:] + whole[:10]


def test_rows_outside_their_memory_are_never_addressed(tmp_path: Path) -> None:
    rows, other = memory(16).reshape(2, 8), memory(16).reshape(2, 8)
    one = np.array([1])
    for places in (np.array([2]), np.array([-1])):
        with pytest.raises(IndexError):
            add(requests(1), 0, tmp_path, one, rows, places, memory(0))
        with pytest.raises(IndexError):
            copy(rows, places, other, one)
        with pytest.raises(IndexError):
            copy(rows, one, other, places)
    with pytest.raises(IndexError):
        copy(rows, one, memory(18).reshape(2, 9), one)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_flipped_bit_is_caught_by_the_digests_and_named(tmp_path: Path, resumed: bool) -> None:
    file = _write(tmp_path / "a.h5")
    digest.save(tmp_path / "a.npy", digest.digests(file))
    _flip(file.path, _offset(file, 17) + 100)
    flipped = sample_file(file.path)
    options = Options(digests=digest.load(tmp_path / "a.npy", flipped))
    with Loader(flipped, KeepFirst(_endless(SAMPLES)), options=options) as loader:
        if resumed:
            loader.load_state_dict({**loader.state_dict(), "epoch": 1})
        with pytest.raises(AssayError, match=r"sample 17 of 'x' differs from its digest"):
            list(loader)


def test_whole_samples_pass_their_digests(tmp_path: Path) -> None:
    for file in (_write(tmp_path / "a.h5"), _write(tmp_path / "b.h5", compression="gzip")):
        checked = Options(digests=digest.digests(file))
        training = replace(_endless(10), epochs=2)
        with Loader(file, KeepFirst(training), options=checked) as loader:
            assert sum(len(batch.samples) for batch in loader) == 2 * SAMPLES


def test_a_flipped_bit_is_caught_by_the_files_own_checksum(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5", chunks=(4, 512), fletcher32=True)
    with h5py.File(file.path) as opened:
        at = opened["x"].id.get_chunk_info(4).byte_offset
    _flip(file.path, at + 100)
    flipped = sample_file(file.path)
    with (
        Loader(flipped, KeepFirst(_endless())) as loader,
        pytest.raises(
            AssayError, match=r"samples 1\d( to 1\d)? of 'x' cannot be read: .*is damaged"
        ),
    ):
        list(loader)


def test_digests_of_another_file_are_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5")
    (tmp_path / "text").write_text("none")
    with pytest.raises(AssayError, match="no digests"):
        digest.load(tmp_path / "text", file)
    with pytest.raises(AssayError, match="make them anew"):
        Loader(
            file,
            KeepFirst(_endless()),
            options=Options(digests=np.zeros((3, 1), dtype=np.uint32)),
        )


class Wrong(KeepFirst):
    """Puts one value of each plan out of range."""

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        for plan in super().epochs(start):
            source = plan.source.copy()
            source[3] = self.training.slots
            yield replace(plan, source=source)


class Failing(KeepFirst):
    """Plans one epoch and breaks in the next."""

    def epochs(self, start: int = 0) -> Iterator[EpochPlan]:
        yield next(super().epochs(start))
        raise ZeroDivisionError


def test_a_plan_that_names_a_slot_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5")
    with (
        Loader(file, Wrong(_endless(4))) as loader,
        pytest.raises(AssayError, match="does not fit 64 samples and 4 slots"),
    ):
        list(loader)


def test_what_a_planner_raises_reaches_the_training(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5")
    with Loader(file, Failing(_endless())) as loader, pytest.raises(ZeroDivisionError):
        list(loader)


def test_a_loader_closed_by_another_thread_ends_the_training(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5")
    options = Options(delay=lambda requests: 3600.0)
    with Loader(file, KeepFirst(_endless()), options=options) as loader:
        closing = threading.Timer(0.1, loader.close)
        closing.start()
        with pytest.raises(AssayError, match="closed"):
            next(loader.epoch())
        closing.join()


def _take(loader: Loader, told: Any) -> None:
    try:
        next(loader.epoch())
    except AssayError as error:
        told.send(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_loader_that_has_begun_says_so_after_a_fork(tmp_path: Path) -> None:
    file = _write(tmp_path / "a.h5")
    with Loader(file, KeepFirst(_endless())) as loader:
        next(loader.epoch())
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        child = context.Process(target=_take, args=(loader, theirs))
        child.start()
        assert ours.poll(10)
        assert "does not outlive a fork" in ours.recv()
        child.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_memory_is_not_shared_with_a_forked_process_which_finds_zeros_in_its_place() -> None:
    rows = memory(2**20)
    rows.fill(7)
    # Not by multiprocessing: the child is to run nothing else.
    child = os.fork()
    if child == 0:
        found = bool((rows == 0).all())
        rows.fill(9)
        os._exit(0 if found else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (rows == 7).all()


def test_raw_reads_say_their_rate_and_refuse_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(2**20))
    for sequential in (True, False):
        for direct in (True, False):
            assert raw_rate(path, 4096, 2**19, direct=direct, sequential=sequential) > 0
    assert raw_rate(path, 1000, 2**30, direct=False, threads=200) > 0
    with pytest.raises(AssayError, match="multiple of 4096"):
        raw_rate(path, 1000, 2**19)
    with pytest.raises(AssayError, match="shorter than one read"):
        raw_rate(path, 2**21, 2**30)
    with pytest.raises(AssayError, match="cannot be opened with O_DIRECT: No such file"):
        raw_rate(tmp_path / "none", 4096, 2**19)
