"""Keeps how far the detector has read each series, so that a night reads its new points only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dashboards.pages.jsonfile import replace_file
from dashboards.pages.packing import Unpacker, packed
from harness.detect_scan import Reading

_Readings = dict[str, Reading]


@contextmanager
def remembered(file: Path | None) -> Iterator[_Readings]:
    """Yield what is kept, to be brought up to date, and keep that when the block ends well.

    Args:
        file: where it is kept; None for nowhere. A damaged file counts as none.

    Raises:
        OSError: the file cannot be written.
    """
    readings = {} if file is None else _kept(file)
    yield readings
    if file is not None:
        replace_file(file, packed(readings))


def _kept(file: Path) -> _Readings:
    try:
        return Unpacker(_Readings)(file.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}
