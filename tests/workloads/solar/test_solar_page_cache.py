"""Dropping a file from the page cache, on the real file system and with the real kernel."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from harness.errors import AssayError
from workloads.solar.page_cache import cached_share, drop, drop_surely

SIZE = 256 * mmap.PAGESIZE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.h5"
    path.write_bytes(os.urandom(SIZE))
    drop(path)
    if cached_share(path):
        pytest.skip(f"the file system of {tmp_path} keeps its pages in memory")
    return path


def test_a_dropped_file_is_not_cached_although_it_was_just_written(file: Path) -> None:
    assert cached_share(file) == 0


def test_a_file_that_was_read_is_cached(file: Path) -> None:
    file.read_bytes()
    assert cached_share(file) == 1


def test_the_share_is_that_of_the_pages_that_were_read(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(descriptor, SIZE // 4, 0)
    os.close(descriptor)
    assert cached_share(file) == pytest.approx(0.25, abs=0.1)


def test_a_file_that_its_reader_maps_is_not_dropped_and_that_is_said(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:].count(0)
        with pytest.raises(AssayError, match=r"100% of .* stays in memory"):
            drop_surely(file)
    drop_surely(file)
    assert cached_share(file) == 0


def test_a_file_that_ends_within_a_page_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"x" * (mmap.PAGESIZE + 1))
    assert cached_share(path) == 1


def test_an_empty_file_has_nothing_cached(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    drop_surely(path)
    assert cached_share(path) == 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"cannot open .*gone: No such file"):
        drop(tmp_path / "gone")
