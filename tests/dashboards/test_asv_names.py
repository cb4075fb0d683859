"""Names and texts that are safe in paths and pages."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.asv_names import inert, literal, safe_name


@given(st.text(max_size=150), st.text(max_size=150))
@settings(max_examples=100, deadline=None)
def test_safe_names_are_safe_and_unlike_for_unlike_names(a: str, b: str) -> None:
    for name in (safe_name(a), safe_name(b)):
        assert name.replace(".", "").replace("-", "").replace("_", "").isalnum() or set(name) <= {
            *"._-"
        }
        assert name.isascii()
        assert 0 < len(name) <= 100
        assert name not in (".", "..")
        assert not name.startswith((".", "-"))
    assert (safe_name(a) == safe_name(b)) == (a == b)


@given(st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_literal_is_the_value_again_and_nothing_to_html(value: str | float | bool) -> None:
    text = literal(value)
    assert eval(text, {"inf": math.inf}) == value
    assert not set(text) & set("<>&")


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_inert_text_is_one_short_line_without_markup(text: str) -> None:
    line = inert(text)
    assert len(line) <= 100
    assert not set(line) & set("<>&\"'`\n\r\t")
