"""Reads tables of one interaction a line: RecBole's `.inter`, and user,item[,rating,timestamp]."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.errors import AssayError
from harness.printable import printable
from workloads.heat.line_blocks import line_blocks
from workloads.heat.table_layout import (
    BYTE_ORDER_MARK,
    MAX_LINE_BYTES,
    SEPARATOR,
    Layout,
    fields_of,
    layout_of,
    shown,
)

MAX_NAMES = 20_000_000
"""Distinct users, or items: each takes about 150 bytes while a table is read."""

_LINE = "one interaction"

_CONTROL = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
"""Never in text; tab and line feed are, and carriage returns at a line's end are gone before."""

_MAX_DIGITS = 18
"""Of an int64."""

_POWERS = 10 ** np.arange(_MAX_DIGITS, dtype=np.int64)

Lines = npt.NDArray[np.int64]
Names = defaultdict[bytes, int]
"""The number of each name, from 0 in order of first appearance."""


@dataclass(frozen=True, slots=True)
class Table:
    """The interactions of one file, in its order.

    Attributes:
        path: of the file.
        users: int32 (interactions,): numbers of `Names`.
        items: int32 (interactions,).
        times: float64 (interactions,), or None where the file has no timestamps.
        is_inter: whether its ids are text whatever they look like.
    """

    path: Path
    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.float64] | None
    is_inter: bool


def no_names() -> Names:
    """Return an empty numbering."""
    numbered: Names = defaultdict()
    numbered.default_factory = numbered.__len__
    return numbered


def read_table(path: Path, users: Names, items: Names) -> Table:
    """Read one file, numbering users and items that were not named before.

    Ratings are not read: every line is one interaction, as implicit feedback has it.

    Args:
        path: of the file.
        users: grows by the users that are new.
        items: grows by the items that are new.

    Raises:
        AssayError: the file cannot be read, or a line is not one of a table; names the line.
    """
    layout = layout_of(path)
    columns = (("user", layout.user, users), ("item", layout.item, items))
    numbers: dict[str, list[npt.NDArray[np.int32]]] = {"user": [], "item": []}
    times = []
    for cells in _cells(path, layout):
        for kind, column, names in columns:
            numbers[kind].append(_numbered(cells, column, names))
            if b"" in names:
                line = cells.lines[cells.texts(column).index(b"")]
                raise AssayError(f"{path}: line {line} has no {kind}; give one")
            if len(names) > MAX_NAMES:
                raise AssayError(f"{path} has more than {MAX_NAMES} {kind}s; use a part of it")
        if layout.time is not None:
            times.append(_times(cells, layout.time, path))
    if not numbers["user"]:
        raise AssayError(f"{path} holds no interaction; each line is {_LINE}")
    return Table(
        path,
        np.concatenate(numbers["user"]),
        np.concatenate(numbers["item"]),
        np.concatenate(times) if times else None,
        layout.is_inter,
    )


def line_of(table: Table, interaction: int) -> int:
    """Return the number of the line that holds an interaction, by reading the file again."""
    for cells in _cells(table.path, layout_of(table.path)):
        if interaction < cells.lines.size:
            return int(cells.lines[interaction])
        interaction -= cells.lines.size
    return 0


@dataclass(frozen=True, slots=True)
class _Cells:
    """A block of lines that all have the same number of fields.

    Attributes:
        text: the lines, each with its end.
        delimiter: one byte between fields.
        lines: int64 (lines,): their numbers.
        ends: int64 (lines, fields): where in `text` each field ends.
    """

    text: bytes
    delimiter: bytes
    lines: Lines
    ends: npt.NDArray[np.int64]

    def texts(self, column: int) -> list[bytes]:
        """Return a column, without blanks around its fields."""
        fields = self.text[:-1].replace(b"\n", self.delimiter).split(self.delimiter)
        found = fields[column :: self.ends.shape[1]]
        return list(map(bytes.strip, found)) if b" " in self.text else found

    def numbers(self, column: int) -> npt.NDArray[np.int64] | None:
        """Return a column, or None where not all of it are whole numbers in their usual form.

        One pass a decimal place: several times as fast as one a field.
        """
        text = np.frombuffer(self.text, np.uint8)
        ends = self.ends[:, column]
        before = self.ends[:, column - 1] if column else np.append(-1, self.ends[:-1, -1])
        digits = ends - before - 1
        if digits.min() < 1 or digits.max() > _MAX_DIGITS:
            return None
        values = np.zeros(ends.size, np.int64)
        for place in range(int(digits.max())):
            # Beyond the first digit the byte read is another field's, and counts as 0.
            digit = text[np.maximum(ends - 1 - place, 0)] - np.uint8(ord("0"))
            digit[digits <= place] = 0
            if digit.max() > 9:
                return None
            values += digit.astype(np.int64) * 10**place
        is_usual = (values >= _POWERS[digits - 1]) | (digits == 1)
        return values if is_usual.all() else None


def _numbered(cells: _Cells, column: int, names: Names) -> npt.NDArray[np.int32]:
    """Return int32 (lines,): the number of each name of a column."""
    values = cells.numbers(column)
    if values is None:
        return np.fromiter(map(names.__getitem__, cells.texts(column)), np.int32, cells.lines.size)
    import pandas as pd

    which, distinct = pd.factorize(values)
    found = map(names.__getitem__, map(b"%d".__mod__, distinct.tolist()))
    return np.fromiter(found, np.int32, distinct.size)[which]


def _cells(path: Path, layout: Layout) -> Iterator[_Cells]:
    for first_line, block in line_blocks(path, MAX_LINE_BYTES, _LINE):
        if not block.endswith(b"\n"):
            block += b"\n"
        block = block.replace(b"\r\n", b"\n")
        if first_line == 1:
            block = block.removeprefix(BYTE_ORDER_MARK)
        _check_text(block, first_line, path)
        lines = np.arange(first_line, first_line + block.count(b"\n"))
        if first_line == 1 and layout.has_header:
            block, lines = block[block.index(b"\n") + 1 :], lines[1:]
        if not lines.size:
            continue
        delimiter = layout.delimiter
        if b'"' in block and not layout.is_inter:
            block, delimiter = _unquoted(block, delimiter, lines, path), SEPARATOR
        elif len(delimiter) > 1:
            block, delimiter = block.replace(delimiter, SEPARATOR), SEPARATOR
        cells = _cut(block, delimiter, lines, layout.width, path)
        if cells.lines.size:
            yield cells


def _check_text(block: bytes, first_line: int, path: Path) -> None:
    """Refuse what no text holds: control characters, and what is not UTF-8."""
    at = -1
    if len(block.translate(None, _CONTROL)) != len(block):
        at = min(block.index(code) for code in _CONTROL if code in block)
    elif not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError as error:
            at = error.start
    if at >= 0:
        line = first_line + block.count(b"\n", 0, at)
        raise AssayError(f"{path}: line {line} is not text in UTF-8; each line is {_LINE}")


def _unquoted(block: bytes, delimiter: bytes, lines: Lines, path: Path) -> bytes:
    """Return the block with `SEPARATOR` between its fields and none of them in quotation marks."""
    separator, within = SEPARATOR.decode(), delimiter.decode()
    texts = block[:-1].replace(delimiter, SEPARATOR).decode().split("\n")
    for at, text in enumerate(texts):
        if '"' in text:
            row = fields_of(text, path, int(lines[at]))
            # A delimiter within quotation marks was replaced like the others, and is put back.
            texts[at] = separator.join(field.replace(separator, within) for field in row)
    return "".join(f"{text}\n" for text in texts).encode()


def _cut(block: bytes, delimiter: bytes, lines: Lines, width: int, path: Path) -> _Cells:
    """Return the block without blank lines; refuse a line that has not `width` fields."""
    text = np.frombuffer(block, np.uint8)
    is_end = text == ord("\n")
    ends = np.flatnonzero(is_end | (text == delimiter[0]))
    fields = np.diff(np.flatnonzero(is_end[ends]), prepend=-1)
    odd = np.flatnonzero(fields != width)
    if not odd.size:
        return _Cells(block, delimiter, lines, ends.reshape(-1, width))
    texts = block[:-1].split(b"\n")
    for at in odd:
        if texts[at].strip():
            raise AssayError(
                f"{path}: line {lines[at]} has {fields[at]} fields, line 1 has {width}; "
                "give each line the same"
            )
    kept = np.setdiff1d(np.arange(lines.size), odd)
    return _cut(b"".join(texts[at] + b"\n" for at in kept), delimiter, lines[kept], width, path)


def _times(cells: _Cells, column: int, path: Path) -> npt.NDArray[np.float64]:
    seconds = cells.numbers(column)
    if seconds is not None:
        return seconds.astype(np.float64)
    fields = cells.texts(column)
    if not all(map(_is_finite, fields)):
        at = next(at for at, field in enumerate(fields) if not _is_finite(field))
        raise AssayError(
            f"{path}: line {cells.lines[at]}: timestamp {printable(shown(fields[at]))!r} is not a "
            "number; write seconds"
        )
    return np.fromiter(map(float, fields), np.float64, len(fields))


def _is_finite(field: bytes) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False
