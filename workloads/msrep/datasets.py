"""The public matrices that MSREP was measured on, and where `assay data` fetches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.data import Dataset, RemoteFile
from harness.errors import AssayError

if TYPE_CHECKING:
    from workloads.msrep.matrix_market import Header

_COLLECTION = "https://sparse.tamu.edu/MM"
_TERMS = "SuiteSparse Matrix Collection (Davis and Hu, ACM TOMS 38, 2011), CC-BY 4.0"


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the collection's index says of a matrix.

    Attributes:
        group: of the collection.
        name: within the group.
        about: what it is, in a few words.
        size: rows, and as many columns.
        nnz: entries of both triangles; none of these matrices stores zeros.
        symmetric: whether the file holds the lower triangle alone.
        pattern: whether the file holds no values.
        listed_sha256: of the download, as the package SuiteSparseMatrixCollection.jl listed it in
            2021. The collection itself publishes no checksums.
    """

    group: str
    name: str
    about: str
    size: int
    nnz: int
    symmetric: bool
    pattern: bool
    listed_sha256: str

    def dataset(self) -> Dataset:
        """Return it as `assay data` knows it; `matrix=NAME` then means its file."""
        kind = f"{'symmetric' if self.symmetric else 'general'} {'pattern' if self.pattern else ''}"
        return Dataset(
            name=self.name,
            summary=f"{self.about}: {self.size:,} rows, {self.nnz:,} entries, {kind.strip()}",
            terms=f"{_TERMS}; {self.group}/{self.name}",
            files=(
                RemoteFile(
                    name=f"{self.name}.mtx",
                    url=f"{_COLLECTION}/{self.group}/{self.name}.tar.gz",
                    sha256="",
                    size_bytes=0,
                    member=f"{self.name}/{self.name}.mtx",
                    listed_sha256=self.listed_sha256,
                ),
            ),
            folder=self.name,
        )

    def refuse_other(self, path: Path, header: Header) -> None:
        """Hold a file of this name against the index.

        Raises:
            AssayError: it is another matrix.
        """
        # Of a symmetric matrix the diagonal is stored once as it is, all else for two.
        least = (self.nnz + 1) // 2 if self.symmetric else self.nnz
        most = (self.nnz + self.size) // 2 if self.symmetric else self.nnz
        expected = (self.size, self.size, "symmetric" if self.symmetric else "general")
        if (header.rows, header.columns, header.symmetry) != expected or not (
            least <= header.entries <= most
        ):
            raise AssayError(
                f"{path}: is {header.symmetry}, {header.rows} x {header.columns}, with "
                f"{header.entries} stored entries; {self.group}/{self.name} is {expected[2]}, "
                f"{self.size} x {self.size}, with {self.nnz} entries in all; delete it and fetch "
                "it again"
            )


_MATRICES = (
    Matrix(
        "Fluorem", "HV15R", "3D engine fan", 2_017_169, 283_073_458, False, False,
        "e653930ed7b5dbba89fe6d094896a72edf126fcdde6c6d4658b85491190d9b2e",
    ),
    Matrix(
        "SNAP", "com-Orkut", "Orkut social network", 3_072_441, 234_370_166, True, True,
        "8b52b87048044eff76b5385b2ea2681674117ffd770695b19518e248629cc725",
    ),
    Matrix(
        "Belcastro", "mouse_gene", "mouse gene network", 45_101, 28_967_291, True, False,
        "54bb285d7f91b317d33527bdc12e8855ac71b0dee05f7a36b6b9e8f0deaa3084",
    ),
    Matrix(
        "LAW", "hollywood-2009", "film actors who met", 1_139_905, 113_891_327, True, True,
        "5b6e9cebbb17c702b596f68da23d50cbbbb0f9b6c977abffb018c91200944460",
    ),
    Matrix(
        "SNAP", "com-LiveJournal", "LiveJournal social network", 3_997_962, 69_362_378, True, True,
        "0c4ba24bd3c77461e8a7961cecca02e38f90a8be022d0f4ddc6629c3732b676b",
    ),
    Matrix(
        "Gleich", "wb-edu", "links among .edu pages", 9_845_725, 57_156_537, False, True,
        "31e29bd18b2bc68deabfe7a71f57d0e8e7725f3416faecc239463559c3386a05",
    ),
    Matrix(
        "SNAP", "cit-Patents", "citations among US patents", 3_774_768, 16_518_948, False, True,
        "804006bf8eddd50e43c98690652e7673ab743f21fedfe05680a55b3c54f51d25",
    ),
    Matrix(
        "DIMACS10", "europe_osm", "streets of Europe", 50_912_018, 108_109_320, True, True,
        "22cfb3e6bf0c89193414c4310dbcf51266632c943c420728386d8ebaee1282af",
    ),
    Matrix(
        "LAW", "uk-2005", "links among .uk pages", 39_459_925, 936_364_282, False, True,
        "92fdfb429bc0e0192780e2099e33a660c567ab55376aaa229ee28aa4d8b54c9b",
    ),
)  # fmt: skip
"""The first six have raw data for every run in the repository of MSREP's authors
(github.com/JieyangChen7/HPDA_SBLAS_PNNL, folder plot/data), the other three for some. Sizes are
those of the collection's index (github.com/ScottKolo/suitesparse-matrix-collection-website)."""

MATRICES: Mapping[str, Matrix] = MappingProxyType({matrix.name: matrix for matrix in _MATRICES})

DATASETS = tuple(matrix.dataset() for matrix in _MATRICES)
