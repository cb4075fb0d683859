"""A plan read back is the plan that was written, or an error of one line."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.solar import plan_file, replay, schedule
from workloads.solar.epoch_plan import EpochPlan, Training

TRAINING = Training(samples=100, batch=12, ranks=3, slots=10, epochs=4, seed=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    planner = schedule.planner(TRAINING)
    plan_file.write(tmp_path / "plan", planner, planner.epochs())
    return tmp_path / "plan"


def spoilt(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(AssayError) as caught:
        list(plan_file.read(path).epochs())
    return str(caught.value)


def test_a_plan_read_back_is_equal(path: Path) -> None:
    found = plan_file.read(path)
    assert (found.name, found.training, found.planned) == ("assay", TRAINING, 4)
    for one, other in zip(found.epochs(), schedule.planner(TRAINING).epochs(), strict=True):
        assert one.epoch == other.epoch
        for name in ("order", "rank", "source", "target"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype


def test_a_plan_read_back_is_a_planner_that_resumes(path: Path) -> None:
    found = plan_file.read(path)
    assert [plan.epoch for plan in found.epochs(2)] == [2, 3]
    counted = replay.check(found, found.epochs())
    assert counted.reads == counted.bound


def test_the_form_is_the_documented_one(path: Path) -> None:
    content = path.read_bytes()
    magic, version, *numbers, length = struct.unpack_from("<8sI6qI", content)
    assert (magic, version, numbers) == (b"assayPLN", 1, [100, 12, 3, 10, 4, 7])
    assert content[64 : 64 + length] == b"assay"
    record = content[64 + length + 4 :][: 8 + 100 * 20 + 4]
    assert struct.unpack_from("<q", record) == (0,)
    assert struct.unpack("<I", record[-4:]) == (zlib.crc32(record[:-4]),)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_truncated_file_and_any_flipped_bit_are_told(path: Path, data: st.DataObject) -> None:
    planner = schedule.planner(TRAINING)
    plan_file.write(path, planner, planner.epochs())
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
        if (len(content) - 73) % 2012 == 0:
            content.pop()  # whole epochs fewer are a shorter plan
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert "\n" not in spoilt(path, bytes(content))


def test_a_file_of_something_else_is_told(path: Path) -> None:
    assert spoilt(path, b"\x89HDF\r\n\x1a\n" + bytes(100)).endswith("is not a plan file")


def test_a_later_version_is_told(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8] = 2
    assert "version 2" in spoilt(path, bytes(content))


def test_a_size_that_the_file_cannot_have_is_refused_before_memory_is_taken(path: Path) -> None:
    head = struct.pack("<8sI6qI", b"assayPLN", 1, 2**30, 1, 1, 0, 0, 0, 1) + b"x"
    assert "truncated" in spoilt(path, head + struct.pack("<I", zlib.crc32(head)) + bytes(50))


def test_a_training_that_cannot_be_is_refused_though_its_sum_is_right(path: Path) -> None:
    head = struct.pack("<8sI6qI", b"assayPLN", 1, 10, 0, 1, 0, 0, 0, 1) + b"x"
    message = spoilt(path, head + struct.pack("<I", zlib.crc32(head)))
    assert message == f"{path} is damaged: batch is 0; it must be 1 or more"


def test_numbers_out_of_range_are_refused_though_their_sum_is_right(path: Path) -> None:
    for name, value in (("order", 100), ("rank", 3), ("source", 10), ("target", -2)):
        planner = schedule.planner(TRAINING)
        plan = next(planner.epochs())
        getattr(plan, name)[5] = value
        plan_file.write(path, planner, [plan])
        with pytest.raises(AssayError, match="is not a plan of its training in epoch 0"):
            list(plan_file.read(path).epochs())


def test_epochs_out_of_turn_are_not_written(tmp_path: Path) -> None:
    planner = schedule.planner(TRAINING)
    with pytest.raises(AssayError, match="epoch 0 is that of epoch 1"):
        plan_file.write(tmp_path / "plan", planner, planner.epochs(1))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()

    def filling() -> Iterator[EpochPlan]:
        yield next(schedule.planner(TRAINING).epochs())
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AssayError, match="cannot be written: No space left on device"):
        plan_file.write(path, schedule.planner(TRAINING), filling())
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["plan"]


def test_a_missing_file_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="cannot be read: No such file"):
        plan_file.read(tmp_path / "none")
    planner = schedule.planner(replace(TRAINING, epochs=1))
    with pytest.raises(AssayError, match="cannot be written: No such file"):
        plan_file.write(tmp_path / "none" / "plan", planner, planner.epochs())
