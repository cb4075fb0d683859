from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from harness import side_cache
from harness.errors import AssayError


def quiet(line: str) -> None: ...


def make_marked(folder: Path) -> None:
    side_cache.remove(folder)
    folder.mkdir()
    side_cache.mark_complete(folder, "")


def held(folder: Path) -> int:
    return side_cache.hold(
        folder,
        complete=lambda: side_cache.is_complete(folder),
        make=lambda: make_marked(folder),
        say=quiet,
    )


def test_a_folder_is_made_once_and_then_reused(tmp_path: Path) -> None:
    os.close(held(tmp_path / "kind/one"))
    (tmp_path / "kind/one/mine").touch()
    os.close(held(tmp_path / "kind/one"))
    assert (tmp_path / "kind/one/mine").exists()


def test_a_folder_that_was_not_made_to_its_end_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/half").touch()
    os.close(held(tmp_path / "one"))
    assert side_cache.is_complete(tmp_path / "one")
    assert not (tmp_path / "one/half").exists()


def test_a_failed_making_holds_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise AssayError("no")

    with pytest.raises(AssayError, match="no"):
        side_cache.hold(tmp_path / "one", complete=lambda: False, make=fail, say=quiet)
    os.close(held(tmp_path / "one"))


def test_two_that_need_one_folder_make_it_once_and_the_second_says_that_it_waits(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "one"
    made: list[str] = []
    said = threading.Event()

    def make() -> None:
        made.append("made")
        assert said.wait(30)
        make_marked(folder)

    def prepare() -> None:
        descriptor = side_cache.hold(
            folder,
            complete=lambda: side_cache.is_complete(folder),
            make=make,
            say=lambda line: said.set(),
        )
        os.close(descriptor)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["made"]


def test_what_was_used_longest_ago_is_dropped_first(tmp_path: Path) -> None:
    for age, name in enumerate(["newest", "middle", "oldest"]):
        os.close(held(tmp_path / name))
        os.utime(tmp_path / f"{name}.lock", (1000 - age, 1000 - age))
    assert side_cache.drop_oldest(tmp_path, 1, side_cache.remove) == [
        tmp_path / "middle",
        tmp_path / "oldest",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest", "newest.lock"]


def test_being_used_makes_a_folder_the_newest(tmp_path: Path) -> None:
    for name in ("one", "other"):
        os.close(held(tmp_path / name))
        os.utime(tmp_path / f"{name}.lock", (1000, 1000))
    os.close(held(tmp_path / "one"))
    assert side_cache.drop_oldest(tmp_path, 1, side_cache.remove) == [tmp_path / "other"]


def test_what_another_process_holds_is_not_dropped(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from harness import side_cache\n"
        "folder = Path(sys.argv[1])\n"
        "side_cache.hold(folder, complete=folder.exists, make=folder.mkdir, say=print)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "one")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert side_cache.drop_oldest(tmp_path, 0, side_cache.remove) == []
        assert (tmp_path / "one").exists()
        process.kill()
    # The lock ends with its process.
    assert side_cache.drop_oldest(tmp_path, 0, side_cache.remove) == [tmp_path / "one"]


MAKES_WITH_A_CHILD = """
import subprocess, sys
from pathlib import Path
from harness import side_cache
def make():
    subprocess.Popen(["sleep", "600"], close_fds=False, stdin=subprocess.DEVNULL)
    print(flush=True)
    sys.stdin.read()
side_cache.hold(Path(sys.argv[1]), complete=lambda: False, make=make, say=print)
"""


def test_a_child_that_outlives_the_maker_keeps_others_out(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKES_WITH_A_CHILD, str(tmp_path / "one")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as maker:
        assert maker.stdout is not None
        maker.stdout.readline()
        (child,) = psutil.Process(maker.pid).children()
        maker.kill()
        maker.wait()
        assert side_cache.drop_oldest(tmp_path, 0, side_cache.remove) == []
        child.kill()
        maker.stdout.read()  # ends with the child, which had it too
    assert side_cache.drop_oldest(tmp_path, 0, side_cache.remove) == [tmp_path / "one"]


def test_a_lock_on_a_dropped_folder_is_not_taken_for_one_on_the_new(tmp_path: Path) -> None:
    # Whoever drops a folder holds the lock file that it removes; a waiter must not get that one.
    dropping = os.open(tmp_path / "one.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(dropping, fcntl.LOCK_EX)
    waits = threading.Event()
    found: list[int] = []

    def prepare() -> None:
        found.append(
            side_cache.hold(
                tmp_path / "one",
                complete=(tmp_path / "one").exists,
                make=(tmp_path / "one").mkdir,
                say=lambda line: waits.set(),
            )
        )

    thread = threading.Thread(target=prepare)
    thread.start()
    assert waits.wait(30)
    (tmp_path / "one.lock").unlink()
    os.close(dropping)
    thread.join()
    assert side_cache.drop_oldest(tmp_path, 0, side_cache.remove) == []
    os.close(found[0])


def test_the_cache_lies_where_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    assert side_cache.cache_folder() == tmp_path / "ab"
    monkeypatch.setenv("ASSAY_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert side_cache.cache_folder() == tmp_path / "user/assay/ab"


def test_a_cache_that_cannot_be_on_the_python_path_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", "/a:b")
    with pytest.raises(AssayError, match="set ASSAY_CACHE to another folder"):
        side_cache.cache_folder()
