"""The public data sets are named whole, and what is special in them is allowed to them alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness import data
from harness.data import RemoteFile
from harness.errors import AssayError
from workloads.heat import datasets, interactions
from workloads.heat.datasets import DATASETS


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_file_has_a_home_that_does_not_change_and_a_checksum(dataset: data.Dataset) -> None:
    assert dataset.folder == dataset.name
    for file in dataset.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url.startswith("https://")
        assert file.stored_bytes > 1_000_000


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_what_is_fetched_is_found_as_a_data_set(dataset: data.Dataset, tmp_path: Path) -> None:
    for file in dataset.files:
        with (tmp_path / file.name).open("wb") as sparse:
            sparse.truncate(file.stored_bytes)
    assert {path.name for path in interactions.files(tmp_path)} == {
        file.name for file in dataset.files
    }


def test_repeated_pairs_count_once_in_the_published_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.txt").write_text("0 1 2 1\n1 0 0\n")
    (tmp_path / "test.txt").write_text("0 0\n")
    with pytest.raises(AssayError, match="occur together more than once"):
        interactions.read(tmp_path)
    published = RemoteFile(
        "train.txt", "", "3405e38dc03eba34f4f2af1e20a1c3c5b0a5bd9aee6c9cb2d4a1c37a6ecbd7d8", 14
    )
    monkeypatch.setattr(datasets, "_WITH_REPEATS", (published,))
    with pytest.raises(AssayError, match="occur together more than once"):
        interactions.read(tmp_path)
    published = replace(published, sha256=sha256(tmp_path / "train.txt"))
    monkeypatch.setattr(datasets, "_WITH_REPEATS", (published,))
    found = interactions.read(tmp_path)
    assert (found.train_ptr.tolist(), found.train_items.tolist()) == ([0, 2, 3], [1, 2, 0])


def test_a_file_that_went_away_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"cannot read .*train.txt: No such file"):
        datasets.repeats_pairs(tmp_path / "train.txt")


def test_movielens_is_read_as_it_is_published(tmp_path: Path) -> None:
    lines = [f"{u}::{i}::5::{978300760 + i * (u % 3)}" for u in range(1, 9) for i in range(1, 12)]
    (tmp_path / "ratings.dat").write_text("\n".join(lines))
    found = interactions.read(tmp_path)
    assert (found.users, found.items) == (8, 11)
    assert found.test_items.size == 16


def test_gowalla_on_this_machine_is_what_would_be_fetched(data_folder: Path) -> None:
    assert data.present(datasets.GOWALLA, {"ASSAY_DATA": str(data_folder)}) is not None


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
