"""Checks the bytes of a Matrix Market body against its grammar, about as fast as they are read.

A table-driven automaton: a state for each place in a line, a next state for each byte. Numbers
are not converted, so nothing is said of their range.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import int64, njit, uint8, uint64
from numpy.typing import NDArray

(START, ROW, ROW_GAP, COLUMN, COLUMN_GAP, SIGN, WHOLE, POINT, FRACTION, EXPONENT, EXPONENT_SIGN,
 POWER, TAIL, RETURN, BLANK_RETURN, PLUS, AFTER_ENTRY, AFTER_BLANK, BAD) = range(19)  # fmt: skip
"""States; the scan does something besides moving on only from `PLUS` up."""

_DIGITS = b"0123456789"
_BLANKS = b" \t"


@dataclass(frozen=True, slots=True)
class BadLine:
    """Where the grammar is broken: the line of the body, from 1, and what stands there."""

    line: int
    reason: str


class Scanner:
    """Follows a body block by block.

    Attributes:
        entries: how many lines so far hold an entry.
    """

    def __init__(self, field: str, max_line_bytes: int) -> None:
        self._next = _table(field)
        self._max_line_bytes = max_line_bytes
        # state, lines ended, lines that hold an entry, bytes of the open line
        self._at = np.array([AFTER_BLANK, 0, 0, 0], dtype=np.int64)

    @property
    def entries(self) -> int:
        """Return how many lines so far hold an entry."""
        return int(self._at[2])

    def scan(self, block: NDArray[np.uint8]) -> BadLine | None:
        """Check the next block, shape (bytes,); a value's leading plus sign is blanked in place.

        The sign is legal but SciPy's reader does not know it.
        """
        where = int(_scan(block, self._next, self._at, self._max_line_bytes))
        if where < 0:
            return None
        line = int(self._at[1]) + 1
        if self._at[0] != BAD:
            return BadLine(line, f"more than {self._max_line_bytes} bytes")
        return BadLine(line, _line_around(block, where))

    def finish(self) -> BadLine | None:
        """Check that the body may end here, with or without a last line end."""
        if self._at[0] >= AFTER_ENTRY:
            return None
        bad = self.scan(np.array([ord("\n")], dtype=np.uint8))
        return bad and BadLine(bad.line, "the file ends")


def _line_around(block: NDArray[np.uint8], where: int) -> str:
    """Return what a message shows of the line that holds byte `where`."""
    text = block[max(0, where - 40) : where + 20].tobytes()
    split = min(where, 40)
    line = text[:split].rpartition(b"\n")[2] + text[split:].partition(b"\n")[0]
    return repr(line.decode("latin-1")) if line else "a broken entry"


def _table(field: str) -> NDArray[np.uint8]:
    """Return the next state at `state << 8 | byte`, of "real", "integer" or "pattern"."""
    table = np.full((BAD + 1, 256), BAD, dtype=np.uint8)

    def on(states: Iterable[int], characters: bytes, target: int) -> None:
        for state in states:
            table[state, list(characters)] = target

    on([START, AFTER_ENTRY, AFTER_BLANK], _BLANKS, START)
    on([START, AFTER_ENTRY, AFTER_BLANK], b"\r", BLANK_RETURN)
    on([START, AFTER_ENTRY, AFTER_BLANK, BLANK_RETURN], b"\n", AFTER_BLANK)
    on([START, AFTER_ENTRY, AFTER_BLANK, ROW], _DIGITS, ROW)
    on([ROW, ROW_GAP], _BLANKS, ROW_GAP)
    on([ROW_GAP, COLUMN], _DIGITS, COLUMN)
    ends = {TAIL, COLUMN}
    if field != "pattern":
        ends = {TAIL, WHOLE}
        on([COLUMN, COLUMN_GAP], _BLANKS, COLUMN_GAP)
        on([COLUMN_GAP], b"-", SIGN)
        on([COLUMN_GAP], b"+", PLUS)
        on([COLUMN_GAP, SIGN, PLUS, WHOLE], _DIGITS, WHOLE)
    if field == "real":
        ends |= {FRACTION, POWER}
        on([COLUMN_GAP, SIGN, PLUS], b".", POINT)
        on([WHOLE], b".", FRACTION)
        on([POINT, FRACTION], _DIGITS, FRACTION)
        on([WHOLE, FRACTION], b"eE", EXPONENT)
        on([EXPONENT], b"+-", EXPONENT_SIGN)
        on([EXPONENT, EXPONENT_SIGN, POWER], _DIGITS, POWER)
    on(ends, _BLANKS, TAIL)
    on(ends, b"\r", RETURN)
    on(ends | {RETURN}, b"\n", AFTER_ENTRY)
    return table.ravel()


# Every index is unsigned: a signed one costs a test for negative values at each byte.
@njit(int64(uint8[::1], uint8[::1], int64[::1], int64), cache=True)
def _scan(block, next_state, at, max_line_bytes):  # type: ignore[no-untyped-def]
    """Return the first byte that breaks the grammar or the line's limit, or -1; updates `at`."""
    state, lines, entries, line_start = uint64(at[0]), at[1], at[2], -at[3]
    bad = int64(-1)
    for i in range(uint64(block.size)):
        state = uint64(next_state[(state << uint64(8)) | uint64(block[i])])
        if state >= uint64(PLUS):
            if state == uint64(PLUS):
                block[i] = 32
                continue
            if state == uint64(BAD) or int64(i) - line_start > max_line_bytes:
                bad = int64(i)
                break
            entries += state == uint64(AFTER_ENTRY)
            lines += 1
            line_start = int64(i) + 1
    if bad < 0 and block.size - line_start > max_line_bytes:
        bad = int64(block.size)
    at[0], at[1], at[2], at[3] = int64(state), lines, entries, block.size - line_start
    return bad
