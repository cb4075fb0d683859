"""Checks and converts lines of a Matrix Market body in one compiled pass that trusts no byte.

A line holds an entry, `row column` or `row column value`, or nothing. Between and around its
words stand blanks and tabs; it ends in LF or CR LF.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, int32, int64, uint8, uint64
from numpy.typing import NDArray

from workloads.kernels.compiled import compiled
from workloads.msrep.matrix_market_numbers import INFINITY, SIGNIFICAND_DIGITS, nearest_bits

PATTERN, INTEGER, REAL = range(3)
"""What values a file holds."""

GENERAL, SYMMETRIC, SKEW_SYMMETRIC = range(3)
"""What a file says of its transpose."""

(DONE, PAUSED, MALFORMED, TOO_LONG, BAD_ROW, BAD_COLUMN, ABOVE_DIAGONAL, ON_DIAGONAL,
 BEYOND_RANGE) = range(9)  # fmt: skip
"""How a scan ended; from `MALFORMED` on, at a line that must be refused."""

(AT, LINES, ENTRIES, DOUBTS) = range(4)
"""A scan's state: the next byte (of a refusal, where it is), lines and entries so far, doubts."""

MAX_DOUBTS = 256
"""Values that a scan may leave open before it pauses."""

_MAX_INDEX_DIGITS = uint64(18)
_MAX_POWER = 1 << 20
"""Powers of ten beyond are as good as this one: a line has far fewer digits to offset it."""

_ZERO, _ONE, _TEN = uint64(0), uint64(1), uint64(10)
_TAB, _LF, _CR, _BLANK = uint64(9), uint64(10), uint64(13), uint64(32)
_PLUS, _MINUS, _POINT, _DIGIT_0 = uint64(43), uint64(45), uint64(46), uint64(48)
_SIXES, _ZEROS_IN_ASCII = uint64(0x0606060606060606), uint64(0x3030303030303030)
_UPPER_NIBBLES = uint64(0xF0F0F0F0F0F0F0F0)
_UPPER_E, _CASE = uint64(69), uint64(0xDF)


def new_scan() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the state of a scan that has not begun, and its list of doubts."""
    return np.zeros(4, dtype=np.uint64), np.empty((MAX_DOUBTS, 3), dtype=np.uint64)


@compiled(int64(uint8[::1]), nogil=True)
def count_lines(text):  # type: ignore[no-untyped-def]
    """Return how many line feeds the text has."""
    lines = 0
    for byte in text:
        lines += byte == 10
    return lines


@compiled(boolean(uint64))
def _is_blank(byte):  # type: ignore[no-untyped-def]
    return byte in (_BLANK, _TAB)


@compiled(uint64(uint8[::1], uint64))
def _after_digits(text, at):  # type: ignore[no-untyped-def]
    while uint64(text[at]) - _DIGIT_0 < _TEN:
        at += _ONE
    return at


@compiled()
def _whole_number(text: Any, at: Any, number: Any) -> Any:
    """Append decimal digits to a number, modulo 2^64; return it and the byte behind them."""
    digit = uint64(text[at]) - _DIGIT_0
    while digit < _TEN:
        number = number * _TEN + digit
        at += _ONE
        digit = uint64(text[at]) - _DIGIT_0
    return number, at


@compiled()
def _long_number(text: Any, at: Any, number: Any) -> Any:
    """As `_whole_number`, eight digits at a time where there are as many."""
    while at + uint64(8) <= uint64(text.size):
        # LLVM makes one load of it; the first digit is in the lowest byte.
        word = _ZERO
        for k in range(8):
            word |= uint64(text[at + uint64(k)]) << uint64(8 * k)
        # Digits are 0x30 to 0x39: bytes that begin with a 3, even when 6 is added.
        begin, moved = word & _UPPER_NIBBLES, (word + _SIXES) & _UPPER_NIBBLES
        if begin != _ZEROS_IN_ASCII or moved != _ZEROS_IN_ASCII:
            break
        word -= _ZEROS_IN_ASCII
        word = (word * _TEN + (word >> uint64(8))) & uint64(0x00FF00FF00FF00FF)
        word = (word * uint64(100) + (word >> uint64(16))) & uint64(0x0000FFFF0000FFFF)
        word = (word * uint64(10_000) + (word >> uint64(32))) & uint64(0xFFFFFFFF)
        number = number * uint64(100_000_000) + word
        at += uint64(8)
    return _whole_number(text, at, number)


@compiled()
def _leading_digits(text: Any, at: Any, end: Any, power: Any) -> Any:
    """Return a long number's first 19 digits that count, their power, and if any other is not 0.

    Args:
        text: digits with at most one point among them in `at` to `end`.
        at: byte of the first.
        end: byte behind the last.
        power: of ten, of the last digit.
    """
    significand, count, cut = _ZERO, 0, False
    for i in range(at, end):
        digit = uint64(text[i]) - _DIGIT_0
        if digit >= _TEN:
            continue
        if count == SIGNIFICAND_DIGITS:
            cut |= digit != _ZERO
            power += 1
        elif count or digit:
            significand = significand * _TEN + digit
            count += 1
    return significand, power, cut


@compiled()
def _real_number(text: Any, at: Any) -> Any:
    """Read a number without its sign.

    Returns:
        The bits of its float64, the byte behind it or `at` where there is no number, and whether
        the bits are in doubt because digits beyond the 19th decide.
    """
    start = at
    significand, at = _whole_number(text, at, _ZERO)
    digits = at - start
    power = int64(0)
    if uint64(text[at]) == _POINT:
        fraction = at + _ONE
        significand, at = _long_number(text, fraction, significand)
        power = -int64(at - fraction)
        digits += at - fraction
    if digits == _ZERO:
        return _ZERO, start, False
    end = at
    if uint64(text[at]) & _CASE == _UPPER_E:
        at += _ONE
        sign = uint64(text[at])
        if sign in (_PLUS, _MINUS):
            at += _ONE
        first = at
        shift = int64(0)
        while uint64(text[at]) - _DIGIT_0 < _TEN:
            if shift < _MAX_POWER:
                shift = shift * 10 + int64(text[at]) - 48
            at += _ONE
        if at == first:
            return _ZERO, start, False
        power += -shift if sign == _MINUS else shift
    if digits <= uint64(SIGNIFICAND_DIGITS):
        return nearest_bits(significand, power), at, False
    significand, power, cut = _leading_digits(text, start, end, power)
    bits = nearest_bits(significand, power)
    return bits, at, cut and bits != nearest_bits(significand + _ONE, power)


# Every index is unsigned: a signed one costs a test for negative values at each byte.
@compiled(
    int64(
        uint8[::1], int64, int64, int64, int64, uint64,
        uint64[::1], uint64[:, ::1], int32[::1], int32[::1], uint64[::1],
    ),
    nogil=True,
)  # fmt: skip
def scan(text, field, symmetry, rows, columns, max_line, state, doubts, row, column, value):  # type: ignore[no-untyped-def]
    """Check and convert lines; return `DONE`, `PAUSED` or why the line at hand must be refused.

    Args:
        text: whole lines; the last byte is a line feed.
        field: one of `PATTERN`, `INTEGER`, `REAL`.
        symmetry: one of `GENERAL`, `SYMMETRIC`, `SKEW_SYMMETRIC`; of the latter two, only entries
            of the lower triangle pass.
        rows: number of rows of the matrix.
        columns: number of columns.
        max_line: bytes of the longest line that passes, without its end.
        state: as `new_scan` gives it; is moved on.
        doubts: takes entry, first byte and byte behind of each value that is left open.
        row: takes the entries' rows from 0, and has room for one for each line of the text.
        column: likewise.
        value: takes the bits of float64; a pattern's are those of 1.0.
    """
    at, lines, entry, doubt = state[AT], state[LINES], state[ENTRIES], state[DOUBTS]
    outcome = DONE
    while at < uint64(text.size):
        line = at
        while _is_blank(uint64(text[at])):
            at += _ONE
        if uint64(text[at]) > _CR:
            first, number = at, _ZERO
            number, at = _whole_number(text, at, number)
            if at == first or not _is_blank(uint64(text[at])):
                outcome = MALFORMED
                break
            # 0 becomes the largest of all.
            if number - _ONE >= uint64(rows) or at - first > _MAX_INDEX_DIGITS:
                outcome, at = BAD_ROW, first
                break
            i = number - _ONE
            while _is_blank(uint64(text[at])):
                at += _ONE
            first = at
            number, at = _whole_number(text, at, _ZERO)
            if at == first:
                outcome = MALFORMED
                break
            if number - _ONE >= uint64(columns) or at - first > _MAX_INDEX_DIGITS:
                outcome, at = BAD_COLUMN, first
                break
            j = number - _ONE
            if symmetry != GENERAL and j >= i:
                if j > i:
                    outcome, at = ABOVE_DIAGONAL, first
                    break
                if symmetry == SKEW_SYMMETRIC:
                    outcome, at = ON_DIAGONAL, first
                    break
            bits = uint64(0x3FF << 52)
            if field != PATTERN:
                if not _is_blank(uint64(text[at])):
                    outcome = MALFORMED
                    break
                while _is_blank(uint64(text[at])):
                    at += _ONE
                word, sign = at, uint64(text[at])
                if sign in (_PLUS, _MINUS):
                    at += _ONE
                first = at
                bits, at, in_doubt = _real_number(text, at)
                if at == first or (field == INTEGER and at != _after_digits(text, first)):
                    at = _after_digits(text, first)
                    outcome = MALFORMED
                    break
                if bits == INFINITY:
                    outcome = BEYOND_RANGE
                    break
                if in_doubt:
                    doubts[doubt, 0], doubts[doubt, 1], doubts[doubt, 2] = entry, word, at
                    doubt += _ONE
                if sign == _MINUS:
                    bits |= uint64(1 << 63)
            row[entry] = i
            column[entry] = j
            value[entry] = bits
            entry += _ONE
            while _is_blank(uint64(text[at])):
                at += _ONE
        if uint64(text[at]) == _CR:
            at += _ONE
        if uint64(text[at]) != _LF:
            outcome = MALFORMED
            break
        if at - line > max_line:
            outcome = TOO_LONG
            break
        at += _ONE
        lines += _ONE
        if doubt == uint64(MAX_DOUBTS):
            outcome = PAUSED
            break
    state[AT], state[LINES], state[ENTRIES], state[DOUBTS] = at, lines, entry, doubt
    return outcome
