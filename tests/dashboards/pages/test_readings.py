"""What the detector has read is kept from publishing to publishing; damage counts as nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dashboards.pages.packing import packed
from dashboards.pages.readings import remembered
from harness.detect_scan import Alarm, Reading

KEPT = {"bench": Reading(40, "digest", (Alarm(30, 33, 4.5),))}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with remembered(tmp_path / "readings") as readings:
        readings.update(KEPT)
    return tmp_path / "readings"


def test_what_was_read_is_remembered(file: Path) -> None:
    with remembered(file) as readings:
        assert readings == KEPT


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found[:-3],
        lambda found: found.replace(b"bench", b"b\xffnch"),
        lambda found: found.replace(b"bench", b"banch"),
        lambda _: b"",
        lambda _: msgspec.msgpack.encode(KEPT),
        lambda _: packed([KEPT]),
        lambda _: packed({"bench": 1}),
        lambda _: packed({b"\xff": KEPT["bench"]}),
    ],
    ids=["cut", "no UTF-8", "one bit", "empty", "no checksum", "a list", "a number", "a bad name"],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(
    file: Path, damage: Callable[[bytes], bytes]
) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with remembered(file) as readings:
        assert readings == {}
        readings.update(KEPT)
    test_what_was_read_is_remembered(file)
