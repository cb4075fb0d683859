from __future__ import annotations

import gzip
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import AssayError
from workloads.msrep import matrix_market
from workloads.msrep.matrix_market import read, read_header

BANNER = "%%MatrixMarket matrix coordinate "
REAL = "%%MatrixMarket matrix coordinate real general\n"
SYMMETRIC = "%%MatrixMarket matrix coordinate real symmetric\n"
SKEW = "%%MatrixMarket matrix coordinate real skew-symmetric\n"
PATTERN = "%%MatrixMarket matrix coordinate pattern general\n"
INTEGER = "%%MatrixMarket matrix coordinate integer general\n"
TWO = REAL + "3 3 2\n"

LARGEST = f"{2**1024 - 2**970}"
"""The smallest whole number that is rounded to infinity, half way beyond the largest float64."""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "matrix.mtx"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(AssayError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REAL + "2 3 2\n1 3 1.5\n2 1 -.5e-1\n", [[0, 0, 1.5], [-0.05, 0, 0]]),
        (INTEGER + "2 2 2\n1 1 -7\n2 1 +8\n", [[-7, 0], [8, 0]]),
        (PATTERN + "2 2 2\n1 2\n2 2\n", [[0, 1], [0, 1]]),
        (SYMMETRIC + "2 2 2\n1 1 4\n2 1 3\n", [[4, 3], [3, 0]]),
        (SKEW + "2 2 1\n2 1 3\n", [[0, -3], [3, 0]]),
        (REAL + "1 1 3\n1 1 1\n1 1 2\n1 1 4\n", [[7]]),
        (REAL + "2 2 0\n", [[0, 0], [0, 0]]),
        (REAL + "%\n%note\n\n2 1 1\n2 1 5", [[0], [5]]),
        ("%%matrixmarket MATRIX Coordinate Real General\n1 1 1\n1 1 2\n", [[2]]),
        (REAL + "1 2 2\r\n1 1 1.\r\n\r\n \t1  2\t+2E+1 \r\n  \n", [[1, 20]]),
    ],
    ids=[
        "real", "integer", "pattern", "symmetric", "skew-symmetric", "duplicates are summed",
        "no entries", "comments and no last line end", "upper case", "blank lines and blanks",
    ],
)  # fmt: skip
def test_a_small_file_becomes_the_matrix_it_describes(
    tmp_path: Path, text: str, expected: list[list[float]]
) -> None:
    matrix = read(written(tmp_path, text))
    assert matrix.dtype == np.float64
    assert matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), np.array(expected, dtype=float))


def test_explicit_zeros_are_kept(tmp_path: Path) -> None:
    assert read(written(tmp_path, TWO + "1 1 0\n3 2 0.0\n")).nnz == 2


@settings(deadline=None, max_examples=60)
@given(
    dense=arrays(
        np.float64,
        st.tuples(st.integers(1, 7), st.integers(1, 7)),
        elements=st.just(0.0) | st.floats(allow_nan=False, allow_infinity=False),
    ),
    packed=st.booleans(),
)
def test_what_scipy_writes_is_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, dense: np.ndarray, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("round") / "matrix.mtx"
    scipy.io.mmwrite(path, scipy.sparse.coo_array(dense), symmetry="general")
    if packed:
        text = path.read_bytes()
        path = path.with_suffix(".mtx.gz")
        path.write_bytes(gzip.compress(text))
    assert np.array_equal(read(path).toarray(), dense)


@settings(deadline=None, max_examples=60)
@given(
    lower=arrays(np.int64, (5, 5), elements=st.integers(-3, 3)),
    symmetry=st.sampled_from(["symmetric", "skew-symmetric"]),
)
def test_both_triangles_of_a_symmetric_file_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    lower: np.ndarray,
    symmetry: Literal["symmetric", "skew-symmetric"],
) -> None:
    sign = 1 if symmetry == "symmetric" else -1
    whole = np.tril(lower, -1) + sign * np.tril(lower, -1).T
    path = tmp_path_factory.mktemp("symmetric") / "matrix.mtx"
    scipy.io.mmwrite(path, scipy.sparse.coo_array(whole), symmetry=symmetry)
    np.testing.assert_array_equal(read(path).toarray(), whole)


@st.composite
def number(draw: st.DrawFn) -> str:
    """Any text that stands for a number, most of them longer than a float64 is."""
    whole, fraction = draw(st.tuples(DIGITS, DIGITS).filter(any))
    point = "." if fraction or draw(st.booleans()) else ""
    exponent = draw(st.just("") | st.integers(-400, 400).map("e{}".format) | st.just("E+07"))
    return draw(st.sampled_from(["", "-", "+"])) + whole + point + fraction + exponent


def half_way(bits: int) -> str:
    """Return the exact decimal number between a float64 of those bits and the next."""
    low, high = (np.uint64(one).view(np.float64) for one in (bits, bits + 1))
    with localcontext() as context:
        context.prec = 1100
        return str((Decimal(float(low)) + Decimal(float(high))) / 2)


DIGITS = st.text("0123456789", max_size=25) | st.text("09", max_size=25)
LARGEST_BITS = 0x7FEFFFFFFFFFFFFF
ANY_BITS = st.integers(0, LARGEST_BITS - 1) | st.integers(0, 1 << 53)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        number()
        | st.floats(allow_nan=False, allow_infinity=False).map(repr)
        | st.floats(allow_nan=False, allow_infinity=False).map("{:.17e}".format)
        | ANY_BITS.map(half_way)
        | st.tuples(ANY_BITS.map(half_way), st.sampled_from("0149")).map("".join),
        min_size=1,
        max_size=40,
    )
)
def test_every_number_is_what_python_makes_of_it_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[str]
) -> None:
    expected = np.array([float(text) for text in numbers])
    lines = [f"{row} 1 {text}\n" for row, text in enumerate(numbers, 1)]
    head = f"{len(lines)} 1 {len(lines)}\n"
    path = written(tmp_path_factory.mktemp("numbers"), REAL + head + "".join(lines))
    if np.isfinite(expected).all():
        assert read(path).data.tobytes() == expected.tobytes()
    else:
        first = int(np.argmax(np.isinf(expected))) + 3
        assert f"line {first}: " in refusal(path)


@pytest.mark.parametrize("place", [0, 3, 7, 8])
def test_only_digits_count_as_digits_wherever_they_stand(tmp_path: Path, place: int) -> None:
    for byte in set(range(0x1F, 0x60)) - set(b"0123456789E ") | {0, 0xB0, 0xFA, 0xFF}:
        digits = bytearray(b"123456789")
        digits[place] = byte
        path = written(tmp_path, f"{REAL}1 1 1\n1 1 0.".encode() + digits + b"1\n")
        assert "'row column value' must stand" in refusal(path)


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_are_read_as_one_text_by_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", threads)
    monkeypatch.setattr("workloads.msrep.matrix_market_body._BLOCK_BYTES", 1 << 11)
    random = np.random.default_rng(0)
    expected = scipy.sparse.random_array((300, 200), density=0.05, rng=random).tocsr()
    lines = []
    for i, j, value in zip(*expected.tocoo().coords, expected.data, strict=True):
        blank_lines = "\n" * int(random.choice([0] * 50 + [900]))
        blanks = " " * int(random.integers(1, 300))
        lines.append(f"{blank_lines}{i + 1}{blanks}{j + 1} {value}\n")
    text = f"{REAL}300 200 {expected.nnz}\n" + "".join(lines)
    found = read(written(tmp_path, text))
    assert found.nnz == expected.nnz
    assert np.array_equal(found.toarray(), expected.toarray())
    bad = text.count("\n", 0, text.index("\n250 ")) + 2
    text = text.replace("\n250 ", "\n301 ", 1)
    assert f"line {bad}: '301 " in refusal(written(tmp_path, text))


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_still_a_finite_matrix(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = bytearray((REAL + "3 3 4\n1 1 1.5\n2 1 -2e3\n3 3 7\n3 1 .5\n").encode())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(len(REAL), len(text) - 1))
        text[where] = data.draw(
            st.sampled_from(b"0123456789+-.eE \t\r\n\0%x") | st.integers(0, 255)
        )
    cut = data.draw(st.integers(0, len(text)))
    path = written(tmp_path_factory.mktemp("damaged"), bytes(text[: cut or None]))
    try:
        matrix = read(path)
    except AssayError as error:
        outcome = str(error)
    else:
        outcome = "a matrix" if np.isfinite(matrix.data).all() else "a matrix that is not finite"
        assert matrix.nnz <= len(text)
    assert outcome == "a matrix" or outcome.startswith(f"{path}: ")
    assert "\n" not in outcome


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the file is empty"),
        ("hello\n", "no Matrix Market file"),
        (b"\x7fELF\0\0\xff\n", "no Matrix Market file"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n", "array format"),
        ("%%MatrixMarket vector coordinate real general\n2 1\n", "holds a vector"),
        (BANNER + "complex general\n1 1 1\n1 1 1 0\n", "is complex general; only real"),
        (BANNER + "complex hermitian\n1 1 1\n1 1 1 0\n", "is complex hermitian; only real"),
        (BANNER + "real hermitian\n1 1 1\n1 1 1\n", "hermitian with real values is no"),
        (BANNER + "pattern skew-symmetric\n2 2 1\n2 1\n", "skew-symmetric with pattern values"),
        ("%%MatrixMarket matrix coordinate quaternion general\n", "unknown field"),
        ("%%MatrixMarket matrix coordinate real lopsided\n", "unknown symmetry"),
        (REAL, "ends in its header"),
        (REAL + "% " + "x" * 70_000, "longer than"),
        (REAL + ("% " + "x" * 60_000 + "\n") * 20, "of comments"),
        (REAL + "3 3\n", "'rows columns entries'"),
        (REAL + "3 3 -1\n", "'rows columns entries'"),
        (REAL + "3 3 2.0\n", "'rows columns entries'"),
        (REAL + "3 3 " + "9" * 60 + "\n", "'rows columns entries'"),
        (REAL + "3 3 1000000000000\n1 1 1\n", "its size cannot hold"),
        (REAL + "2147483648 3 1\n1 1 1\n", "at most 2147483647"),
        (REAL + "3 99999999999 1\n1 1 1\n", "at most 2147483647"),
        (REAL + "2147483647 3 1\n1 1 1\n", "nearly all of it empty"),
        (SYMMETRIC + "2 3 1\n2 1 1\n", "is 2 x 3"),
        (TWO + "1 1 1\n", "has 1 of the 2"),
        (TWO + "1 1 1\n2 2", "line 4: '2 2' where"),
        (TWO + "1 1 1\n2 2 2\n3 3 3\n", "has more than the 2"),
        (TWO + "0 1 1\n2 2 2\n", "line 3: '0 1 1': row out of bounds, the matrix has 3"),
        (TWO + "1 1 1\n2 4 2\n", "line 4: '2 4 2': column out of bounds, the matrix has 3"),
        (TWO + "-1 1 1\n2 2 2\n", "line 3: '-"),
        (TWO + "4294967297 1 1\n2 2 2\n", "line 3: '4294967297 1 1': row out of bounds"),
        (TWO + "18446744073709551617 1 1\n2 2 2\n", "line 3: '18446744073709551617"),
        (TWO + "1.5 1 1\n2 2 2\n", "line 3: '1."),
        (TWO + "1 1 nan\n2 2 2\n", "line 3: '1 1 n"),
        (TWO + "1 1 1\n2 2 -Inf\n", "line 4: '2 2 -I"),
        (TWO + "1 1 1e400\n2 2 2\n", "beyond float64's range"),
        (REAL + "1 1 2\n1 1 1e308\n1 1 1e308\n", "beyond float64's range"),
        (TWO + "1 1 abc\n2 2 2\n", "line 3"),
        (TWO + "1 1 1.5abc\n2 2 2\n", "line 3"),
        (TWO + "1 1 1d5\n2 2 2\n", "line 3"),
        (TWO + "1 1 1.5.5\n2 2 2\n", "line 3"),
        (TWO + "1 1 1e\n2 2 2\n", "line 3"),
        (TWO + "1 1 .\n2 2 2\n", "line 3"),
        (TWO + "1 1 1 2 2 2\n3 3 3\n", "line 3"),
        (TWO + "1 1\n2 2 2\n", "line 3"),
        (TWO + "1 1 1\n% late\n2 2 2\n", "line 4"),
        (TWO + "1 1 1\r2 2 2\r", "line 3"),
        (TWO + "1 1 1\n2 2 2\0\n", "line 4"),
        (TWO + "1 1 1\n2 2 2\n" + "\xa0\n", "line 5"),
        (TWO + "1 1 " + " " * 2000 + "1\n2 2 2\n", "more than 1024 bytes"),
        (TWO + "1 1 " + "0" * 3_000_000, "more than 1024 bytes"),
        (INTEGER + "3 3 2\n1 1 1.5\n2 2 2\n", "integer values"),
        (PATTERN + "3 3 2\n1 1 5\n2 2\n", "'row column' must stand"),
        (
            SYMMETRIC + "2 2 2\n1 1 1\n1 2 1\n",
            "line 4: '1 2 1' is above the diagonal of a symmetric",
        ),
        (SKEW + "2 2 1\n1 1 3\n", "line 3: '1 1 3' is on the diagonal of a skew"),
        (SKEW + "2 2 1\n1 1 0\n", "line 3: '1 1 0' is on the diagonal of a skew"),
        (SKEW + "2 2 1\n1 2 3\n", "line 3: '1 2 3' is above the diagonal of a skew"),
        (TWO + "1 1 -1.8e308\n2 2 2\n", "line 3: '1 1 -1.8e308' is beyond float64's range"),
        (TWO + "1 1 1.79769313486231580794\n2 2 " + LARGEST + "\n", "line 4: '"),
    ],
)
def test_a_hostile_or_damaged_file_is_refused_in_one_line(
    tmp_path: Path, text: str | bytes, what: str
) -> None:
    assert what in refusal(written(tmp_path, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.mtx")
    assert "not a regular file" in refusal(tmp_path)


def test_comments_move_the_line_number_of_a_refused_entry(tmp_path: Path) -> None:
    path = written(tmp_path, REAL + "% one\n% two\n3 3 2\n1 1 1\n9 1 1\n")
    assert "line 6: '9 1 1': row out of bounds" in refusal(path)


def test_a_bad_entry_far_behind_the_first_block_is_found(tmp_path: Path) -> None:
    count = 200_000
    lines = [f"{i + 1} 1 {i / 7}" for i in range(count)]
    lines[-2] = "199999 1 1..5"
    path = written(tmp_path, REAL + f"{count} 1 {count}\n" + "\n".join(lines) + "\n")
    assert f"line {count + 1}: '199999 1 1.." in refusal(path)


def test_a_gzip_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress((REAL + "3 3 1000000000000\n1 1 1\n").encode()))
    assert "its size cannot hold" in refusal(path)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress((TWO + "\n" * 40_000_000).encode()))
    assert "unpacks to over " in refusal(path)


def test_a_cut_or_spoilt_gzip_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress((TWO + "1 1 1\n2 2 2\n").encode())
    assert "damaged gzip" in refusal(written(tmp_path, packed[:-9]))
    spoilt = bytearray(packed)
    spoilt[-6] ^= 0xFF
    assert "damaged gzip" in refusal(written(tmp_path, bytes(spoilt)))


def test_the_header_is_read_without_the_body(tmp_path: Path) -> None:
    header = read_header(written(tmp_path, SYMMETRIC + "% note\n4 4 2\nnonsense"))
    assert header == matrix_market.Header(4, 4, 2, "real", "symmetric", lines=3)


@pytest.mark.parametrize("name", ["1138_bus.mtx", "qh768.mtx", "ani4.mtx"])
def test_a_real_matrix_is_read_as_scipy_reads_it(name: str, data_folder: Path) -> None:
    path = data_folder / "matrices" / name
    stored = scipy.io.mmread(path, spmatrix=False)
    assert isinstance(stored, scipy.sparse.coo_array)
    expected = stored.tocsr()
    expected.sum_duplicates()
    matrix = read(path)
    assert matrix.shape == expected.shape
    np.testing.assert_array_equal(matrix.indptr, expected.indptr)
    np.testing.assert_array_equal(matrix.indices, expected.indices)
    np.testing.assert_array_equal(matrix.data, expected.data)
