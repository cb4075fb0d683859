"""Generated training files: what they hold, how they lie, and what becomes of a failed one."""

from __future__ import annotations

import math
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.solar.file_cache import KeptFile, cache_folder, kept_file
from workloads.solar.generate import Layout, file_bytes, generate
from workloads.solar.shapes import SHAPES, sample

CONTIGUOUS = Layout()


def assert_holds_its_samples(path: Path, shape: str, samples: int, seed: int) -> None:
    with h5py.File(path) as file:
        assert list(file) == sorted(field.name for field in SHAPES[shape])
        for index in range(samples):
            expected = sample(shape, seed, index)
            for field, values in zip(SHAPES[shape], expected, strict=True):
                stored = file[field.name]
                assert (stored.shape, stored.dtype) == ((samples, *field.shape), field.dtype)
                np.testing.assert_array_equal(stored[index], values)


def offsets(dataset: h5py.Dataset) -> list[int]:
    if not dataset.chunks:
        return [dataset.id.get_offset()]
    chunks = range(dataset.id.get_num_chunks())
    return [dataset.id.get_chunk_info(chunk).byte_offset for chunk in chunks]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    "layout",
    [CONTIGUOUS, Layout(1), Layout(8), Layout(8, gzip=True), Layout(8, fletcher32=True)],
    ids=str,
)
def test_every_sample_is_what_seed_and_index_say_in_every_layout(
    tmp_path: Path, layout: Layout
) -> None:
    path = tmp_path / "train.h5"
    generate(path, "ptychonn", 21, layout=layout, seed=5)
    assert_holds_its_samples(path, "ptychonn", 21, seed=5)
    assert [file.name for file in tmp_path.iterdir()] == ["train.h5"]
    with h5py.File(path) as file:
        for dataset in file.values():
            assert (dataset.chunks or (0,))[0] == layout.samples_a_chunk
            assert dataset.compression == ("gzip" if layout.gzip else None)
            assert dataset.fletcher32 == layout.fletcher32
            begins = offsets(dataset)
            assert all(offset % 4096 == 0 for offset in begins)
            assert begins == sorted(begins)


@pytest.mark.parametrize("shape", ["ptychonn-128", "autophase-32", "cosmoflow-32"])
def test_every_shape_is_written(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "train.h5"
    generate(path, shape, 3, layout=CONTIGUOUS, seed=0)
    assert_holds_its_samples(path, shape, 3, seed=0)


def test_the_shapes_are_those_published() -> None:
    assert {name: file_bytes(name, 1) for name in SHAPES} == {
        "ptychonn": 3 * 64**2 * 4,
        "ptychonn-128": 3 * 128**2 * 4,
        "autophase": 3 * 64**3 * 4,
        "autophase-32": 3 * 32**3 * 4,
        "cosmoflow": 128**3 * 4 * 2 + 16,
        "cosmoflow-32": 32**3 * 4 * 2 + 16,
    }


@given(
    st.integers(0, 2**62), st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), st.integers(1)
)
def test_no_two_samples_are_alike(seed: int, two: tuple[int, int], other: int) -> None:
    first, second = (sample("ptychonn", seed, index) for index in two)
    alike = [bool(np.array_equal(a, b)) for a, b in zip(first, second, strict=True)]
    assert alike == [two[0] == two[1]] * 3
    assert not np.array_equal(first[0], sample("ptychonn", seed + other, two[0])[0])
    assert not np.array_equal(first[0], first[1])


def test_values_lie_where_a_training_expects_them() -> None:
    image, amplitude, phase = sample("ptychonn", 1, 1)
    assert 0 <= image.min() < 0.01
    assert 0.99 < amplitude.max() < 1
    assert -math.pi <= phase.min() < -3.1
    assert 3.1 < phase.max() < math.pi
    counts, parameters = sample("cosmoflow-32", 1, 1)
    assert (counts.min(), counts.max()) == (0, 255)
    assert np.abs(parameters).max() <= 1


@pytest.mark.parametrize(
    ("shape", "samples", "layout", "seed", "said"),
    [
        ("ptycho", 4, CONTIGUOUS, 0, "unknown sample shape 'ptycho'; did you mean ptychonn"),
        ("ptychonn", 0, CONTIGUOUS, 0, "a file of 0 samples"),
        ("ptychonn", 4, Layout(-1), 0, "-1 samples a chunk"),
        ("ptychonn", 4, Layout(0, gzip=True), 0, "filters chunks only, not contiguous, gzip"),
        ("cosmoflow", 999, Layout(256), 0, "pass HDF5's 4 GiB; take at most 255"),
        ("ptychonn", 4, CONTIGUOUS, -1, "seed -1 is negative"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, shape: str, samples: int, layout: Layout, seed: int, said: str
) -> None:
    with pytest.raises(AssayError, match=said) as caught:
        generate(tmp_path / "train.h5", shape, samples, layout=layout, seed=seed)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(AssayError, match=r"cannot write .*train\.h5: .* bytes are needed and"):
        generate(tmp_path / "train.h5", "cosmoflow", 10**9, layout=CONTIGUOUS, seed=0)
    assert time.monotonic() - began < 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layout", "room"), [(CONTIGUOUS, 1_000_000), (Layout(1), 20_000), (Layout(8, gzip=True), 9)]
)
def test_a_disk_that_fills_meanwhile_leaves_one_line_and_the_old_file(
    tmp_path: Path, layout: Layout, room: int
) -> None:
    path = tmp_path / "train.h5"
    path.write_text("the old file")
    with (
        files_of_at_most(room),
        pytest.raises(AssayError, match=r"cannot write .*train\.h5: File too large; make room"),
    ):
        generate(path, "ptychonn", 50, layout=layout, seed=0)
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]


FILL = """
import sys
from pathlib import Path
from harness.errors import AssayError
from workloads.solar import generate
generate._check_room = lambda *_: None
try:
    generate.generate(
        Path(sys.argv[1]) / "train.h5", "ptychonn", 200, layout=generate.Layout(1), seed=0
    )
except AssayError as error:
    print(error, [file.name for file in Path(sys.argv[1]).iterdir()])
"""


def test_a_full_file_system_leaves_one_line_and_nothing_behind(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=4m none "{tmp_path}"'
    in_namespace = ["unshare", "-m", "sh", "-c"]
    writer = [sys.executable, "-c", FILL, str(tmp_path)]
    if subprocess.run([*in_namespace, mount], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    done = subprocess.run(
        [*in_namespace, f'{mount} && exec "$0" "$@"', *writer],
        capture_output=True,
        text=True,
    )
    assert "No space left on device" in done.stdout, done.stderr
    assert done.stdout.splitlines()[0].endswith(" []")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    return tmp_path / "solar"


def test_a_cached_file_is_written_once(cache: Path) -> None:
    first = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=0)
    written = first.path.stat().st_mtime_ns
    first.close()
    second = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=0)
    assert (second.path, second.path.stat().st_mtime_ns) == (first.path, written)
    assert second.path.parent == cache == cache_folder()
    assert_holds_its_samples(second.path, "ptychonn", 4, seed=0)
    second.close()


def test_other_settings_are_another_cached_file(cache: Path) -> None:
    asked: list[Callable[[], KeptFile]] = [
        lambda: kept_file("ptychonn", 2, layout=CONTIGUOUS, seed=0),
        lambda: kept_file("ptychonn", 3, layout=CONTIGUOUS, seed=0),
        lambda: kept_file("ptychonn", 2, layout=CONTIGUOUS, seed=1),
        lambda: kept_file("ptychonn", 2, layout=replace(CONTIGUOUS, samples_a_chunk=1), seed=0),
    ]
    for ask in asked:
        ask().close()
    assert len(list(cache.glob("*.h5"))) == len(asked)


def test_who_asks_for_the_same_file_at_once_waits_for_the_one_that_writes_it(cache: Path) -> None:
    said: list[str] = []

    def ask(_: int) -> Path:
        kept = kept_file("ptychonn", 500, layout=CONTIGUOUS, seed=0, say=said.append)
        kept.close()
        return kept.path

    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(ask, range(2)))
    assert len(paths) == 1
    assert said == [f"waits for another process, which writes {paths.pop()}"]
    assert len(list(cache.iterdir())) == 2


def test_the_cache_drops_the_longest_unused_but_nothing_in_use(cache: Path) -> None:
    size = 2 * file_bytes("ptychonn", 4)
    held = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=0)
    unused = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=1)
    unused.close()
    newest = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=2, most_bytes=size)
    assert sorted(cache.glob("*.h5")) == sorted([held.path, newest.path])
    held.close()
    newest.close()


def test_a_disk_without_room_for_another_file_loses_the_unused_ones(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=0)
    held = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=1)
    unused.close()
    usage = shutil.disk_usage(cache)
    free = iter([0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free, usage.free)))
    newest = kept_file("ptychonn", 4, layout=CONTIGUOUS, seed=2)
    assert sorted(cache.glob("*.h5")) == sorted([held.path, newest.path])
    held.close()
    newest.close()


def test_what_a_killed_process_left_is_cleared_by_the_next(cache: Path) -> None:
    kept = kept_file("ptychonn", 2, layout=CONTIGUOUS, seed=0)
    kept.close()
    path = kept.path
    path.unlink()
    left = path.with_name(f".{path.name}.12345678.part")
    left.write_bytes(b"half")
    again = kept_file("ptychonn", 2, layout=CONTIGUOUS, seed=0)
    assert again.path.is_file()
    assert not left.exists()
    again.close()


def test_a_cache_folder_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssayError, match=r"cache folder .* Not a directory; set ASSAY_CACHE"):
        kept_file("ptychonn", 2, layout=CONTIGUOUS, seed=0)
