from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.heat import line_blocks, text_format
from workloads.heat.interactions import Interactions, digest, estimated_interactions, read

TRAIN = "0 1 2\n1 0 3\n2 4 0\n"
TEST = "0 3\n1 4\n2 1\n"


def write(folder: Path, train: str | bytes = TRAIN, test: str | bytes = TEST) -> Path:
    for name, text in (("train.txt", train), ("test.txt", test)):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(AssayError) as raised:
        read(folder)
    message = str(raised.value)
    assert "\n" not in message
    return message


def pairs_of(pointers: np.ndarray, items: np.ndarray) -> dict[int, list[int]]:
    return {
        user: items[pointers[user] : pointers[user + 1]].tolist()
        for user in range(pointers.size - 1)
        if pointers[user] < pointers[user + 1]
    }


def test_each_line_is_a_user_and_their_items(tmp_path: Path) -> None:
    found = read(write(tmp_path))
    assert (found.users, found.items) == (3, 5)
    assert pairs_of(found.train_ptr, found.train_items) == {0: [1, 2], 1: [0, 3], 2: [0, 4]}
    assert pairs_of(found.test_ptr, found.test_items) == {0: [3], 1: [4], 2: [1]}
    assert found.train_items.dtype == np.int32
    assert found.train_users().tolist() == [0, 0, 1, 1, 2, 2]


def test_lines_of_one_user_are_put_together(tmp_path: Path) -> None:
    found = read(write(tmp_path, train="1 3\n0 1 2\n2 0 4\n1 0\n"))
    assert digest(found) == digest(read(write(tmp_path)))


def test_validation_interactions_join_training(tmp_path: Path) -> None:
    whole = digest(read(write(tmp_path)))
    write(tmp_path, train="0 1\n1 0 3\n2 4\n")
    (tmp_path / "valid.txt").write_text("0 2\n2 0\n")
    assert digest(read(tmp_path)) == whole


def test_users_without_items_are_kept(tmp_path: Path) -> None:
    found = read(write(tmp_path, train="0 1 2\n1\n2 4 0\n3 3\n4\n", test="0 3\n1\n"))
    assert found.users == 5
    assert np.diff(found.train_ptr).tolist() == [2, 0, 2, 1, 0]
    assert np.diff(found.test_ptr).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("blank", [" ", "\t", "  ", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\n\n"])
def test_blanks_and_line_ends_of_any_kind_are_read(tmp_path: Path, blank: str, end: str) -> None:
    expected = digest(read(write(tmp_path)))
    train = TRAIN.replace(" ", blank).replace("\n", end)
    assert digest(read(write(tmp_path, train=train))) == expected
    assert digest(read(write(tmp_path, train=train.rstrip()))) == expected


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.integers(0, 49), min_size=1, max_size=12, unique=True), min_size=1, max_size=20
    ),
    block_bytes=st.integers(1, 40),
)
def test_what_is_written_is_read_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], block_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    text = "".join(f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(rows))
    write(folder, train=text, test=f"0 {rows[0][0]}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "_BLOCK_BYTES", block_bytes)
        found = read(folder)
    assert pairs_of(found.train_ptr, found.train_items) == {
        user: sorted(row) for user, row in enumerate(rows)
    }


@settings(max_examples=80, deadline=None)
@given(junk=st.binary(max_size=60))
def test_junk_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    folder = write(tmp_path_factory.mktemp("data"), train=junk, test=junk)
    try:
        found = read(folder)
    except AssayError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found.train_items.size > 0


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "nowhere")


def test_one_file_is_split_for_each_user_the_same_way_whatever_its_order(tmp_path: Path) -> None:
    rows = [f"{user} {' '.join(map(str, range(10 + user)))}" for user in range(6)]
    (tmp_path / "all.txt").write_text("\n".join(rows))
    found = read(tmp_path / "all.txt")
    assert np.diff(found.test_ptr).tolist() == [2, 2, 2, 2, 2, 3]
    whole = np.diff(found.train_ptr) + np.diff(found.test_ptr)
    assert whole.tolist() == [10, 11, 12, 13, 14, 15]
    (tmp_path / "other.txt").write_text("\n".join(reversed(rows)))
    assert digest(read(tmp_path / "other.txt")) == digest(found)


def test_one_file_in_which_no_user_has_five_items_is_refused(tmp_path: Path) -> None:
    assert "no user has 5 items" in refusal(write(tmp_path) / "train.txt")


def test_two_files_for_one_part_are_named(tmp_path: Path) -> None:
    (write(tmp_path) / "train.csv").write_text("0,1\n")
    assert "train.csv and train.txt are the same part" in refusal(tmp_path)


def test_lines_of_items_and_tables_are_not_mixed(tmp_path: Path) -> None:
    (write(tmp_path) / "test.txt").rename(tmp_path / "test.csv")
    assert "has both .txt files and tables" in refusal(tmp_path)


def test_the_number_of_interactions_is_estimated_from_sizes(tmp_path: Path) -> None:
    text = "".join(f"{user} {user + 1} {user + 2}\n" for user in range(10_000, 12_000))
    assert 2_000 < estimated_interactions(write(tmp_path, text, text)) < 16_000
    (tmp_path / "a.csv").write_text("1,2\n" * 1_000)
    assert estimated_interactions(tmp_path / "a.csv") == 1_000


def test_a_broken_link_is_one_line(tmp_path: Path) -> None:
    (write(tmp_path) / "train.txt").unlink()
    (tmp_path / "train.txt").symlink_to("nowhere")
    with pytest.raises(AssayError, match=r"cannot read .*train.txt: No such file"):
        estimated_interactions(tmp_path)
    assert "train.txt: No such file" in refusal(tmp_path)


def test_a_circle_of_links_is_one_line(tmp_path: Path) -> None:
    (write(tmp_path) / "train.txt").unlink()
    (tmp_path / "train.txt").symlink_to("train.txt")
    assert "train.txt" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["train.txt", "valid.txt", "test.txt"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    assert f"{name} is not a regular file" in refusal(tmp_path)


def test_a_file_in_a_folder_may_link_within_it_and_not_out_of_it(tmp_path: Path) -> None:
    folder, outside = tmp_path / "data", tmp_path / "other.txt"
    folder.mkdir()
    whole = digest(read(write(folder)))
    (folder / "train.txt").rename(folder / "kept")
    (folder / "train.txt").symlink_to("kept")
    (tmp_path / "link").symlink_to(folder)
    assert digest(read(tmp_path / "link")) == whole
    (folder / "kept").rename(outside)
    (folder / "train.txt").unlink()
    (folder / "train.txt").symlink_to(outside)
    assert "train.txt links out of its folder" in refusal(folder)


def test_a_file_that_is_given_may_be_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "all.txt").write_text("0 0 1 2 3 4\n1 0 1 2 3 4\n")
    (folder / "link.txt").symlink_to(tmp_path / "all.txt")
    assert digest(read(folder / "link.txt")) == digest(read(tmp_path / "all.txt"))


@pytest.mark.parametrize("beside", ["ratings.csv", "valid.inter", "all.inter"])
def test_validation_without_training_and_test_is_refused(tmp_path: Path, beside: str) -> None:
    (tmp_path / beside).write_text("1,2\n")
    if beside != "valid.inter":
        (tmp_path / "valid.csv").write_text("1,2\n")
    assert "comes without train.* and test.*" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["train.txt", "test.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    assert f"{name} is missing" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "0\n1\n"])
def test_a_file_without_interactions_is_refused(tmp_path: Path, text: str) -> None:
    assert "train.txt holds no interaction" in refusal(write(tmp_path, train=text))
    assert "test.txt holds no interaction" in refusal(write(tmp_path, test=text))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("3 apple", "line 4: 'apple' is not an integer"),
        ("3 1.5", "line 4: '1.5' is not an integer"),
        ("3 1,2", "line 4: '1,2' is not an integer"),
        ("3 1-2", "line 4: '1-2' is not an integer"),
        ("3 0x10", "line 4: '0x10' is not an integer"),
        ("3 -1", "line 4: id -1 is negative"),
        ("-3 1", "line 4: id -3 is negative"),
        ("3 2147483648", "line 4: id 2147483648 is beyond 2147483647"),
        ("3 123456789012345678901234", "line 4: id 123456789012345678901234 is beyond"),
        ("3 1\x00", "line 4 is not text"),
        ("3 \u00e9", "line 4 is not text"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    assert complaint in refusal(write(tmp_path, train=f"{TRAIN}{line}\n4 1\n"))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    junk = bytes(range(256)) * 10
    assert "train.txt: line 1 is not text" in refusal(write(tmp_path, train=junk))


def test_line_numbers_count_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "_BLOCK_BYTES", 16)
    text = "".join(f"{user} 1 2 3\n" for user in range(100))
    assert "line 101: 'x'" in refusal(write(tmp_path, train=f"{text}7 x\n"))


def test_a_line_without_end_is_given_up_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_format, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(line_blocks, "_BLOCK_BYTES", 100)
    write(tmp_path, train=f"{TRAIN}3 {'1 ' * 100_000}")
    assert "line 4 is longer than 1000 bytes" in refusal(tmp_path)


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path: Path) -> None:
    write(tmp_path)
    with (tmp_path / "train.txt").open("r+b") as file:
        file.truncate(line_blocks.MAX_FILE_BYTES + 1)  # sparse: takes no space
    assert "more than the" in refusal(tmp_path)


def test_a_repeated_pair_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, train=f"{TRAIN}1 2 3\n"))
    assert "train.txt: user 1 and item 3 occur together more than once (1 repeated" in message


def test_a_pair_in_both_training_and_validation_is_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "valid.txt").write_text("2 4\n")
    message = refusal(tmp_path)
    assert "train.txt and valid.txt: user 2 and item 4 occur together more than once" in message


def test_a_test_user_or_item_that_training_does_not_know_is_refused(tmp_path: Path) -> None:
    assert "test.txt: user 3 is beyond" in refusal(write(tmp_path, test="3 1\n"))
    assert "test.txt: item 5 is beyond" in refusal(write(tmp_path, test="0 5\n"))


@pytest.mark.parametrize(
    ("train", "kind"), [("0 2000000000\n", "item"), ("2000000000 0\n", "user")]
)
def test_ids_too_sparse_for_a_table_are_refused(tmp_path: Path, train: str, kind: str) -> None:
    message = refusal(write(tmp_path, train=train))
    assert f"train.txt: {kind} id 2000000000 among 1 interactions" in message
    (tmp_path / "valid.txt").write_text("0 0\n")
    assert f"train.txt and valid.txt: {kind} id 2000000000" in refusal(tmp_path)


def test_ids_may_have_gaps_up_to_what_memory_has_room_for(tmp_path: Path) -> None:
    assert read(write(tmp_path, train="0 1 1000005\n", test="0 2\n")).items == 1_000_006
    message = refusal(write(tmp_path, train="0 1 1000008\n", test="0 2\n"))
    assert "item id 1000008 among 2 interactions" in message


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "train.txt: Permission denied" in refusal(tmp_path)


def test_the_digest_tells_different_interactions_apart(tmp_path: Path) -> None:
    first = digest(read(write(tmp_path)))
    assert first != digest(read(write(tmp_path, train=TRAIN.replace("4", "3"), test="0 0\n")))
    assert len(first) == 16


def test_gowalla_is_read_whole(data_folder: Path) -> None:
    found: Interactions = read(data_folder / "gowalla")
    assert (found.users, found.items) == (29_858, 40_981)
    assert (found.train_items.size, found.test_items.size) == (810_128, 217_242)
