"""`assay devices`: every backend and meter: available, or why not and how to fix it."""

from __future__ import annotations

import json
from typing import Any

import click

from harness.errors import AssayError
from harness.printable import printable
from harness.registry import Registry, installed


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def devices(as_json: bool) -> None:
    """Say of every backend and meter whether it works here, or why not and how to fix it."""
    registry = installed()
    found = [_describe(registry, name) for name in registry.backends]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        _print(f"{one['backend']}: {one['unavailable'] or 'available'}")
        if one["features"]:
            _print(f"  features: {' '.join(one['features'])}")
        for meter in one["meters"]:
            state = meter["unavailable"] or f"available ({meter['name']}, {meter['scope']})"
            _print(f"  {meter['quantity']}: {state}")


def _describe(registry: Registry, name: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "backend": name,
        "unavailable": None,
        "features": [],
        "meters": [],
    }
    try:
        backend = registry.backend(name)
        described["unavailable"] = backend.unavailable()
        if described["unavailable"] is None:
            described["features"] = sorted(backend.features())
            described["meters"] = [
                {
                    "quantity": meter.quantity,
                    "name": meter.name,
                    "scope": meter.scope,
                    "unit": meter.unit,
                    "unavailable": meter.unavailable(),
                }
                for meter in backend.open(0).meters()
            ]
    except AssayError as error:
        described["unavailable"] = str(error)
    # A third party's backend may raise anything; the others must still be listed.
    except Exception as error:
        described["unavailable"] = (
            f"raised {type(error).__name__}: {error}; repair or uninstall the package that "
            "registers it"
        )
    return described


def _print(line: str) -> None:
    click.echo(printable(line))
