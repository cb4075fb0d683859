"""Tables of one interaction a line: CSV in its many forms, and RecBole's `.inter`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import AssayError
from workloads.heat import line_blocks, table_format, table_layout
from workloads.heat.interactions import Interactions, digest, read

LINES = [(user, item, 3, 1000 + user + 7 * item) for user in range(6) for item in range(10)]


def table(delimiter: str = ",", end: str = "\n", header: str = "") -> str:
    rows = [delimiter.join(map(str, line)) for line in LINES]
    return end.join(([header] if header else []) + rows) + end


def write(folder: Path, text: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(AssayError) as raised:
        read(path)
    message = str(raised.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def rows_of(pointers: np.ndarray, items: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(items, pointers[1:-1])]


def test_the_newest_fifth_of_each_users_items_is_for_test(tmp_path: Path) -> None:
    found = read(write(tmp_path, table() + "6,0,1,5000\n6,1,1,1\n6,2,1,2\n6,3,1,3\n6,4,1,4\n"))
    assert (found.users, found.items) == (7, 10)
    # Items 8 and 9 have no interaction but those, so that they stay in training.
    assert rows_of(found.test_ptr, found.test_items) == [[], [], [], [], [], [], [0]]
    assert rows_of(found.train_ptr, found.train_items)[6] == [1, 2, 3, 4]


def test_an_item_whose_every_interaction_would_be_for_test_stays_in_training(
    tmp_path: Path,
) -> None:
    assert "no user has 5 items of which one can be for test" in refusal(
        write(tmp_path, "".join(f"1,{item},5,{item}\n" for item in range(5)))
    )
    lines = "".join(f"0,{item},5,{item}\n1,{item},5,{-item}\n" for item in range(5))
    found = read(write(tmp_path, lines + "0,9,5,99\n"))
    assert rows_of(found.test_ptr, found.test_items) == [[], [0]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "::", ", ", " ; "])
def test_delimiters_and_line_ends_of_any_kind_are_read(
    tmp_path: Path, delimiter: str, end: str
) -> None:
    whole = read(write(tmp_path, more(table())))
    text = more(table()).replace(",", delimiter).replace("\n", end)
    assert digest(read(write(tmp_path, text, "other.dat"))) == digest(whole)


@pytest.mark.parametrize(
    "header",
    [
        "user,item,rating,timestamp",
        "userId,movieId,rating,timestamp",
        '"User_ID","ISBN","Book-Rating","time"',
        "\ufeffuser_id:token,item_id:token,x,timestamp:float",
    ],
)
def test_a_header_names_the_columns(tmp_path: Path, header: str) -> None:
    whole = digest(read(write(tmp_path, more(table()))))
    assert digest(read(write(tmp_path, f"{header}\n{more(table())}"))) == whole


def test_columns_may_come_in_any_order_beside_others(tmp_path: Path) -> None:
    whole = digest(read(write(tmp_path, more(table()))))
    lines = [line.split(",") for line in more(table()).splitlines()]
    text = "".join(f"x y\t{t}\t\t{i}\t{u}\n" for u, i, _, t in lines)
    header = "title:token_seq\ttimestamp:float\tempty:float\titem_id:token\tuser_id:token\n"
    assert digest(read(write(tmp_path, header + text, "a.inter"))) == whole


def test_users_and_items_may_be_text(tmp_path: Path) -> None:
    text = "".join(
        f"ann\u00e9{u},B0{i:02},5,{(i + 3 * u) % 10}\n" for u in range(5) for i in range(10)
    )
    found = read(write(tmp_path, text))
    assert (found.users, found.items) == (5, 10)
    assert np.diff(found.test_ptr).tolist() == [2] * 5
    assert rows_of(found.test_ptr, found.test_items)[0] == [8, 9]


def test_quoted_fields_may_hold_the_delimiter_and_the_mark(tmp_path: Path) -> None:
    plain = "".join(f"u{u},item{i},5,{(i + 3 * u) % 10}\n" for u in range(5) for i in range(10))
    quoted = plain.replace("item9", '"item9,"""').replace("u1,", '"u1",')
    assert digest(read(write(tmp_path, quoted))) == digest(read(write(tmp_path, plain)))


def test_a_delimiter_in_some_titles_is_not_that_of_the_table(tmp_path: Path) -> None:
    lines = [f"{line},film {at}" for at, line in enumerate(more(table()).splitlines())]
    header = "user,item,rating,timestamp,title; or name::alias\n"
    whole = digest(read(write(tmp_path, more(table()))))
    lines[3] += "::the sequel; again"
    assert digest(read(write(tmp_path, header + "\n".join(lines)))) == whole


def test_a_delimiter_in_the_first_title_is_not_that_of_a_table_without_header(
    tmp_path: Path,
) -> None:
    plain = "".join(f"{i}::{i},{u}\n{i}a,{u}\n" for i in range(2) for u in range(10))
    assert read(write(tmp_path, plain)).users == 4


def test_ids_that_look_like_names_of_columns_with_a_digit_are_ids(tmp_path: Path) -> None:
    text = "".join(f"user{u},item{i}\n" for u in range(3) for i in range(6))
    found = read(write(tmp_path, text))
    assert found.train_items.size + found.test_items.size == 18


def test_a_file_that_was_cut_within_its_last_line_end_is_read(tmp_path: Path) -> None:
    whole = more(table(end="\r\n")).replace("\r\n", "\n").replace("\n", "\r\n")
    cut = write(tmp_path, whole.removesuffix("\n"), "cut.csv")
    assert digest(read(cut)) == digest(read(write(tmp_path, whole)))


def test_ids_of_thousands_of_digits_are_ordered_as_numbers(tmp_path: Path) -> None:
    names = ["3", "07", "7", "20", "0", "00", "9" * 5_000, "1" + "0" * 5_000]
    header = "user_id:token\titem_id:token\n"
    text = "".join(f"{user}\t{item}\n" for item in names for user in (1, 2))
    write(tmp_path, header + text, "train.inter")
    write(tmp_path, header + f"1\t{names[-1]}\n2\t{names[1]}\n", "test.inter")
    found = read(tmp_path)
    assert rows_of(found.test_ptr, found.test_items) == [[7], [3]]


def test_ids_are_ordered_as_numbers_with_gaps_closed(tmp_path: Path) -> None:
    found = read(
        write(
            tmp_path,
            "".join(f"9,{item},1,{item}\n10,{item},1,{-item}\n" for item in (2, 30, 4, 100, 1000)),
        )
    )
    assert (found.users, found.items) == (2, 5)
    assert rows_of(found.test_ptr, found.test_items) == [[4], [0]]


def test_ids_of_an_inter_file_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    lines = [f"{u}\t{i}\n" for u in ("-1", "99999999999", "'") for i in ("0", "00", '"', "-7", "x")]
    found = read(write(tmp_path, "user_id:token\titem_id:token\n" + "".join(lines), "a.inter"))
    assert (found.users, found.items) == (3, 5)


def test_a_repeated_event_counts_at_the_time_of_the_first(tmp_path: Path) -> None:
    lines = "".join(f"{u},{i},1,{100 + (i + u) % 5}\n" for u in range(3) for i in range(5))
    once = read(write(tmp_path, lines + "0,9,1,1\n1,9,1,2\n"))
    again = read(write(tmp_path, "0,9,1,900\n" + lines + "0,9,1,1\n1,9,1,2\n0,1,5,800\n"))
    assert digest(again) == digest(once)


def test_a_repeated_pair_without_timestamps_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "1,2\n1,3\n2,2\n1,2\n1,3\n"))
    assert "ratings.csv: line 4 repeats the pair of an earlier line (2 repeated pairs" in message


def test_a_folder_may_hold_the_parts_as_tables(tmp_path: Path) -> None:
    write(tmp_path, "user,item\n7,1\n7,2\n8,3\n", "train.csv")
    write(tmp_path, "item;user\n1;8\n", "valid.tsv")
    write(tmp_path, "user_id:token\titem_id:token\n8\t2\n", "my.test.inter")
    found = read(tmp_path)
    assert rows_of(found.train_ptr, found.train_items) == [[0, 1], [0, 2]]
    assert rows_of(found.test_ptr, found.test_items) == [[], [1]]


@pytest.mark.parametrize(("line", "what"), [("9,1", "user 9"), ("7,99", "item 99")])
def test_a_test_user_or_item_that_training_does_not_know_is_named(
    tmp_path: Path, line: str, what: str
) -> None:
    write(tmp_path, "user,item\n7,1\n7,2\n8,3\n", "train.csv")
    write(tmp_path, f"8,2\n\n{line}\n", "test.csv")
    assert f"test.csv: line 3: {what} is not in training" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["ratings.dat", "interactions.csv", "ml-100k.inter"])
def test_a_folder_may_hold_one_file_without_a_split(tmp_path: Path, name: str) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    inter = name.endswith(".inter")
    text = header + more(table("\t")).replace(",", "\t") if inter else more(table())
    path = write(tmp_path, text, name)
    (tmp_path / "README.txt").write_text("about it")
    assert digest(read(tmp_path)) == digest(read(path))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("3,1", "line 51 has 2 fields, line 1 has 4"),
        ("3,1,2,3,4", "line 51 has 5 fields, line 1 has 4"),
        ("3;1;2;3", "line 51 has 1 fields"),
        (",1,2,3", "line 51 has no user"),
        ("3,,2,3", "line 51 has no item"),
        ("3, ,2,3", "line 51 has no item"),
        ("3,1,2,", "line 51: timestamp '' is not a number"),
        ("3,1,2,2012-01-01", "line 51: timestamp '2012-01-01' is not a number"),
        ("3,1,2,nan", "line 51: timestamp 'nan' is not a number"),
        ("3,-1,2,3", "line 51: item id -1 is negative"),
        ("-3,1,2,3", "line 51: user id -3 is negative"),
        ("3,2147483648,2,3", "line 51: item id 2147483648 is beyond 2147483647"),
        ("123456789012345678901234,1,2,3", "line 51: user id 123456789012345678901234 is beyond"),
        ("3,1\x00,2,3", "line 51 is not text"),
        ("3,1\x1b[31m,2,3", "line 51 is not text"),
        ('3,"1,2,3', "line 51 has a quotation mark"),
        ('3,"1"2,2,3', "line 51 has a quotation mark"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    start, rest = table().splitlines()[:50], table().splitlines()[50:]
    text = "\n".join([*start, line, *rest, "5,100,5,7"])
    assert complaint in refusal(write(tmp_path, text))


def test_bytes_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    assert "line 2 is not text" in refusal(write(tmp_path, b"1,2\n\xff\xfe,3\n"))


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ("", "a.csv", "line 1 has one field"),
        ("1 2 3\n", "a.csv", "line 1 has one field"),
        ("user,item\n", "a.csv", "holds no interaction"),
        ("a,b,c,d,e\n", "a.csv", "line 1 has 5 columns and does not say which are user and item"),
        ("who,what\n1,2\n", "a.csv", "line 1, 'who,what', looks like a header"),
        ("userId,trackId\nu0,t0\n", "a.csv", "line 1, 'userId,trackId', looks like a header"),
        ("who;item\nu0;t0\n", "a.csv", "line 1, 'who;item', looks like a header"),
        ("user,a,b,c,d\n", "a.csv", "line 1, 'user,a,b,c,d', looks like a header"),
        ('"1,2"\n', "a.csv", "line 1 has one field"),
        ("1\r2,3\n", "a.csv", "line 1 has a carriage return in it"),
        (f"1,2,{'x' * 140_000}\n", "a.csv", "line 1 has a field of more than 131072 characters"),
        (f'1,2,3\n1,3,"{"x" * 140_000}"\n', "a.csv", "line 2 has a field of more than 131072"),
        ("user,item\n1,2\n", "a.inter", "line 1 names no column user_id:token"),
        ("user_id:token\titem\n1\t2\n", "a.inter", "line 1 names no column item_id:token"),
        ("user_id:token\titem_id:token\n", "a.inter", "holds no interaction"),
    ],
)
def test_first_lines_that_are_not_of_a_table_are_refused(
    tmp_path: Path, text: str, name: str, complaint: str
) -> None:
    assert complaint in refusal(write(tmp_path, text, name))


def test_an_endless_line_is_given_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (table_layout, table_format):
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(line_blocks, "_BLOCK_BYTES", 100)
    assert "line 3 is longer than 1000 bytes" in refusal(
        write(tmp_path, "1,2\n1,3\n" + "4," * 9999)
    )


def test_more_names_than_memory_has_room_for_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_format, "MAX_NAMES", 9)
    assert "has more than 9 items" in refusal(write(tmp_path, table()))


identifiers = st.one_of(
    st.integers(0, 2**31 - 1).map(str),
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='",-'), min_size=1),
)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(identifiers, identifiers), min_size=1, max_size=40, unique=True),
    block_bytes=st.integers(1, 60),
)
def test_what_is_written_is_read_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], block_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    write(folder, "user,item\n" + "".join(f"{u},{i}\n" for u, i in pairs), "train.csv")
    write(folder, "user,item\n" + ",".join(pairs[0]) + "\n", "test.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "_BLOCK_BYTES", block_bytes)
        found = read(folder)
    assert linked(found) == expected_links(pairs)


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=60), name=st.sampled_from(["a.csv", "a.inter"]))
def test_junk_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, name: str
) -> None:
    header = b"user_id:token\titem_id:token\n" if name == "a.inter" else b"1,2\n"
    path = write(tmp_path_factory.mktemp("data"), header + junk, name)
    try:
        read(path)
    except AssayError as error:
        assert str(error).isprintable()  # noqa: PT017


def more(text: str) -> str:
    """Let every item be met by users who do not have it among their newest."""
    return text + "".join(f"9,{item},1,{-item}\n" for item in range(10))


def linked(found: Interactions) -> list[tuple[int, int]]:
    return list(zip(found.train_users().tolist(), found.train_items.tolist(), strict=True))


def expected_links(pairs: list[tuple[str, str]]) -> list[tuple[int, int]]:
    users, items = (
        {name: at for at, name in enumerate(in_order(column))}
        for column in zip(*pairs, strict=True)
    )
    return sorted((users[user], items[item]) for user, item in pairs)


def in_order(names: tuple[str, ...]) -> list[str]:
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(set(names), key=lambda name: (int(name), name))
    return sorted(set(names), key=str.encode)
