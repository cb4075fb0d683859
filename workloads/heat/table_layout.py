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

_DELIMITERS = (b"::", b"\t", b";", b",")
"""The first of these that the first line has; MovieLens 1M uses the first."""

_USER = frozenset({"user", "userid", "uid", "reviewerid"})
_ITEM = frozenset({"item", "itemid", "iid", "movieid", "bookid", "productid", "asin", "isbn"})
_TIME = frozenset({"timestamp", "time", "unixtimestamp", "unixreviewtime"})
"""Names in a header, of small letters and nothing else."""

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
    first, second = _first_lines(path)
    if path.suffix == ".inter":
        return _inter_layout(first, path)
    delimiter = next((one for one in _DELIMITERS if one in first), None)
    if delimiter is None:
        raise AssayError(
            f"{path}: line 1 has one field; separate {_FORM} by comma, tab, semicolon or ::"
        )
    header = split_line(first, delimiter)
    names = [_plain(name) for name in header]
    user, item, time = (_column(names, known) for known in (_USER, _ITEM, _TIME))
    if user is not None and item is not None:
        return Layout(delimiter, len(header), user, item, time, has_header=True, is_inter=False)
    if len(header) > 4:
        raise AssayError(
            f"{path}: line 1 has {len(header)} columns and does not say which are user and item; "
            "name them in a header line"
        )
    below = split_line(second, delimiter)
    # Not the second column: codes of articles may be numbers in one line and not in another.
    if not any(map(_is_number, header)) and any(map(_is_number, [*below[:1], *below[2:]])):
        raise AssayError(
            f"{path}: line 1, {printable(shown(first))!r}, looks like a header that names no user "
            f"or no item; write {_FORM}, or remove it"
        )
    time = 3 if len(header) == 4 else None
    return Layout(delimiter, len(header), 0, 1, time, has_header=False, is_inter=False)


def split_line(line: bytes, delimiter: bytes) -> list[str]:
    """Return the fields of one line of CSV, without quotation marks and outer blanks."""
    text = line.decode("utf-8", "replace").replace(delimiter.decode(), "\x1f")
    return [field.strip() for field in next(csv.reader([text], delimiter="\x1f"), [])]


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


def _first_lines(path: Path) -> tuple[bytes, bytes]:
    """Return the first two lines without their ends; empty where there are none."""
    for _, block in line_blocks(path, MAX_LINE_BYTES, "one interaction"):
        first, _, rest = block.removeprefix(BYTE_ORDER_MARK).partition(b"\n")
        return first.rstrip(b"\r"), rest.partition(b"\n")[0].rstrip(b"\r")
    return b"", b""


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return "".join(letter for letter in name.partition(":")[0].lower() if letter.isalpha())


def _column(names: list[str], known: frozenset[str]) -> int | None:
    return next((column for column, name in enumerate(names) if name in known), None)
