"""Whatever text a result or a plug-in holds, the terminal obeys none of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pcsr (µs, 2 x 3)", "pcsr (µs, 2 x 3)"),
        ("\x1b]0;title\x07red\x1b[31m", "?]0;title?red?[31m"),
        ("\x9b2J", "?2J"),
        ("two\nlines\tand a tab\r", "two lines and a tab "),
        ("\u202egnp.exe", "?gnp.exe"),
        ("caf\udce9", "caf?"),
    ],
)
def test_what_steers_a_terminal_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_becomes_one_printable_line_of_its_length(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    shown.encode()
