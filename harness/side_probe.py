"""Run by a side's own interpreter: says where the commit's packages come from, and its facts.

`python -P side_probe.py PACKAGES [MODULE]...`, with PACKAGES on PYTHONPATH, prints a line of JSON.
Of Assay it imports what that interpreter finds, never its neighbours.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

_GROUPS = ("assay.backends", "assay.workloads", "assay.variants")


def main() -> None:
    """Print what `harness.sides` asks."""
    packages, *modules = sys.argv[1:]
    print(json.dumps(_answer(Path(packages).resolve(), modules)))


def _answer(packages: Path, modules: list[str]) -> dict[str, object]:
    for module in modules:
        place = _place(module)
        if place is None or packages not in place.parents:
            return {"module": module, "place": str(place)}
    if not _place("harness") or not importlib.util.find_spec("harness.worker"):
        return {"no_worker": True}
    from harness.environment import host_environment

    registered = {
        point.value.partition(":")[0].partition(".")[0]
        for group in _GROUPS
        for point in entry_points(group=group)
    }
    sources = sorted({"harness", *(name for name in registered if _place(name))})
    return {"environment": host_environment(Path.cwd(), modules=sources)}


def _place(module: str) -> Path | None:
    """Where a top-level module would be imported from."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = folders[0] if folders else spec.origin
    return Path(place).resolve() if place else None


if __name__ == "__main__":
    main()
