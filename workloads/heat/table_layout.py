"""Tells from its first lines where the columns of a table of interactions are."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from harness.errors import AssayError
from harness.printable import printable
from workloads.heat.line_blocks import line_blocks

MAX_LINE_BYTES = 1 << 20
"""A line holds one interaction and what else is known of it, such as a review."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

SEPARATOR = b"\x1f"
"""Stands for a delimiter of two characters, and for any beside quoted fields."""

_DELIMITERS = (b"::", b"\t", b";", b",")
"""The first of these that cuts the first lines alike; MovieLens 1M uses the first."""

_FIRST_LINES = 20
"""Of a file, which tell its delimiter: one in a title is rarely in as many lines."""

_USER = frozenset({"user", "userid", "uid", "reviewerid"})
_ITEM = frozenset({"item", "itemid", "iid", "movieid", "bookid", "productid", "asin", "isbn"})
_TIME = frozenset({"timestamp", "time", "unixtimestamp", "unixreviewtime"})
"""Names in a header, of small letters: a name with a digit in it, such as item1, is an id."""

_FORM = "user,item[,rating,timestamp]"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of one table are cut into fields.

    Attributes:
        delimiter: between fields.
        width: fields of every line.
        user: column of the user.
        item: column of the item.
        time: column of the timestamp, or None.
        has_header: whether the first line names the columns.
        is_inter: whether it is RecBole's format: ids are text whatever they look like, and a
            quotation mark is a character like others.
    """

    delimiter: bytes
    width: int
    user: int
    item: int
    time: int | None
    has_header: bool
    is_inter: bool


def layout_of(path: Path) -> Layout:
    """Return the layout of a file.

    Raises:
        AssayError: the file cannot be read, or its first lines are not those of a table.
    """
    lines = _first_lines(path)
    first = lines[0]
    if path.suffix == ".inter":
        return _inter_layout(first, path)
    delimiter = _delimiter(lines, path)
    header = _split(first, delimiter, path, 1)
    if len(header) < 2:
        raise AssayError(
            f"{path}: line 1 has one field; separate {_FORM} by comma, tab, semicolon or ::"
        )
    names = [_plain(name) for name in header]
    user, item, time = (_column(names, known) for known in (_USER, _ITEM, _TIME))
    if user is not None and item is not None:
        return Layout(delimiter, len(header), user, item, time, has_header=True, is_inter=False)
    if user is not None or item is not None:
        raise _nameless(first, path)
    if len(header) > 4:
        raise AssayError(
            f"{path}: line 1 has {len(header)} columns and does not say which are user and item; "
            "name them in a header line"
        )
    below = _split(lines[1], delimiter, path, 2)
    # Not the second column: codes of articles may be numbers in one line and not in another.
    if not any(map(_is_number, header)) and any(map(_is_number, [*below[:1], *below[2:]])):
        raise _nameless(first, path)
    time = 3 if len(header) == 4 else None
    return Layout(delimiter, len(header), 0, 1, time, has_header=False, is_inter=False)


def fields_of(text: str, path: Path, line: int, strict: bool = True) -> list[str]:
    """Return the fields of one line of CSV between `SEPARATOR`s, without quotation marks.

    Args:
        text: of the line.
        path: of its file, for a message.
        line: its number, for a message.
        strict: whether a quotation mark that is not closed, or within a field, is refused.

    Raises:
        AssayError: the line is not one of CSV, or a field is longer than `csv` takes.
    """
    try:
        return next(csv.reader([text], delimiter=SEPARATOR.decode(), strict=strict), [])
    except csv.Error as error:
        if str(error).startswith("field larger"):
            fault = f"a field of more than {csv.field_size_limit()} characters; shorten it"
        elif "\r" in text:
            fault = "a carriage return in it; end each line by a line feed"
        else:
            fault = (
                "a quotation mark that is not closed, or within a field; write it twice, and none "
                "around a line's end"
            )
        raise AssayError(f"{path}: line {line} has {fault}") from error


def shown(text: bytes) -> str:
    """Return the beginning of a text from a file, for a message."""
    return text[:40].decode("utf-8", "replace")


def _inter_layout(first: bytes, path: Path) -> Layout:
    header = first.decode("utf-8", "replace").split("\t")
    for needed in ("user_id:token", "item_id:token"):
        if needed not in header:
            raise AssayError(
                f"{path}: line 1 names no column {needed}; the first line of an .inter file is its "
                "columns and their types, separated by tabs"
            )
    names = [name.partition(":")[0] for name in header]
    return Layout(
        b"\t",
        len(header),
        names.index("user_id"),
        names.index("item_id"),
        names.index("timestamp") if "timestamp" in names else None,
        has_header=True,
        is_inter=True,
    )


def _first_lines(path: Path) -> list[bytes]:
    """Return the first lines without their ends; at least two, empty where there are none."""
    lines: list[bytes] = []
    for _, block in line_blocks(path, MAX_LINE_BYTES, "one interaction"):
        lines += block.removesuffix(b"\n").split(b"\n", _FIRST_LINES)[:_FIRST_LINES]
        if len(lines) >= _FIRST_LINES:
            break
    lines = [line.rstrip(b"\r") for line in [*lines[:_FIRST_LINES], b"", b""]]
    return [lines[0].removeprefix(BYTE_ORDER_MARK), *lines[1:]]


def _delimiter(lines: list[bytes], path: Path) -> bytes:
    """Return the first delimiter that cuts line 1, and most others into as many fields as it."""
    filled = [line for line in lines if line.strip()]

    def alike(delimiter: bytes) -> int:
        width = _width(lines[0], delimiter, path)
        return 0 if width < 2 else sum(_width(line, delimiter, path) == width for line in filled)

    return max((one for one in _DELIMITERS if one in lines[0]), key=alike, default=_DELIMITERS[-1])


def _width(line: bytes, delimiter: bytes, path: Path) -> int:
    """Return how many fields a line has, or 0 where it cannot be cut."""
    try:
        return len(_split(line, delimiter, path, 0))
    except AssayError:
        return 0


def _split(line: bytes, delimiter: bytes, path: Path, number: int) -> list[str]:
    """Return the fields without outer blanks."""
    text = line.decode("utf-8", "replace").replace(delimiter.decode(), SEPARATOR.decode())
    return [field.strip() for field in fields_of(text, path, number, strict=False)]


def _nameless(first: bytes, path: Path) -> AssayError:
    return AssayError(
        f"{path}: line 1, {printable(shown(first))!r}, looks like a header that names no user or "
        f"no item; write {_FORM}, or remove it"
    )


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return "".join(letter for letter in name.partition(":")[0].lower() if letter.isalnum())


def _column(names: list[str], known: frozenset[str]) -> int | None:
    return next((column for column, name in enumerate(names) if name in known), None)
