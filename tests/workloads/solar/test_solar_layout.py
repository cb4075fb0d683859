from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.solar.layout import sample_file

DTYPES = ["u1", "i2", "f4", "f8", "c8", "?"]


def _write(path: Path, name: str = "x", samples: int = 10, **options: Any) -> Path:
    values = np.arange(samples * 6, dtype="f4").reshape(samples, 6)
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=values, **options)
    return path


@settings(max_examples=40)
@given(
    samples=st.integers(1, 20),
    shape=st.lists(st.integers(1, 4), max_size=2),
    dtype=st.sampled_from(DTYPES),
    per_chunk=st.integers(0, 7),
    user_block=st.sampled_from([0, 512]),
    library=st.sampled_from(["earliest", "latest"]),
)
def test_the_bytes_at_each_samples_offset_are_those_that_h5py_reads(
    tmp_path_factory: pytest.TempPathFactory,
    samples: int,
    shape: list[int],
    dtype: str,
    per_chunk: int,
    user_block: int,
    library: str,
) -> None:
    path = tmp_path_factory.mktemp("layout") / "a.h5"
    values = np.random.default_rng(0).integers(0, 2, (samples, *shape)).astype(dtype)
    chunks = (min(per_chunk, samples), *shape) if per_chunk else None
    with h5py.File(path, "w", userblock_size=user_block, libver=library) as file:
        file.create_dataset("x", data=values, chunks=chunks)
    (dataset,) = sample_file(path).datasets
    whole = path.read_bytes()
    assert dataset.fallback == ""
    for sample, offset in enumerate(dataset.offsets(np.arange(samples)).tolist()):
        assert whole[offset : offset + dataset.row_bytes] == values[sample].tobytes()


def test_chunks_written_in_any_order_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (9, 2), "i8", chunks=(2, 2), maxshape=(None, 2))
        for first in (6, 0, 8, 4, 2):
            dataset[first : first + 2] = np.arange(9)[first : first + 2, np.newaxis]
    (found,) = sample_file(path).datasets
    whole = path.read_bytes()
    read = [whole[at] for at in found.offsets(np.arange(9)).tolist()]
    assert read == list(range(9))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compression": "gzip", "chunks": (2, 6)}, "deflate"),
        ({"fletcher32": True, "chunks": (2, 6)}, "fletcher32"),
        ({"dtype": ">f4"}, "byte order"),
        ({"dtype": "S4"}, "not stored as numpy has it"),
        ({"dtype": [("a", "f4"), ("b", "i2")]}, "not stored as numpy has it"),
        ({"dtype": h5py.h5t.IEEE_F16LE}, ""),
        ({"chunks": (2, 3)}, "split or pad"),
        ({"chunks": (4, 6), "fillvalue": 1}, "no storage"),
    ],
)
def test_what_does_not_lie_as_numpy_has_it_is_left_to_h5py_with_the_reason(
    tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    settings = {"dtype": "f4", **options}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", (10, 6), **settings)
        if "fillvalue" not in options:
            dataset[...] = np.zeros((10, 6), dtype=dataset.dtype)
    found = sample_file(tmp_path / "a.h5")
    assert reason in found.fallback
    assert bool(reason) == bool(found.fallback)


def test_a_compact_dataset_is_left_to_h5py(tmp_path: Path) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((4, 2))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, creation)
    assert "compact" in sample_file(tmp_path / "a.h5").fallback


def test_without_names_all_datasets_of_the_common_length_are_taken(tmp_path: Path) -> None:
    path = _write(_write(_write(tmp_path / "a.h5", "x"), "y"), "mean", samples=1)
    assert sample_file(path).names == ("x", "y")
    assert sample_file(path, ["y"]).names == ("y",)


def test_a_dataset_of_a_group_is_found_by_its_path(tmp_path: Path) -> None:
    assert sample_file(_write(tmp_path / "a.h5", "train/x"), ["train/x"]).fallback == ""


def test_links_and_sources_beside_the_file_are_followed(tmp_path: Path) -> None:
    _write(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("b.h5", "/x")
        file["soft"] = h5py.SoftLink("/linked")
        virtual = h5py.VirtualLayout((10, 6), "f4")
        virtual[...] = h5py.VirtualSource("b.h5", "x", (10, 6))
        file.create_virtual_dataset("virtual", virtual)
        raw = np.arange(60, dtype="f4")
        raw.tofile(tmp_path / "raw")
        file.create_dataset("external", (10, 6), "f4", external=[("raw", 0, 240)])
    found = sample_file(tmp_path / "a.h5", ["linked", "soft", "virtual", "external"])
    assert found.fallback == (
        "linked: behind an external link; soft: behind an external link; "
        "virtual: virtual; external: external storage"
    )


def _scalar(file: h5py.File) -> None:
    file["x"] = 1.0


def _group(file: h5py.File) -> None:
    file.create_group("x")


def _nothing(file: h5py.File) -> None:
    file.create_dataset("x", (0, 3), "f4")


def _hollow(file: h5py.File) -> None:
    file.create_dataset("x", (3, 0), "f4")


def _lists(file: h5py.File) -> None:
    file.create_dataset("x", (3,), dtype=h5py.vlen_dtype("i4"))


def _claim(file: h5py.File) -> None:
    file.create_dataset("x", (2**40,), dtype="f4", chunks=(1,))


def _huge_chunk(file: h5py.File) -> None:
    file.create_dataset("x", (2**29, 2), dtype="f4", chunks=(2**29, 1), compression="gzip")


def _link_out(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("../outside.h5", "/x")


def _soft_link_out(file: h5py.File) -> None:
    file["y"] = h5py.ExternalLink("../outside.h5", "/")
    file["x"] = h5py.SoftLink("/y/x")


def _link_by_link_out(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("b.h5"), "w") as other:
        other["x"] = h5py.ExternalLink("../outside.h5", "/x")
    file["x"] = h5py.ExternalLink("b.h5", "/x")


def _link_to_a_link_out(file: h5py.File) -> None:
    Path(file.filename).with_name("b.h5").symlink_to("../outside.h5")
    file["x"] = h5py.ExternalLink("b.h5", "/x")


def _endless_link(file: h5py.File) -> None:
    file["x"] = h5py.SoftLink("/x")


def _dangling(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("gone.h5", "/x")


def _storage_out(file: h5py.File) -> None:
    file.create_dataset("x", (3,), "f4", external=[("../outside", 0, 12)])


def _cycle(file: h5py.File) -> None:
    for name, source in (("x", "y"), ("y", "x")):
        virtual = h5py.VirtualLayout((10, 6), "f4")
        virtual[...] = h5py.VirtualSource(".", source, (10, 6))
        file.create_virtual_dataset(name, virtual)


def _source(name: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        virtual = h5py.VirtualLayout((10, 6), "f4")
        virtual[...] = h5py.VirtualSource(name, "x", (10, 6))
        file.create_virtual_dataset("x", virtual)

    return make


def _pattern(file: h5py.File) -> None:
    endless = h5py.h5s.UNLIMITED
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    virtual = h5py.h5s.create_simple((10, 6), (endless, 6))
    virtual.select_hyperslab((0, 0), (endless, 1), (10, 6), (10, 6))
    creation.set_virtual(virtual, b"part-%b.h5", b"x", h5py.h5s.create_simple((10, 6)))
    space = h5py.h5s.create_simple((10, 6), (endless, 6))
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, creation)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_scalar, "scalar"),
        (_group, "is a group"),
        (_nothing, "0 samples"),
        (_hollow, "hold nothing"),
        (_lists, "variable length"),
        (_claim, "can be planned"),
        (_huge_chunk, "chunks of more than"),
        (_link_out, "outside the file's folder"),
        (_soft_link_out, "outside the file's folder"),
        (_link_by_link_out, "outside the file's folder"),
        (_link_to_a_link_out, "outside the file's folder"),
        (_endless_link, "links lead to"),
        (_dangling, "which is missing"),
        (_storage_out, "outside the file's folder"),
        (_source("../outside.h5"), "outside the file's folder"),
        (_source("gone.h5"), "which is missing"),
        (_pattern, "pattern"),
        (_cycle, "links lead to"),
    ],
)
def test_what_cannot_be_trusted_or_planned_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[h5py.File], None], message: str
) -> None:
    _write(tmp_path / "outside.h5")
    folder = tmp_path / "data"
    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        make(file)
    with pytest.raises(AssayError, match=message) as caught:
        sample_file(folder / "a.h5", ["x"])
    assert "\n" not in str(caught.value)


def test_datasets_of_unequal_length_are_refused(tmp_path: Path) -> None:
    path = _write(_write(tmp_path / "a.h5", "x"), "y", samples=9)
    with pytest.raises(AssayError, match=r"'x' has 10 samples, 'y' has 9"):
        sample_file(path, ["x", "y"])
    with pytest.raises(AssayError, match="name the datasets"):
        sample_file(path)


def test_a_missing_dataset_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="did you mean images"):
        sample_file(_write(tmp_path / "a.h5", "images"), ["image"])


def test_a_file_that_is_missing_or_no_hdf5_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="No such file"):
        sample_file(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(AssayError, match="not readable as HDF5"):
        sample_file(tmp_path / "text.h5")


@pytest.mark.parametrize("chunks", [None, (2, 6)])
def test_a_truncated_file_is_refused(tmp_path: Path, chunks: tuple[int, int] | None) -> None:
    path = _write(tmp_path / "a.h5", chunks=chunks)
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(AssayError, match="truncated"):
        sample_file(path)


def test_an_offset_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5")
    whole = bytearray(path.read_bytes())
    (offset,) = sample_file(path).datasets[0].offsets(np.zeros(1, dtype=np.int64)).tolist()
    address = offset.to_bytes(8, "little")
    at = whole.rindex(address)
    whole[at : at + 8] = (2**50).to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(AssayError, match=r"truncated|not readable"):
        sample_file(path)


@pytest.mark.parametrize("address", [2**50, 2**63 + 8])
def test_a_chunk_beyond_the_file_is_refused(tmp_path: Path, address: int) -> None:
    path = _write(tmp_path / "a.h5", chunks=(2, 6))
    whole = bytearray(path.read_bytes())
    (offset,) = sample_file(path).datasets[0].offsets(np.zeros(1, dtype=np.int64)).tolist()
    at = whole.rindex(offset.to_bytes(8, "little"))
    whole[at : at + 8] = address.to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(AssayError, match=r"truncated|not readable"):
        sample_file(path)


def test_a_link_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["linked"] = h5py.ExternalLink("b.h5", "/x")
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(b"\x40", 0, whole.index(b"linked"))] = 70
    path.write_bytes(whole)
    with pytest.raises(AssayError, match="not readable"):
        sample_file(path)


def _tell_refusal(path: Path, told: Any) -> None:
    try:
        sample_file(path)
    except AssayError as error:
        told.send(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_no_source_is_opened_before_it_is_known_to_lie_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        endless = h5py.h5s.UNLIMITED
        virtual = h5py.VirtualLayout((10, 6), "f4", maxshape=(None, 6))
        source = h5py.VirtualSource("../pipe", "x", (10, 6), maxshape=(None, 6))
        virtual[:endless, :] = source[:endless, :]
        file.create_virtual_dataset("x", virtual)
    os.mkfifo(tmp_path / "pipe")  # to open it is to wait for a writer
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_tell_refusal, args=(folder / "a.h5", theirs))
    child.start()
    answered = ours.poll(10)
    child.kill()
    child.join()
    assert answered
    assert "outside the file's folder" in ours.recv()


def test_sources_that_many_datasets_share_are_each_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, depth = 3, 6
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for level, number in product(range(depth), range(width)):
            virtual = h5py.VirtualLayout((width,), "f4")
            for source in range(width):
                virtual[source] = h5py.VirtualSource(".", f"{level + 1}-{source}", (1,))
            file.create_virtual_dataset(f"{level}-{number}", virtual)
        for number in range(width):
            file.create_dataset(f"{depth}-{number}", data=np.zeros(1, dtype="f4"))
    opened: list[Path] = []
    real = h5py.File

    def counted(path: Path, mode: str) -> h5py.File:
        opened.append(path)
        return real(path, mode)

    monkeypatch.setattr("workloads.solar.containment.h5py.File", counted)
    names = [f"{level}-{number}" for level, number in product(range(depth), range(width))]
    assert "0-0: virtual; " in sample_file(tmp_path / "a.h5", names).fallback
    assert len(opened) <= width * width * depth + 3


def test_more_chunks_than_can_be_listed_are_left_to_h5py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(_write(tmp_path / "a.h5", "x", chunks=(1, 6)), "y", chunks=(1, 1))
    x, y = sample_file(path).datasets
    assert x.stored is not None
    assert y.stored is not None
    monkeypatch.setattr("workloads.solar.layout._MOST_CHUNKS", 10)
    x, y = sample_file(path).datasets
    assert x.fallback == ""
    assert y.fallback == "in more than 10 chunks"
    assert y.stored is None
