from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment import environment_name, host_environment, source_digest
from harness.errors import AssayError

RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "digested_package"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "inner/kernel.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_record_is_plain_json_and_complete(tmp_path: Path) -> None:
    found = host_environment(tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {
        "machine", "cpu", "memory_bytes", "kernel", "hypervisor", "firmware", "python", "packages",
        "commit", "commit_reason", "commit_time", "dirty", "dirty_files", "source_digest", "id",
    }  # fmt: skip
    assert set(found["cpu"]) == {
        "model", "vendor", "architecture", "features", "logical_cpus", "physical_cores",
        "governor", "max_hz", "core_names", "caches",
    }  # fmt: skip
    assert set(found["packages"]) == {"torch", "numba", "numpy", "scipy", "asv", "h5py", "assay"}
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert re.fullmatch(r"[0-9a-f]{12}", found["id"])
    assert re.fullmatch(r"[0-9a-f]{64}", found["source_digest"])


def test_a_folder_without_a_commit_carries_the_reason(tmp_path: Path) -> None:
    found = host_environment(tmp_path)
    assert (found["commit"], found["commit_time"], found["dirty"]) == (None, None, False)
    assert found["commit_reason"]


def test_only_the_first_ten_changed_files_are_listed(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@example.org",
           "-c", "commit.gpgsign=false"]  # fmt: skip
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    assert host_environment(tmp_path)["dirty"] is False
    for number in range(12):
        (tmp_path / f"new{number:02}.py").write_text("")
    found = host_environment(tmp_path)
    assert found["dirty"] is True
    assert found["dirty_files"] == [f"new{number:02}.py" for number in range(10)]


def test_the_machine_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_MACHINE", "rack-7")
    assert host_environment(tmp_path)["machine"] == "rack-7"


def test_the_id_changes_with_the_firmware(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(RECORDED / "xeon-8480", root)
    first = host_environment(tmp_path, root)
    (root / "sys/class/dmi/id").mkdir(parents=True, exist_ok=True)
    (root / "sys/class/dmi/id/bios_version").write_text("2.20.0\n")
    second = host_environment(tmp_path, root)
    assert second["firmware"]["bios"] == "2.20.0"
    assert first["id"] != second["id"]


def test_the_id_ignores_name_and_commit_and_small_changes_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    shutil.copytree(RECORDED / "graviton3", root)
    first = host_environment(tmp_path, root)
    monkeypatch.setenv("ASSAY_MACHINE", "another")
    text = (root / "proc/meminfo").read_text().replace("3922284", "3922280")
    (root / "proc/meminfo").write_text(text)
    second = host_environment(Path(__file__).parent, root)
    assert first["memory_bytes"] != second["memory_bytes"]
    assert first["id"] == second["id"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("proc/cpuinfo", "0xd40", "0xd4f"),
        ("proc/cpuinfo", " bf16", ""),
        ("proc/cpuinfo", "processor\t: 1", "other\t: 1"),
        ("proc/meminfo", "3922284", "7922284"),
        ("proc/sys/kernel/osrelease", "6.1", "6.2"),
        ("sys/class/dmi/id/sys_vendor", "Amazon EC2", "QEMU"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "performance"),
    ],
)
def test_the_id_changes_with_what_changes_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    root = tmp_path / "root"
    shutil.copytree(RECORDED / "graviton3", root)
    for name, text in (
        ("proc/sys/kernel/osrelease", "6.1.0-13-arm64\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    before = host_environment(tmp_path, root)["id"]
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))
    assert host_environment(tmp_path, root)["id"] != before


def test_collecting_loads_no_library() -> None:
    script = (
        "import sys; from pathlib import Path; from harness.environment import *; "
        "host_environment(Path('.')); runtime_environment(); "
        "print(sorted({'torch', 'numba', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_digest_sees_bytes_names_and_new_files_but_imports_nothing(package: Path) -> None:
    digests = [source_digest(["digested_package"])]
    (package / "inner/kernel.py").write_text("x = 2\n")
    digests.append(source_digest(["digested_package"]))
    (package / "inner/kernel.py").rename(package / "inner/renamed.py")
    digests.append(source_digest(["digested_package"]))
    (package / "inner/empty.py").write_text("")
    digests.append(source_digest(["digested_package"]))
    assert len(set(digests)) == 4
    assert "digested_package" not in sys.modules


def test_the_digest_ignores_order_place_and_other_files(package: Path) -> None:
    before = source_digest(["digested_package", "harness"])
    (package / "notes.txt").write_text("no source")
    assert source_digest(["harness", "digested_package", "harness"]) == before


def test_a_module_without_a_package_is_digested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "digested_module.py").write_text("x = 1\n")
    before = source_digest(["digested_module"])
    (tmp_path / "digested_module.py").write_text("x = 2\n")
    assert source_digest(["digested_module"]) != before


@pytest.mark.parametrize("name", ["no_such_package", "no_such.inner", "sys"])
def test_a_module_without_source_is_refused(name: str) -> None:
    with pytest.raises(AssayError, match=f"module '{name}' has no source"):
        source_digest([name])


def test_the_name_is_fit_for_a_file() -> None:
    packages = {"torch": "2.13.0+cpu", "numba": "0.68.1", "numpy": "2.4.6", "scipy": "1.17.1"}
    facts = {"python": "3.11.7", "packages": packages}
    assert environment_name(facts) == "py3.11-numpy2.4.6-numba0.68.1-torch2.13.0_cpu"
    facts = {"python": "3.14.0rc1", "packages": {"numpy": "2.4.6", "torch": None}}
    assert environment_name(facts) == "py3.14-numpy2.4.6"
