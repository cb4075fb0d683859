"""The matrices of MSREP are named whole, found once fetched, and held against the index."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.data import Dataset, Origin
from harness.errors import AssayError
from workloads.msrep import datasets
from workloads.msrep.datasets import DATASETS, MATRICES, Matrix
from workloads.msrep.problem import load, matrix_file

TOY = Matrix("Group", "toy", "a toy", 3, 5, symmetric=True, pattern=False, listed_sha256="")
TEXT = "%%MatrixMarket matrix coordinate real symmetric\n3 3 3\n1 1 2\n2 1 3\n3 2 4\n"


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a matrix named "toy" in a data folder, with the record of its download."""
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path))
    monkeypatch.setattr("workloads.msrep.problem.MATRICES", {"toy": TOY})
    path = tmp_path / "toy" / "toy.mtx"
    path.parent.mkdir()
    path.write_text(TEXT)
    sha256 = hashlib.sha256(TEXT.encode()).hexdigest()
    record = Origin("https://example.org", "0" * 64, 1, sha256, len(TEXT))
    path.with_name("toy.mtx.origin.json").write_text(json.dumps(asdict(record)))
    return path


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_matrix_is_one_member_of_an_archive_of_the_collection(dataset: Dataset) -> None:
    (file,) = dataset.files
    name = dataset.name
    assert re.fullmatch(rf"https://sparse\.tamu\.edu/MM/\w+/{name}\.tar\.gz", file.url)
    assert (file.name, file.member, dataset.folder) == (f"{name}.mtx", f"{name}/{name}.mtx", name)
    assert re.fullmatch("[0-9a-f]{64}", file.listed_sha256)
    assert f"{MATRICES[name].nnz:,} entries" in dataset.summary


def test_the_matrices_that_msrep_measured_are_all_there() -> None:
    assert set(MATRICES) >= {
        "HV15R", "com-Orkut", "mouse_gene", "hollywood-2009", "com-LiveJournal", "wb-edu",
    }  # fmt: skip
    assert [dataset.name for dataset in datasets.DATASETS] == list(MATRICES)


def test_a_fetched_matrix_is_found_by_its_name_and_read_whole(fetched: Path) -> None:
    assert matrix_file("toy") == fetched
    assert matrix_file("toy/toy.mtx") == fetched
    problem = load({"matrix": "toy", "rows": 0}, seed=0)
    assert problem.matrix.toarray().tolist() == [[2, 3, 0], [3, 0, 4], [0, 4, 0]]
    assert problem.facts["file"] == "toy.mtx"


@pytest.mark.parametrize("left", ["nothing", "a folder", "another file"])
def test_a_matrix_that_is_not_fetched_is_one_line_that_says_how(fetched: Path, left: str) -> None:
    for path in fetched.parent.iterdir():
        path.unlink()
    if left == "nothing":
        fetched.parent.rmdir()
    elif left == "another file":
        fetched.with_name(".toy.mtx.part").touch()
    with pytest.raises(AssayError, match=r"^matrix toy is not on .*; `assay data fetch toy` gets"):
        matrix_file("toy")


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("3 3 3\n", "4 4 3\n"),
        TEXT.replace("3 3 3\n", "3 3 2\n"),
        TEXT.replace("3 3 3\n", "3 3 5\n"),
        TEXT.replace("symmetric", "general"),
    ],
    ids=["another shape", "fewer entries", "more entries", "general"],
)
def test_another_matrix_under_the_name_is_refused(fetched: Path, text: str) -> None:
    fetched.write_text(text)
    with pytest.raises(AssayError, match=r"Group/toy is symmetric, 3 x 3, with 5 entries in all"):
        matrix_file("toy")


def test_a_fetched_file_that_was_changed_is_refused_when_it_is_used(fetched: Path) -> None:
    fetched.write_text(TEXT.replace("3 2 4", "3 2 5"))
    with pytest.raises(AssayError, match=r"toy.mtx has changed since it was fetched: sha256 "):
        load({"matrix": "toy", "rows": 0}, seed=0)
