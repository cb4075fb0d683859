"""Copies the pages themselves: documents, scripts and styles that hold no data."""

from __future__ import annotations

import shutil
from pathlib import Path

_STATIC = Path(__file__).parent.parent / "static"


def copy_static(html: Path) -> None:
    """Copy everything below `dashboards/static` to `html`, over what is there."""
    shutil.copytree(_STATIC, html, dirs_exist_ok=True)
