"""`heliograph man`."""

from __future__ import annotations

import click


@click.command("man", short_help="Print the manual page.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print the manual page heliograph(1): every command with its options and an example.

    \b
    Examples:
      heliograph man | man -l -
      heliograph man > ~/.local/share/man/man1/heliograph.1
    """
    from heliograph.cli.man.page import render_manual

    click.echo(render_manual(ctx.find_root().command), nl=False)
