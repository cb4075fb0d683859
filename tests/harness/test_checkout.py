from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.checkout import read_checkout


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_COMMITTER_DATE": "1700000000 +0000"}
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
    (folder / "package").mkdir(parents=True)
    git(folder, "init", "-q", ".")
    (folder / "package/module.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("build/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_checkout_has_its_commit_and_date(checkout: Path) -> None:
    found = read_checkout(checkout)
    assert found.commit == git(checkout, "rev-parse", "HEAD")
    assert (found.reason, found.time_s, found.changed) == ("", 1700000000, ())


def test_a_changed_file_is_told_from_any_folder(checkout: Path) -> None:
    (checkout / "package/module.py").write_text("x = 2\n")
    assert read_checkout(checkout).changed == ("package/module.py",)
    assert read_checkout(checkout / "package").changed == ("package/module.py",)


def test_staged_removed_and_renamed_files_are_changes(checkout: Path) -> None:
    git(checkout, "mv", "package/module.py", "package/other name.py")
    assert read_checkout(checkout).changed == ("package/module.py", "package/other name.py")


def test_a_new_python_file_is_a_change_wherever_it_lies(checkout: Path) -> None:
    (checkout / "new.py").write_text("")
    assert read_checkout(checkout / "package").changed == ("new.py",)


def test_new_files_that_are_no_source_or_ignored_are_no_change(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("")
    (checkout / "build").mkdir()
    (checkout / "build/generated.py").write_text("")
    assert read_checkout(checkout).changed == ()


def test_a_name_that_is_no_text_is_told_in_printable_form(checkout: Path) -> None:
    (checkout / os.fsdecode(b"\xff.py")).write_text("")
    (name,) = read_checkout(checkout).changed
    name.encode("utf-8")


def test_a_folder_outside_any_checkout_says_so(tmp_path: Path) -> None:
    found = read_checkout(tmp_path)
    assert found.commit is None
    assert "not in a git checkout" in found.reason


def test_a_checkout_without_commits_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", ".")
    found = read_checkout(tmp_path)
    assert found.commit is None
    assert "no commit yet" in found.reason


def test_a_machine_without_git_says_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    found = read_checkout(checkout)
    assert found.commit is None
    assert "git is not installed" in found.reason


def test_the_repository_of_a_surrounding_git_is_not_mistaken_for_ours(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", ".")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert read_checkout(checkout).commit == git(checkout, "rev-parse", "HEAD")


def test_a_program_that_the_checkout_configures_is_not_run(checkout: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(program))
    git(checkout, "status")
    assert trace.exists(), "the test's own program must run under a plain git"
    trace.unlink()
    assert read_checkout(checkout).commit is not None
    assert not trace.exists()
