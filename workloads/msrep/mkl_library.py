"""Where MKL's library is: PyPI's package `mkl` brings it, and no module to import."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

PACKAGE = "mkl"


def library_path() -> Path | None:
    """Return MKL's single dynamic library; None where the package is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [file for file in files if file.name.startswith("libmkl_rt.so")]
    return Path(str(found[0].locate())).resolve() if found else None
