"""Public data sets, and where `assay data` fetches them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.data import Dataset, RemoteFile
from workloads.heat.line_blocks import unreadable

_LIGHTGCN = (
    "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/"
    "947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data"
)
"""At a commit, so that the content stays what the checksums say."""


def _lightgcn(
    name: str, summary: str, source: str, train: tuple[str, int], test: tuple[str, int]
) -> Dataset:
    """Return a data set of two files, each with its SHA-256 and size in bytes."""
    return Dataset(
        name=name,
        summary=summary,
        terms=f"{source}, as split by NGCF and LightGCN (He et al., SIGIR 2020)",
        files=tuple(
            RemoteFile(f"{part}.txt", f"{_LIGHTGCN}/{name}/{part}.txt", sha256, size_bytes)
            for part, (sha256, size_bytes) in (("train", train), ("test", test))
        ),
        folder=name,
    )


GOWALLA = _lightgcn(
    "gowalla",
    "check-ins: 29,858 users, 40,981 places, 810,128 + 217,242 interactions",
    "SNAP loc-gowalla (Cho et al., KDD 2011)",
    train=("7244696fdeb23911319cf7b689f2e15a3c4c92549c873a5677b44e3f13cc3e62", 4_633_414),
    test=("099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3", 1_372_559),
)

YELP2018 = _lightgcn(
    "yelp2018",
    "visits: 31,668 users, 38,048 businesses, 1,237,259 + 324,147 interactions",
    "Yelp challenge of 2018, for academic use",
    train=("1e9568725a9e833d0ac3bae01c94cd95367f73b3bb6104fd26b5f65ea5054093", 6_904_880),
    test=("9cd9b37926cd1447a06625ffa7914527573fb097c10cb0bbdb1d1b8ded3742fe", 1_986_152),
)

AMAZON_BOOK = _lightgcn(
    "amazon-book",
    "reviews: 52,643 users, 91,599 books, 2,380,730 + 603,378 interactions",
    "Amazon review data (He and McAuley, WWW 2016)",
    train=("529066026085919381acd4ce19f69e9eafa4af3fef1a10119ea5551cc2ef8530", 14_125_691),
    test=("6250754994dd953b91b48dccdd77a73f318e0634b4757c2abfcc9d33a54ab0f5", 3_848_611),
)

ML_1M = Dataset(
    name="ml-1m",
    summary="ratings: 6,040 users, 3,706 films, 1,000,209 interactions, split by time when read",
    terms="GroupLens MovieLens 1M (Harper and Konstan, 2015), for research, not to be passed on",
    files=(
        RemoteFile(
            name="ratings.dat",
            url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            size_bytes=5_917_549,
            member="ml-1m/ratings.dat",
            member_bytes=24_594_131,
        ),
    ),
    folder="ml-1m",
)

DATASETS = (GOWALLA, YELP2018, AMAZON_BOOK, ML_1M)

_WITH_REPEATS = (YELP2018.files[0], AMAZON_BOOK.files[0])
"""Some users' lines name an item twice, which every published result has put up with."""


def repeats_pairs(path: Path) -> bool:
    """Return whether a file is a published one that repeats pairs: they count once.

    Raises:
        AssayError: the file cannot be read.
    """
    try:
        size_bytes = path.stat().st_size
        return any(
            size_bytes == file.size_bytes
            and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
            for file in _WITH_REPEATS
        )
    except OSError as error:
        raise unreadable(path, error) from error
