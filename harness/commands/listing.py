"""`assay list`: what can be measured."""

from __future__ import annotations

import json
from typing import Any

import click

from harness.errors import AssayError
from harness.printable import printable
from harness.protocols import SIZES, Workload
from harness.registry import Registry, installed


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_workloads(as_json: bool) -> None:
    """List workloads, variants, parameters and sizes."""
    registry = installed()
    described = []
    broken = []
    for name in registry.workloads:
        try:
            described.append(_describe(registry, registry.workload(name)))
        except AssayError as error:
            broken.append(str(error))
        # A third party's workload may raise anything; the others must still be listed.
        except Exception as error:
            broken.append(
                f"workload {name!r} raised {type(error).__name__}: {error}; repair or uninstall "
                "the package that registers it"
            )
    if as_json:
        click.echo(json.dumps(described, indent=2))
    else:
        click.echo("\n\n".join(_text(one) for one in described))
    if broken:
        raise AssayError("; ".join(broken))


def _describe(registry: Registry, workload: Workload[Any]) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "version": workload.version,
        "variants": [
            {
                "name": variant.name,
                "baseline": variant.baseline,
                "requires": sorted(variant.requires),
                "packages": sorted(variant.packages),
            }
            for variant in registry.variants_of(workload)
        ],
        "parameters": {
            name: {
                "default": parameter.default,
                "help": parameter.help,
                "choices": list(parameter.choices),
            }
            for name, parameter in workload.parameters.items()
        },
        "sizes": {size: [dict(params) for params in workload.cases(size)] for size in SIZES},
    }


def _text(one: dict[str, Any]) -> str:
    lines = [f"{one['workload']} {one['version']}", "  variants"]
    for variant in one["variants"]:
        notes = ["baseline"] if variant["baseline"] else []
        notes += [f"needs {need}" for need in (*variant["requires"], *variant["packages"])]
        lines.append(f"    {variant['name']:<16}{', '.join(notes)}".rstrip())
    lines.append("  parameters (-p NAME=VALUE)")
    for name, parameter in one["parameters"].items():
        choices = f" ({', '.join(map(str, parameter['choices']))})" if parameter["choices"] else ""
        lines.append(f"    {name:<16}{parameter['help']}{choices}; default {parameter['default']}")
    lines.append("  sizes (--size SIZE)")
    for size, cases in one["sizes"].items():
        for case in cases:
            lines.append(f"    {size:<8}{' '.join(f'{k}={v}' for k, v in case.items())}")
    return "\n".join(map(printable, lines))
