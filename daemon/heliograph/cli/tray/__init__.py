"""`heliograph tray`."""

from __future__ import annotations

import asyncio

import click


@click.command("tray", short_help="Tell whether there is an item in the tray, and what yours needs for one.")
def command() -> None:
    """Tell whether the configuration asks for an item in the tray, whether this desktop has a tray, and whether the
    item is there; then what each desktop needs.

    The item shows the number of unread messages. Its menu opens rooms, marks all as read and pauses. All of that is to
    be had by commands as well.

    \b
    Example:
      heliograph tray
    """
    from heliograph.cli.output.findings import print_findings
    from heliograph.cli.output.table import lay_out
    from heliograph.cli.tray.check import look
    from heliograph.cli.tray.panels import PANELS

    print_findings(asyncio.run(look()))
    click.echo("\nWhat is needed where:")
    click.echo("\n".join(lay_out(PANELS)))
