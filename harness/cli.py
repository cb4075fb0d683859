"""The `assay` command: finds the subcommand, and turns an AssayError into one line and status 2."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import entry_points, version

import click

from harness.commands.group import HelpfulGroup
from harness.errors import AssayError, unknown
from harness.printable import printable

OK, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_OWN = {
    "ab": "harness.commands.ab:ab_command",
    "compare": "harness.commands.compare:compare",
    "data": "harness.commands.data:data",
    "detect": "harness.commands.detect:detect",
    "devices": "harness.commands.devices:devices",
    "import": "harness.commands.importing:import_command",
    "list": "harness.commands.listing:list_workloads",
    "run": "harness.commands.run:run",
    "show": "harness.commands.show:show",
    "store": "harness.commands.store:store",
}
_OWN_HELP = {
    "ab": "Compare two commits by turns in one run; exit with 1 on a regression.",
    "compare": "Compare stored results, like with like.",
    "data": "List, find and fetch input data.",
    "detect": "Find steps and drift over the history.",
    "devices": "Say of every backend and meter whether it works here, or why not.",
    "import": "Take pytest-benchmark and pyperf JSON into the store.",
    "list": "List workloads, variants, parameters and sizes.",
    "run": "Measure the selected cases and store their results.",
    "show": "Print stored results with their intervals.",
    "store": "Look after the results folder.",
}


class _Commands(HelpfulGroup):
    """Subcommands that are imported only when they are called, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *(point.name for point in entry_points(group="assay.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            return _load(_OWN[cmd_name])
        for point in entry_points(group="assay.commands", name=cmd_name):
            return _load(point.value)
        raise unknown("command", cmd_name, self.list_commands(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("assay"), prog_name="assay")
def assay() -> None:
    """Measure time, memory and energy of the same work on every device."""


def main() -> None:
    """Run the command line and exit: 0 ok, 1 a failed case, 2 wrong usage, 130 interrupted."""
    try:
        status = assay.main(standalone_mode=False)
        sys.stdout.flush()
    except (AssayError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"assay: {printable(' '.join(message.split()))}", err=True)
        sys.exit(WRONG_USAGE)
    except (KeyboardInterrupt, click.Abort):
        click.echo("assay: interrupted; the same command goes on where it stopped", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
    sys.exit(status if isinstance(status, int) else OK)


def _load(path: str) -> click.Command:
    module, _, attribute = path.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


def _summary(name: str) -> str:
    if name in _OWN_HELP:
        return _OWN_HELP[name]
    for point in entry_points(group="assay.commands", name=name):
        try:
            command = _load(point.value)
        except (ImportError, AttributeError) as error:
            return printable(f"does not load: {error}")
        return printable(command.get_short_help_str(100))
    return ""
