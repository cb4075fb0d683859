"""One plain file is taken out of an archive, and a hostile archive is refused in one line."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from harness.unpack import Unpacked, unpack

BODY = b"%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 1\n" * 50
RIGHT = Unpacked(hashlib.sha256(BODY).hexdigest(), len(BODY))


def entry(name: str, kind: bytes = tarfile.REGTYPE, **changes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size = kind, len(BODY) if kind == tarfile.REGTYPE else 0
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def tar(*entries: tarfile.TarInfo, layout: int = tarfile.GNU_FORMAT, body: bytes = BODY) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=layout) as archive:
        for one in entries:
            archive.addfile(one, io.BytesIO(body) if one.size else None)
    return packed.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def header(**changes: object) -> bytes:
    return entry("toy/toy.mtx", **changes).tobuf(tarfile.GNU_FORMAT)  # type: ignore[arg-type]


def taken(folder: Path, archive: bytes, size_bytes: int = 0) -> Unpacked:
    path = folder / "archive"
    path.write_bytes(archive)
    return unpack(path, "toy/toy.mtx", folder / "out", size_bytes, "URL", lambda done, total: None)


MEMBER = entry("toy/toy.mtx")
OTHERS = (
    entry("toy", tarfile.DIRTYPE),
    entry("../../escaped.txt"),
    entry("/absolute.txt"),
    entry("toy/link.mtx", tarfile.SYMTYPE, linkname="/etc/passwd"),
    entry("toy/toy_communities.mtx"),
    entry("toy/" + "long" * 60),
)


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["toy/toy.mtx", "./toy/toy.mtx"])
def test_a_member_is_taken_out_of_a_tar_and_nothing_else(
    tmp_path: Path, layout: int, name: str
) -> None:
    member = entry(name, pax_headers={"comment": "é" * 50, "path": name, "mtime": "1.5"})
    assert taken(tmp_path, tar(*OTHERS, member, *OTHERS, layout=layout)) == RIGHT
    assert (tmp_path / "out").read_bytes() == BODY
    assert names(tmp_path) == ["archive", "out"]
    assert not (tmp_path / ".." / "escaped.txt").exists()


def test_sizes_beyond_octal_digits_are_read(tmp_path: Path) -> None:
    large = header(size=1 << 40)
    with pytest.raises(AssayError, match=f"it claims {1 << 40} bytes, more than the 1048576 allow"):
        taken(tmp_path, gzip.compress(large))
    pax = tar(entry("toy/toy.mtx", pax_headers={"size": str(1 << 40)}), layout=tarfile.PAX_FORMAT)
    with pytest.raises(AssayError, match=f"it claims {1 << 40} bytes"):
        taken(tmp_path, pax)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (tar(*OTHERS), "there is no item named 'toy/toy.mtx'"),
        (tar(MEMBER, MEMBER), "it is there twice"),
        (tar(entry("toy/toy.mtx", tarfile.SYMTYPE, linkname="/etc/passwd")), "it is a link"),
        (tar(entry("toy/toy.mtx", tarfile.LNKTYPE, linkname="toy/other")), "it is a link"),
        (tar(entry("toy/toy.mtx", tarfile.DIRTYPE)), "it is a link or no plain file"),
        (tar(entry("toy/toy.mtx", tarfile.FIFOTYPE)), "it is a link or no plain file"),
        (tar(entry("../toy/toy.mtx"), entry("/toy/toy.mtx")), "there is no item named"),
        (tar(entry("toy/toy.mtx", size=0), entry("x", size=1000)), "it has 0 bytes, not the"),
        (gzip.compress(header(size=-5)), "it has -5 bytes"),
        (gzip.compress(header(type=tarfile.XHDTYPE, size=1 << 33)), "extended header in it has"),
        (gzip.compress(header(type=tarfile.GNUTYPE_LONGNAME, size=1 << 33)), "extended header"),
        (gzip.compress(header(type=tarfile.XHDTYPE, size=9) + b"9999 a=b\n" + bytes(503)), "damag"),
        (gzip.compress(entry("x", size=1 << 40).tobuf(tarfile.GNU_FORMAT)), "it ends early"),
        (gzip.compress(b"?" * 1024), "cannot unpack toy/toy.mtx of URL: "),
        (gzip.compress(b""), "it ends early"),
        (tar(MEMBER)[:-200], "cannot unpack toy/toy.mtx of URL: "),
        (tar(MEMBER)[:-8] + bytes(8), "CRC check failed"),
        (b"", "not a zip file"),
        (b"\x1f\x8b", "cannot unpack toy/toy.mtx of URL: "),
    ],
)
def test_a_tar_without_the_right_file_is_one_line_and_leaves_nothing(
    tmp_path: Path, archive: bytes, message: str
) -> None:
    with pytest.raises(AssayError, match=message) as caught:
        taken(tmp_path, archive, size_bytes=len(BODY))
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["archive"]


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: gzip.compress(header(size=1 << 28) + bytes(1 << 28), 1),
        lambda: gzip.compress(entry("x", size=1 << 28).tobuf() + bytes(1 << 28), 1),
        lambda: gzip.compress(gzip.decompress(tar(MEMBER)) + bytes(1 << 28), 1),
    ],
    ids=["in the member", "before the member", "behind the end"],
)
def test_a_bomb_is_refused(tmp_path: Path, bomb: Callable[[], bytes]) -> None:
    with pytest.raises(AssayError, match=r"it unpacks to over|more than the .* allowed for it"):
        taken(tmp_path, bomb())
    assert names(tmp_path) == ["archive"]


def zipped(body: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("toy/toy.mtx", body)
    return held.getvalue()


def test_a_zip_is_held_to_its_bounds_too(tmp_path: Path) -> None:
    assert taken(tmp_path, zipped(BODY)) == RIGHT
    (tmp_path / "out").unlink()
    with pytest.raises(
        AssayError, match=r"claims 16777216 bytes, more than the \d+ allowed for it"
    ):
        taken(tmp_path, zipped(bytes(1 << 24)))


def test_a_zip_packed_by_a_rare_method_or_with_a_damaged_directory_is_one_line(
    tmp_path: Path,
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_LZMA) as written:
        written.writestr("toy/toy.mtx", BODY)
    with pytest.raises(AssayError, match="packed by method 14"):
        taken(tmp_path, held.getvalue())
    whole = zipped(BODY)
    start = whole.rindex(b"PK\x01\x02")
    said = []
    for at in range(start, len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        try:
            assert taken(tmp_path, damaged).size_bytes == len(BODY)
            (tmp_path / "out").unlink()
        except AssayError as error:
            said.append(str(error))
    assert said
    assert all(line.startswith("cannot unpack") and "\n" not in line for line in said)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_tar_gives_the_right_file_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = bytearray(gzip.decompress(tar(*OTHERS[:3], MEMBER, layout=tarfile.PAX_FORMAT)))
    heads = [at for at in range(0, len(text), 512) if text[at + 257 : at + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(heads))
        head = text[at : at + 512]
        for _ in range(data.draw(st.integers(1, 4))):
            head[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):  # as one who forges a header would
            head[148:156] = b"        "
            head[148:156] = b"%06o\0 " % sum(head)
        text[at : at + 512] = head
    folder = tmp_path_factory.mktemp("damaged")
    try:
        got = taken(folder, gzip.compress(bytes(text), 1))
    except AssayError as error:
        left, lines = ["archive"], len(str(error).splitlines())
    else:
        left, lines = ["archive", "out"], 1
        assert got.size_bytes == (folder / "out").stat().st_size
    assert (names(folder), lines) == (left, 1)
