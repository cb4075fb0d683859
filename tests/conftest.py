"""What all tests share: real data, the fakes as an installed plug-in, and the `assay` command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from harness.registry import Registry

FAKES = Registry(
    backends={"fake": "harness.testing:FAKE_BACKEND"},
    workloads={"fake": "harness.testing:FAKE_WORKLOAD"},
)

# A shared machine may hold any example up for longer than hypothesis lets it.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fakes() -> Registry:
    """A registry of the fake backend and the fake workload."""
    return FAKES


@pytest.fixture
def data_folder() -> Path:
    """The folder of real inputs; where none is named the test is skipped."""
    given = os.environ.get("ASSAY_DATA")
    if not given:
        pytest.skip("needs real inputs: set ASSAY_DATA to their folder (CONTRIBUTING.md)")
    return Path(given)


@pytest.fixture
def plugin_folder(tmp_path: Path) -> Path:
    """A folder that, on PYTHONPATH, registers the fakes as a third party's package would."""
    info = tmp_path / "plugins" / "fake_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[assay.backends]\nfake = harness.testing:FAKE_BACKEND\n"
        "[assay.workloads]\nfake = harness.testing:FAKE_WORKLOAD\n"
    )
    return info.parent


@pytest.fixture
def assay_program() -> str:
    """The `assay` command of this environment."""
    return str(Path(sys.executable).with_name("assay"))


@pytest.fixture
def assay(tmp_path: Path, plugin_folder: Path, assay_program: str) -> Assay:
    """Run the `assay` command in `tmp_path`, with the fakes registered beside our own."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [assay_program, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(plugin_folder), **env},
            timeout=120,
        )

    return run
