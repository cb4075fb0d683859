from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.errors import AssayError
from harness.side_cache import WORKTREES, drop_oldest
from harness.side_worktrees import hold_worktree, remove_worktree, resolve_commit


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *settings, *arguments],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", ".")
    (folder / "module.py").write_text("x = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def worktree(checkout: Path, commit: str, slot: int = 0) -> Path:
    cache = checkout.parent / "cache"
    folder, lock = hold_worktree(checkout, commit, slot, cache, lambda line: None)
    os.close(lock)
    return folder


def listed(checkout: Path) -> list[str]:
    lines = git(checkout, "worktree", "list", "--porcelain").splitlines()
    return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")]


def test_a_branch_a_tag_and_some_digits_name_the_commit(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "tag", "-a", "v1", "-m", "one")
    git(checkout, "branch", "other")
    assert {resolve_commit(checkout, one) for one in ("HEAD", "v1", "other", commit[:8])} == {
        commit
    }


@pytest.mark.parametrize("revision", ["nosuch", "HEAD~5", "0" * 40, "HEAD..HEAD", "HEAD:module.py"])
def test_an_unknown_commit_is_one_line_with_the_fix(checkout: Path, revision: str) -> None:
    with pytest.raises(
        AssayError, match="check the spelling, or get it with `git fetch`"
    ) as caught:
        resolve_commit(checkout, revision)
    assert repr(revision) in str(caught.value)


def test_a_shallow_clone_says_how_to_get_the_rest(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth=1", checkout.as_uri(), "shallow")
    with pytest.raises(AssayError, match="git fetch --unshallow"):
        resolve_commit(tmp_path / "shallow", "HEAD~1")


@pytest.mark.parametrize("revision", ["", "--all", "-h", "^HEAD", "HEAD\0", "HEAD\n"])
def test_what_git_would_take_for_an_option_is_no_revision(checkout: Path, revision: str) -> None:
    with pytest.raises(AssayError, match="is no revision"):
        resolve_commit(checkout, revision)


def test_a_folder_outside_any_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="is in no git checkout"):
        resolve_commit(tmp_path, "HEAD")


def test_nothing_of_the_users_checkout_changes(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "module.py").write_text("x = 2\n")
    git(checkout, "stash")
    (checkout / "module.py").write_text("x = 3\n")
    git(checkout, "add", ".")
    (checkout / "module.py").write_text("x = 4\n")
    (checkout / "new.txt").touch()
    before = [git(checkout, "status", "--porcelain"), git(checkout, "stash", "list")]
    index = (checkout / ".git/index").read_bytes()
    assert (worktree(checkout, first) / "module.py").read_text() == "x = 1\n"
    assert (checkout / ".git/index").read_bytes() == index
    assert [git(checkout, "status", "--porcelain"), git(checkout, "stash", "list")] == before
    assert (checkout / "module.py").read_text() == "x = 4\n"


def test_hooks_do_not_run(checkout: Path, tmp_path: Path) -> None:
    hook = checkout / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    folder = worktree(checkout, git(checkout, "rev-parse", "HEAD"))
    assert not (tmp_path / "ran").exists()
    git(checkout, "worktree", "add", "--detach", str(tmp_path / "other"))
    assert (tmp_path / "ran").exists(), "the hook would have run"
    assert folder.exists()


def test_a_clean_worktree_is_reused_and_a_changed_one_made_again(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    folder = worktree(checkout, commit)
    inode = folder.stat().st_ino
    assert worktree(checkout, commit) == folder
    assert folder.stat().st_ino == inode
    (folder / "module.py").write_text("x = 5\n")
    (folder / "new.py").touch()
    assert worktree(checkout, commit) == folder
    assert (folder / "module.py").read_text() == "x = 1\n"
    assert not (folder / "new.py").exists()


def test_a_half_made_worktree_is_made_again(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    folder = worktree(checkout, commit)
    # What a kill in the middle of `git worktree add` leaves: a lock, and files missing.
    git(checkout, "worktree", "lock", "--reason", "initializing", str(folder))
    (folder / "module.py").unlink()
    assert (worktree(checkout, commit) / "module.py").exists()


def test_a_deleted_cache_is_taken_off_gits_list_and_the_users_worktrees_are_not(
    checkout: Path, tmp_path: Path
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    old = worktree(checkout, commit, slot=1)
    unmounted = tmp_path / "unmounted"
    git(checkout, "worktree", "add", "--detach", str(unmounted))
    shutil.rmtree(unmounted)
    shutil.rmtree(tmp_path / "cache")
    new = worktree(checkout, commit)
    assert sorted(listed(checkout)) == sorted(map(str, (checkout, unmounted, new)))
    assert not old.exists()


def test_a_dropped_worktree_leaves_gits_list(checkout: Path, tmp_path: Path) -> None:
    folder = worktree(checkout, git(checkout, "rev-parse", "HEAD"))
    assert drop_oldest(tmp_path / "cache" / WORKTREES, 0, remove_worktree) == [folder]
    assert not folder.exists()
    assert listed(checkout) == [str(checkout)]


def test_a_worktree_whose_repository_is_gone_can_still_be_dropped(
    checkout: Path, tmp_path: Path
) -> None:
    folder = worktree(checkout, git(checkout, "rev-parse", "HEAD"))
    shutil.rmtree(checkout)
    assert drop_oldest(tmp_path / "cache" / WORKTREES, 0, remove_worktree) == [folder]
    assert not folder.exists()


def test_a_commit_that_no_checkout_can_show_as_it_is_is_refused(checkout: Path) -> None:
    (checkout / "module.py").write_bytes(b"x = 1\r\n")
    git(checkout, "-c", "core.autocrlf=false", "commit", "-q", "-a", "-m", "CRLF in git")
    (checkout / ".gitattributes").write_text("*.py text eol=crlf\n")
    git(checkout, "add", ".gitattributes")
    git(checkout, "commit", "-q", "-m", "attributes")
    with pytest.raises(AssayError, match="differs from itself when checked out"):
        worktree(checkout, git(checkout, "rev-parse", "HEAD"))
