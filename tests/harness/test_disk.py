from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.disk import disk_ceiling

SMALL = 16 << 20


def test_a_folder_is_read_and_left_as_it_was(tmp_path: Path) -> None:
    found = disk_ceiling(tmp_path, SMALL)
    assert found is not None
    assert (found.quantity, found.level, found.unit) == ("disk_rate", "disk", "B/s")
    assert found.size_bytes == SMALL
    # From a worn memory card to memory itself.
    assert all(1e5 < value < 1e12 for value in found.values)
    assert found.method in ("O_DIRECT read", "read after POSIX_FADV_DONTNEED")
    assert list(tmp_path.iterdir()) == []


def test_without_direct_access_the_method_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both at once is refused on every file system, as O_DIRECT is on some.
    monkeypatch.setattr(os, "O_DIRECT", os.O_DIRECTORY)
    found = disk_ceiling(tmp_path, SMALL)
    assert found is not None
    assert found.method == "read after POSIX_FADV_DONTNEED"


@pytest.mark.parametrize("folder", ["/proc", "/nonexistent/folder"])
def test_where_nothing_can_be_written_there_is_no_ceiling(folder: str) -> None:
    assert disk_ceiling(Path(folder), SMALL) is None
