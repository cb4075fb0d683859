"""Reads the entries of a Matrix Market file, several blocks of lines at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numba import config
from numpy.typing import NDArray

from harness.errors import AssayError
from workloads.msrep import matrix_market_grammar as grammar
from workloads.msrep.matrix_market_rows import Entries, compressed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from workloads.msrep.matrix_market import Header

MAX_LINE_BYTES = 1024
"""The longest line that NISTIR 5935 allows."""

_BLOCK_BYTES = 1 << 19
"""A block and its entries stay in the cache, and one call of Python's costs little beside it."""

_FIELDS = {"pattern": grammar.PATTERN, "integer": grammar.INTEGER, "real": grammar.REAL}
_SYMMETRIES = {
    "general": grammar.GENERAL,
    "symmetric": grammar.SYMMETRIC,
    "skew-symmetric": grammar.SKEW_SYMMETRIC,
}
_MIRRORED = {"general": 0.0, "symmetric": 1.0, "skew-symmetric": -1.0}

Block = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Converted:
    """What a block holds: its good lines, their entries, and what is wrong with the next line."""

    lines: int
    entries: Entries
    bad: str


def read_body(path: Path, stream: BinaryIO, header: Header, max_bytes: int) -> csr_array:
    """Return the matrix whose entries come next in the stream, both its triangles.

    Values are those of Python's `float`, bit for bit. Blocks are converted by as many threads as
    numba may use.

    Args:
        path: of the file, for messages.
        stream: at the first entry.
        header: what came before.
        max_bytes: the longest text that is read.

    Raises:
        AssayError: a line is no entry of such a matrix, a value or a sum is not finite, the
            entries are not as many as promised, or the text is too long.
    """
    entries: list[Entries] = []
    lines, count = header.lines, 0
    blocks = _blocks(path, stream, max_bytes)
    with closing(_in_order(partial(_convert, header), blocks)) as converted:
        for block in converted:
            lines += block.lines
            count += len(block.entries.row)
            if count > header.entries:
                raise _miscounted(path, "more than", header)
            if block.bad:
                raise AssayError(f"{path}: line {lines + 1}: {block.bad}")
            entries.append(block.entries)
    if count < header.entries:
        raise _miscounted(path, f"{count} of", header)
    matrix = compressed(entries, (header.rows, header.columns), mirrored=_MIRRORED[header.symmetry])
    if not np.isfinite(matrix.data).all():
        raise AssayError(
            f"{path}: the sum of the entries of one place is beyond float64's range; scale the "
            "matrix"
        )
    return matrix


def _miscounted(path: Path, found: str, header: Header) -> AssayError:
    return AssayError(
        f"{path}: has {found} the {header.entries} entries it promises; fetch it again"
    )


def _blocks(path: Path, stream: BinaryIO, max_bytes: int) -> Iterator[Block]:
    """Yield the rest of a stream in whole lines, the last of which gets an end if it has none."""
    total = 0
    rest = np.empty(0, dtype=np.uint8)
    while True:
        text = np.empty(len(rest) + _BLOCK_BYTES, dtype=np.uint8)
        text[: len(rest)] = rest
        count = stream.readinto(text[len(rest) :])  # type: ignore[attr-defined]
        total += count
        if total > max_bytes:
            raise AssayError(
                f"{path}: unpacks to over {max_bytes} bytes, more than a matrix of its size would; "
                "unpack it yourself if you trust it"
            )
        text = text[: len(rest) + count]
        if not count:
            break
        last = text[-(MAX_LINE_BYTES + 2) :].tobytes()
        behind = last.rfind(b"\n") + 1
        if behind:
            whole = len(text) - len(last) + behind
            yield text[:whole]
            rest = text[whole:]
        elif len(text) > len(last):
            yield _ended(text)  # to be refused: the line is too long
            return
        else:
            rest = text
    if len(rest):
        yield _ended(rest)


def _ended(text: Block) -> Block:
    return np.append(text, np.uint8(ord("\n")))


def _in_order(
    convert: Callable[[Block], _Converted], blocks: Iterable[Block]
) -> Generator[_Converted, None, None]:
    """Yield what each block converts to; several are under way at once, or one without threads."""
    threads = int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads == 1:
        yield from map(convert, blocks)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Converted]] = deque()
        for block in blocks:
            waiting.append(pool.submit(convert, block))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _convert(header: Header, text: Block) -> _Converted:
    """Return what a block of whole lines holds, up to the first line that must be refused."""
    room = grammar.count_lines(text)
    row, column = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    value = np.empty(room)
    state, doubts = grammar.new_scan()
    outcome = grammar.PAUSED
    while outcome == grammar.PAUSED:
        outcome = grammar.scan(
            text, _FIELDS[header.field], _SYMMETRIES[header.symmetry], header.rows, header.columns,
            MAX_LINE_BYTES, state, doubts, row, column, value.view(np.uint64),
        )  # fmt: skip
        for entry, first, behind in doubts[: int(state[grammar.DOUBTS])].tolist():
            value[entry] = float(text[first:behind].tobytes())
            if np.isinf(value[entry]):
                outcome = grammar.BEYOND_RANGE
                state[grammar.AT] = first
                state[grammar.LINES] = grammar.count_lines(text[:first])
                break
        state[grammar.DOUBTS] = 0
    count = int(state[grammar.ENTRIES])
    entries = Entries(row[:count], column[:count], value[:count])
    bad = ""
    if outcome != grammar.DONE:
        bad = _refusal(header, int(outcome), _line_around(text, int(state[grammar.AT])))
    return _Converted(int(state[grammar.LINES]), entries, bad)


def _refusal(header: Header, outcome: int, line: str) -> str:
    """Return what is wrong with a line, and the fix."""
    shape = "row column" if header.field == "pattern" else "row column value"
    match outcome:
        case grammar.TOO_LONG:
            return f"more than {MAX_LINE_BYTES} bytes; repair it"
        case grammar.BAD_ROW:
            return f"{line}: row out of bounds, the matrix has {header.rows}; repair it"
        case grammar.BAD_COLUMN:
            return f"{line}: column out of bounds, the matrix has {header.columns}; repair it"
        case grammar.ABOVE_DIAGONAL:
            return (
                f"{line} is above the diagonal of a {header.symmetry} matrix; store the lower "
                "triangle or write it as general"
            )
        case grammar.ON_DIAGONAL:
            return f"{line} is on the diagonal of a skew-symmetric matrix; remove it"
        case grammar.BEYOND_RANGE:
            return f"{line} is beyond float64's range; scale the matrix"
    return f"{line} where '{shape}' must stand, with finite {header.field} values; repair it"


def _line_around(text: Block, at: int) -> str:
    """Return what a message shows of the line that holds a byte."""
    near = text[max(0, at - 40) : at + 20].tobytes()
    split = min(at, 40)
    line = near[:split].rpartition(b"\n")[2] + near[split:].partition(b"\n")[0]
    return repr(line.decode("latin-1"))
