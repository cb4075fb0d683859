"""Recorded process trees: who is counted, and with what."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.meters.process_tree import living, private_bytes, reset_peak

KB = 1024


def add_process(
    proc: Path,
    pid: int,
    *,
    parent: int,
    stack: int,
    name: str = "python",
    sizes_kb: dict[str, int] | None = None,
    children: tuple[int, ...] = (),
) -> Path:
    """Write what Linux 6.1 shows of a process, cut to the lines that matter."""
    folder = proc / str(pid)
    thread = folder / "task" / str(pid)
    thread.mkdir(parents=True)
    (folder / "stat").write_text(
        f"{pid} ({name}) S {parent} {pid} 1 0 -1 4194304 900 0 0 0 5 1 0 0 20 0 1 0 {pid * 10} "
        f"14700544 2871 18446744073709551615 4194304 4195117 {stack} 0 0 0 0 16781312 2 0 0 0 17 "
        "1 0 0 0 0 0 6293632 6294220 7000000 1 2 3 4 0\n"
    )
    lines = [f"Name:\t{name}", f"Pid:\t{pid}"]
    lines += [f"{key}:\t{value:>8} kB" for key, value in (sizes_kb or {}).items()]
    (folder / "status").write_text("\n".join(lines) + "\nThreads:\t1\n")
    (folder / "clear_refs").write_text("")
    (thread / "children").write_text("".join(f"{child} " for child in children))
    return folder


def sizes(resident: int, peak: int, swap: int = 0) -> dict[str, int]:
    return {"VmHWM": peak, "VmRSS": resident, "VmSwap": swap}


def family(tmp_path: Path) -> Path:
    """A worker 100 with an exec'd child 200, that one's fork 300, and a zombie 400."""
    proc = tmp_path / "proc"
    add_process(
        proc, 100, parent=1, stack=7001, sizes_kb=sizes(500, 900), children=(200, 400)
    ).rename(proc / "self")
    shutil.copytree(proc / "self", proc / "100")
    add_process(
        proc,
        200,
        parent=100,
        stack=7002,
        name="sh (1) x",
        sizes_kb=sizes(50, 80, 5),
        children=(300,),
    )
    add_process(proc, 300, parent=200, stack=7002, sizes_kb=sizes(40, 60))
    add_process(proc, 400, parent=100, stack=0)
    add_process(proc, 500, parent=1, stack=7009, sizes_kb=sizes(10_000, 10_000))
    return proc


def test_a_process_and_all_its_descendants_are_found_and_no_stranger(tmp_path: Path) -> None:
    found = {process.pid: process for process in living(family(tmp_path))}
    assert sorted(found) == [100, 200, 300]
    assert found[100].resident_bytes == 500 * KB
    assert found[100].peak_bytes == 900 * KB
    assert found[200].swapped_bytes == 5 * KB
    assert found[300].started == 3000


def test_a_child_that_still_runs_its_parents_image_is_a_fork(tmp_path: Path) -> None:
    forked = {process.pid: process.forked for process in living(family(tmp_path))}
    assert forked == {100: False, 200: False, 300: True}


def test_a_kernel_that_lists_no_children_is_searched_by_parent(tmp_path: Path) -> None:
    proc = family(tmp_path)
    for listing in proc.glob("*/task/*/children"):
        listing.unlink()
    assert sorted(process.pid for process in living(proc)) == [100, 200, 300]


def test_a_child_that_ends_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    proc = family(tmp_path)
    shutil.rmtree(proc / "200")
    assert [process.pid for process in living(proc)] == [100]


def test_without_procfs_nothing_lives(tmp_path: Path) -> None:
    assert living(tmp_path / "proc") == []


def test_private_bytes_are_the_clean_and_the_dirty_ones(tmp_path: Path) -> None:
    proc = family(tmp_path)
    (proc / "300" / "smaps_rollup").write_text(
        "00400000-7ffd9000 ---p 00000000 00:00 0    [rollup]\nRss:   40 kB\nPss:   12 kB\n"
        "Shared_Clean:  20 kB\nShared_Dirty:  10 kB\nPrivate_Clean:  3 kB\nPrivate_Dirty:  7 kB\n"
    )
    assert private_bytes(proc, 300) == 10 * KB
    assert private_bytes(proc, 200) is None


def test_a_reset_writes_the_kernels_code_for_high_water_marks(tmp_path: Path) -> None:
    proc = family(tmp_path)
    reset_peak(proc, 200)
    assert (proc / "200" / "clear_refs").read_text() == "5"
