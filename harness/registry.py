"""Finds backends, workloads and extra variants by entry point, loading each when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, cast

from harness.errors import AssayError, unknown
from harness.protocols import Backend, Workload
from harness.records import Variant


@dataclass(frozen=True, slots=True)
class Registry:
    """Import paths `package.module:attribute` by registered name; nothing is loaded yet.

    Attributes:
        backends: path of a `Backend`.
        workloads: path of a `Workload`.
        variants: path of a `Variant` for a workload, keyed `workload/variant`.
    """

    backends: Mapping[str, str]
    workloads: Mapping[str, str]
    variants: Mapping[str, str] = field(default_factory=dict)

    def backend(self, name: str) -> Backend:
        """Load the backend of that name.

        Raises:
            AssayError: it is not registered, or its module does not import.
        """
        return cast(Backend, _load_named("backend", name, self.backends))

    def workload(self, name: str) -> Workload[Any]:
        """Load the workload of that name.

        Raises:
            AssayError: it is not registered, or its module does not import.
        """
        return cast(Workload[Any], _load_named("workload", name, self.workloads))

    def variants_of(self, workload: Workload[Any]) -> tuple[Variant, ...]:
        """Return the workload's own variants and those that others registered for it.

        Raises:
            AssayError: a registered variant does not import, or its name is taken.
        """
        found = {variant.name: variant for variant in workload.variants}
        for key in self.variants:
            owner, _, name = key.partition("/")
            if owner != workload.name:
                continue
            if name in found:
                raise AssayError(
                    f"variant {key!r} is registered twice; uninstall one of the packages"
                )
            found[name] = cast(Variant, _load_named("variant", key, self.variants))
        return tuple(found.values())


def installed() -> Registry:
    """Return what the installed distributions register."""
    return Registry(
        backends=_paths("assay.backends"),
        workloads=_paths("assay.workloads"),
        variants=_paths("assay.variants"),
    )


def resolve(path: str) -> Any:
    """Return the object at `package.module:attribute`."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _paths(group: str) -> dict[str, str]:
    return {point.name: point.value for point in sorted(entry_points(group=group))}


def _load_named(kind: str, name: str, paths: Mapping[str, str]) -> Any:
    if name not in paths:
        raise unknown(kind, name, paths)
    try:
        return resolve(paths[name])
    # A third party's module may raise anything; the others must still be listed and run.
    except Exception as error:
        raise AssayError(
            f"{kind} {name!r} does not load from {paths[name]}: {type(error).__name__}: {error}; "
            "repair or uninstall the package that registers it"
        ) from error
