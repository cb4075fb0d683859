"""A group of subcommands that, called without one, prints its help as it is and exits with 2."""

from __future__ import annotations

import click


class HelpfulGroup(click.Group):
    """Prints its help where a subcommand is missing.

    click itself exits with 0 up to version 8.1, and from 8.2 raises the help as an error's message,
    of which the command line would make one line.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments, or end the command where there are none."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(click.UsageError.exit_code)
        return super().parse_args(ctx, args)
