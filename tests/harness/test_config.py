"""assay.toml is read strictly: what it cannot mean is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import config
from harness.errors import AssayError


def written(folder: Path, text: str) -> Path:
    path = folder / "assay.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load() == config.Config()


def test_results_are_relative_to_the_file_and_suites_are_parsed(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        results = "kept"
        [suites.nightly]
        workloads = ["heat", "msrep"]
        size = "small"
        budget = "2h"
        memory_limit = "8G"
        precision = "1%"
        params = {partitions = [1, 2], mode = "warm", exact = true}
        """,
    )
    loaded = config.load(path)
    assert loaded.results == tmp_path / "kept"
    assert loaded.suite("nightly") == {
        "workloads": ["heat", "msrep"],
        "size": "small",
        "budget": 7200.0,
        "memory_limit": 8 << 30,
        "precision": 0.01,
        "params": {"partitions": [1, 2], "mode": "warm", "exact": True},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("result = 'x'", "unknown key in .*: 'result'; did you mean results?"),
        ("[suites.n]\nworkload = ['heat']", "suite n: 'workload'; did you mean workloads"),
        ("[suites.n]\nsize = 3", "suite n: size must be a text in quotes, not 3"),
        ("[suites.n]\nthreads = true", "threads must be a whole number, not True"),
        ("[suites.n]\nbudget = 'soon'", "'soon' is not a duration"),
        ("suites = 3", "suites must be a table"),
        ("results = 3", "results must be a text"),
        ("results = ", "is not valid TOML"),
        ('results = "a\\u0000b"', "results must be a text"),
        ("[suites.n]\nworkloads = [1]", r"workloads must be a list of words, not \[1\]"),
        ("[suites.n]\nvariants = [{}]", r"variants must be a list of words, not \[{}\]"),
        ("[suites.n]\nthreads = 0", "threads must be from 1 to 9223372036854775807, not 0"),
        ("[suites.n]\nseed = -1", "seed must be from 0 to 9223372036854775807, not -1"),
        ("[suites.n]\nseed = 9223372036854775808", "seed must be from 0"),
        ("[suites.n]\nparams = {a = {b = 1}}", "params.a must be a text, a number"),
        ("[suites.n]\nparams = {a = [[1]]}", r"params.a must be .*, not \[\[1\]\]"),
        ("[suites.n]\nparams = {a = 2026-01-01}", "params.a must be a text, a number"),
        ("[suites.n]\nparams = {a = []}", r"params.a must be .* list of these, not \[\]"),
        (f"suites = {'[' * 5000}", "assay.toml nests too deeply"),
        (f"suites = {'9' * 5000}", "is not valid TOML"),
        (f"#{'x' * (1 << 20)}", "assay.toml is over 1 MiB"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AssayError, match=message):
        config.load(written(tmp_path, text))


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"cannot read .*missing.toml: No such file"):
        config.load(tmp_path / "missing.toml")


def test_a_folder_in_place_of_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assay.toml").mkdir()
    with pytest.raises(AssayError, match=r"cannot read assay.toml: Is a directory"):
        config.load()


def test_an_unknown_suite_is_named_with_its_nearest(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path, "[suites.nightly]\n"))
    with pytest.raises(AssayError, match="unknown suite 'nightli'; did you mean nightly"):
        loaded.suite("nightli")
