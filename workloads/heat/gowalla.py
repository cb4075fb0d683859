"""The Gowalla check-ins in LightGCN's split, and where they can be fetched."""

from __future__ import annotations

from harness.data import Dataset, RemoteFile

_HOME = (
    "https://raw.githubusercontent.com/geon0325/LightGCNpp/"
    "a394f79a7aceb8f485f6bcb549b4865fe83f1d49/data/gowalla"
)
"""At a commit, so that the content stays what the checksums say."""

GOWALLA = Dataset(
    name="gowalla",
    summary="check-ins: 29,858 users, 40,981 places, 810,128 + 217,242 interactions",
    terms=(
        "SNAP loc-gowalla (Cho et al., KDD 2011), as split by LightGCN (He et al., SIGIR 2020); "
        "LightGCN++ stores a tenth of its training part as valid.txt"
    ),
    files=(
        RemoteFile(
            name="train.txt",
            url=f"{_HOME}/train.txt",
            sha256="d47e01d060624f389956c0b2f89a1ed8c453ea158631cd2b5320c241f3e1a073",
            size_bytes=4_132_444,
        ),
        RemoteFile(
            name="valid.txt",
            url=f"{_HOME}/valid.txt",
            sha256="ddc22c1cd9a7d14fd5cd0c98b1473b614f4323038fef74ae0d28cc9c92a08ba2",
            size_bytes=669_008,
        ),
        RemoteFile(
            name="test.txt",
            url=f"{_HOME}/test.txt",
            sha256="099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
            size_bytes=1_372_559,
        ),
    ),
    folder="gowalla",
)
