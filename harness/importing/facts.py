"""What an imported file tells of its machine and commit; what it does not tell stays null."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.validity import COMMIT

FLAG = "imported"
"""On every imported result: Assay did not measure it, and nothing verified the output."""

_BACKENDS = {"x86_64": "cpu", "amd64": "cpu", "aarch64": "arm", "arm64": "arm"}


@dataclass(frozen=True, slots=True)
class Commit:
    """What was measured.

    Attributes:
        id: 40 or 64 hexadecimal digits; None where `reason` says why it is not known.
        time_s: the commit's date, Unix time in s.
        dirty: whether the checkout differed from it; None where that is not known.
    """

    id: str | None = None
    time_s: float | None = None
    dirty: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """Where it was measured, as far as the file tells.

    Attributes:
        architecture: as the kernel names it ("x86_64", "aarch64").
        settings: what makes numbers incomparable with those of the default ("cpu_affinity").
        packages: the importing tool's own version, by name.
    """

    machine: str | None = None
    architecture: str | None = None
    cpu_model: str | None = None
    cpu_vendor: str | None = None
    cpu_features: Sequence[str] = ()
    logical_cpus: int | None = None
    kernel: str | None = None
    python: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)


def backend_of(host: Host) -> str:
    """Return the backend of the host's processor: "cpu", "arm", or its architecture's own name."""
    architecture = (host.architecture or "").lower()
    return _BACKENDS.get(architecture, architecture or "host")


def environment_of(host: Host, commit: Commit) -> dict[str, Any]:
    """Return the facts in the form of `harness.environment.host_environment`."""
    comparable = [
        host.architecture, host.cpu_model, sorted(host.cpu_features), host.logical_cpus,
        host.kernel, host.python, dict(host.settings),
    ]  # fmt: skip
    canonical = json.dumps(comparable, sort_keys=True)
    return {
        "machine": host.machine,
        "cpu": {
            "model": host.cpu_model,
            "vendor": host.cpu_vendor,
            "architecture": host.architecture,
            "features": sorted(host.cpu_features),
            "logical_cpus": host.logical_cpus,
            "physical_cores": None,
            "governor": None,
            "max_hz": None,
            "core_names": {},
            "caches": {},
        },
        "memory_bytes": None,
        "kernel": host.kernel,
        "hypervisor": None,
        "python": host.python,
        "packages": dict(host.packages),
        "settings": dict(host.settings),
        "commit": commit.id,
        "commit_reason": commit.reason,
        "commit_time": commit.time_s,
        "dirty": commit.dirty,
        "dirty_files": [],
        "source_digest": None,
        "id": hashlib.sha256(canonical.encode()).hexdigest()[:12],
    }


def commit_id(text: str | None) -> str | None:
    """Return the commit's digits; None where the text names none ("unversioned")."""
    return text if text is not None and COMMIT.fullmatch(text) else None


def implementation_settings(name: str | None) -> dict[str, str]:
    """Return the setting that sets another Python than CPython apart."""
    if not name or name.lower() == "cpython":
        return {}
    return {"implementation": name}


def unix_time(text: str | None) -> float | None:
    """Return Unix time in s of an ISO date; one without a zone is taken as UTC. None if unknown."""
    try:
        moment = datetime.fromisoformat(text or "")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None
