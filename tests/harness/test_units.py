"""Quantities as people type and read them."""

from __future__ import annotations

import pytest

from harness import units
from harness.errors import AssayError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("250ms", 0.25), ("1.5 min", 90)],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1s", "0", "ten", "5 parsecs", "nan", "1e9", "inf", "9" * 400, "36501d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(AssayError, match="is not a duration such as"):
        units.parse_duration(text)


def test_bytes_have_binary_prefixes() -> None:
    assert units.parse_bytes("512M") == 512 << 20
    assert units.parse_bytes("1.5GiB") == 3 << 29
    assert units.parse_bytes("4096") == 4096


@pytest.mark.parametrize("text", ["", "0", "0.5", "8 parsecs", "9" * 400, "8589934592G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(AssayError, match="is not a size such as"):
        units.parse_bytes(text)


def test_a_wrong_value_of_any_length_is_told_in_one_short_line() -> None:
    for parse in (units.parse_duration, units.parse_bytes, units.parse_share, units.parse_cpus):
        with pytest.raises(AssayError) as caught:
            parse("9" * 5000)
        assert len(str(caught.value)) < 100


def test_shares_are_percent_or_fractions() -> None:
    assert units.parse_share("2%") == pytest.approx(0.02)
    assert units.parse_share("0.02") == pytest.approx(0.02)
    with pytest.raises(AssayError, match="over 100 %"):
        units.parse_share("2")


def test_cpu_lists_are_numbers_and_ranges() -> None:
    assert units.parse_cpus("0,2-4,3") == (0, 2, 3, 4)


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "0-", "0,,1", "0-999999999999", "9" * 5000])
def test_what_is_no_cpu_list_is_refused(text: str) -> None:
    with pytest.raises(AssayError, match="is not a list of CPUs"):
        units.parse_cpus(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234, "1.23 s"),
        (0.0123456, "12.3 ms"),
        (123.4e-9, "123 ns"),
        (0.9999e-3, "1.00 ms"),
        (0.0, "0 s"),
        (3600.0, "3600 s"),
        (1e-15, "1.00e-15 s"),
    ],
)
def test_si_values_show_three_digits(value: float, text: str) -> None:
    assert units.format_si(value, "s") == text


def test_bytes_and_durations_read_well() -> None:
    assert units.format_bytes(13_000_000) == "12.4 MiB"
    assert units.format_bytes(12) == "12 B"
    assert units.format_duration(59.6) == "1 min 00 s"
    assert units.format_duration(7500) == "2 h 05 min"
    assert units.format_duration(4.4) == "4 s"
