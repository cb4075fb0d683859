"""What is packed comes back as it was, and damage of any kind is seen."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.pages.packing import Unpacker, packed
from harness.columns import Coded, Floats, Ragged, coded, ragged


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    size: int


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    words: Coded[Word]
    numbers: Floats
    rows: Ragged


@dataclass(frozen=True, slots=True)
class Other:
    name: int


def page(texts: list[str], numbers: list[float]) -> Page:
    words = coded(Word(text, len(text)) for text in texts)
    return Page("p", words, np.array(numbers, np.float64), ragged([numbers, [], numbers]))


@given(texts=st.lists(st.text(max_size=5), max_size=8), numbers=st.lists(st.floats(), max_size=8))
def test_a_record_is_read_as_it_was(texts: list[str], numbers: list[float]) -> None:
    written = page(texts, numbers)
    read = Unpacker(Page)(packed(written))
    assert read.words.rows() == written.words.rows()
    assert read.numbers.tobytes() == written.numbers.tobytes()
    for row in range(3):
        assert read.rows[row].tobytes() == written.rows[row].tobytes()


def test_records_share_the_values_of_columns_that_have_the_same() -> None:
    unpack = Unpacker(Page)
    first, other, same = (unpack(packed(page(texts, []))) for texts in (["a"], ["b"], ["a", "a"]))
    assert first.words.values is same.words.values
    assert first.words.values is not other.words.values


@given(data=st.data())
def test_no_damage_goes_unseen(data: st.DataObject) -> None:
    content = bytearray(packed(page(["a", "bc"], [1.0, 2.0])))
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    with pytest.raises(msgspec.MsgspecError):
        Unpacker(Page)(bytes(content))


def test_a_record_of_another_class_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Unpacker(Other)(packed(page([], [])))


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    content = msgspec.msgpack.encode({"name": "ab"}).replace(b"ab", b"\xff\xfe")
    checked = crc32(content).to_bytes(4, "little") + content
    with pytest.raises(msgspec.MsgspecError):
        Unpacker(Page)(checked)


def test_what_is_no_column_cannot_be_packed() -> None:
    with pytest.raises(TypeError, match="range is no column"):
        packed(range(3))
