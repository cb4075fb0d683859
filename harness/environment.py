"""Collects what was true of the machine, the software and the commit when a number was taken."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import host
from harness.checkout import read_checkout
from harness.errors import AssayError
from harness.runtime import runtime_environment

__all__ = ["environment_name", "host_environment", "runtime_environment", "source_digest"]

MEASURING_PACKAGES = ("torch", "numba", "numpy", "scipy", "h5py")
"""What can run inside a worker, so that another version may give other numbers."""

DEVICE_VERSIONS = ("driver", "cuda_driver", "cuda_torch", "cudnn", "device_firmware")
"""What of a device's facts is software; the others (its name, its limits) are hardware."""

OWN_MODULES = ("harness", "backends", "workloads")
"""The packages whose sources decide what is measured, where no third party adds to them."""


def host_environment(
    directory: Path, root: Path = host.HOST, modules: Sequence[str] = OWN_MODULES
) -> dict[str, Any]:
    """Return facts about this machine, its packages and the checkout, as JSON values.

    Loads none of the packages: their versions come from their metadata.

    Args:
        directory: a folder in the checkout whose commit is recorded.
        root: the folder that holds `proc` and `sys`.
        modules: packages whose Python sources are digested.

    Raises:
        AssayError: one of the modules is not installed.
    """
    cpu = host.read_cpu(root)
    checkout = read_checkout(directory)
    facts: dict[str, Any] = {
        "machine": os.environ.get("ASSAY_MACHINE") or platform.node() or "unknown",
        "cpu": {
            "model": cpu.model,
            "vendor": cpu.vendor,
            "architecture": cpu.architecture,
            "features": sorted(cpu.features),
            "logical_cpus": cpu.logical_cpus,
            "physical_cores": cpu.physical_cores,
            "governor": cpu.governor,
            "max_hz": cpu.max_hz,
            "core_names": dict(cpu.core_names),
            "caches": dict(cpu.caches),
        },
        "memory_bytes": host.memory_bytes(root),
        "kernel": host.kernel(root),
        "hypervisor": cpu.hypervisor,
        "firmware": host.firmware(root),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*MEASURING_PACKAGES, *_OTHER_PACKAGES)},
        "commit": checkout.commit,
        "commit_reason": checkout.reason,
        "commit_time": checkout.time_s,
        "dirty": bool(checkout.changed),
        "dirty_files": list(checkout.changed[:_MAX_DIRTY_FILES]),
        "source_digest": source_digest(modules),
    }
    return {**facts, "id": _identity(facts)}


def environment_name(environment: Mapping[str, Any]) -> str:
    """Return a short name of the Python and package versions that is fit for a file name.

    It reads like "py3.11-numpy2.4.6-numba0.68.1-torch2.13.0_cpu": what is not installed is left
    out, settings other than the default are added, and any character but letters, digits, ".", "_"
    and "-" becomes "_".
    """
    python = ".".join(str(environment["python"]).split(".")[:2])
    packages = environment["packages"]
    named = [f"{name}{packages[name]}" for name in _NAMING_PACKAGES if packages.get(name)]
    return with_setting_names([f"py{python}", *named], environment.get("settings", {}))


def with_setting_names(words: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Return the words and the settings other than the default as one name, fit for a file."""
    named = [*words, *(_setting_name(*setting) for setting in settings.items())]
    return re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(named))


def with_settings(environment: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment with the settings that differ from the default, and an id of its own.

    Numbers taken with other threads, CPUs, memory limits or library variables are not comparable.

    Args:
        environment: what `host_environment` returned.
        settings: JSON values by name; None and empty ones are the default.
    """
    chosen = {name: value for name, value in settings.items() if value}
    if not chosen:
        return {**environment, "settings": {}}
    canonical = json.dumps([environment["id"], chosen], sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    return {**environment, "settings": chosen, "id": digest}


def source_digest(modules: Iterable[str]) -> str:
    """Return the SHA-256 in hexadecimal of the names and bytes of the modules' Python files.

    Args:
        modules: top-level packages or modules; none of them is imported.

    Raises:
        AssayError: one of them is not installed or has no source.
    """
    digest = hashlib.sha256()
    for module in sorted(set(modules)):
        for name, path in _sources(module):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise AssayError(f"cannot read {path}: {error.strerror}; repair it") from error
            # Lengths keep two files from being taken for one.
            digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
    return digest.hexdigest()


# Recorded without being part of what makes numbers comparable: asv only publishes them, and a new
# version of Assay is told by the commit and the digest of its sources.
_OTHER_PACKAGES = ("asv", "assay")
_NAMING_PACKAGES = ("numpy", "numba", "torch")

_MAX_DIRTY_FILES = 10

# MemTotal differs by some MiB from boot to boot with what the firmware and the kernel keep.
_MEMORY_STEP_BYTES = 1 << 30


def _setting_name(name: str, value: Any) -> str:
    if isinstance(value, (int, str)):
        return f"{name}{value}"
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return f"{name}{digest[:6]}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sources(module: str) -> list[tuple[str, Path]]:
    """Return the name, relative to where `module` lies, and the path of each of its files."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [
        (f"{module}/{path.relative_to(folder).as_posix()}", path)
        for folder in folders
        for path in Path(folder).rglob("*.py")
        if path.is_file()
    ]
    if spec and not folders and spec.origin and spec.origin.endswith(".py"):
        found = [(f"{module}.py", Path(spec.origin))]
    if spec and not found and spec.origin and Path(spec.origin).is_file():
        found = [(module, Path(spec.origin))]  # a compiled module
    if not found:
        raise AssayError(f"module {module!r} has no source here; install the package")
    return sorted(found)


def _identity(facts: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits, equal where numbers of the same sources are comparable."""
    cpu, memory = facts["cpu"], facts["memory_bytes"]
    canonical = json.dumps(
        [
            [cpu[key] for key in ("architecture", "model", "features", "logical_cpus", "governor")],
            None if memory is None else round(memory / _MEMORY_STEP_BYTES),
            [facts[key] for key in ("kernel", "hypervisor", "firmware", "python")],
            [facts["packages"][name] for name in MEASURING_PACKAGES],
        ],
        sort_keys=True,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
