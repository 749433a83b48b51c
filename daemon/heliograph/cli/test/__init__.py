"""`heliograph test`."""

from __future__ import annotations

import asyncio

import click


@click.command("test", short_help="Show one notification of each kind, and what this desktop can do.")
@click.option(
    "--seconds",
    type=click.IntRange(0, 3600),
    metavar="SECONDS",
    default=20,
    show_default=True,
    help="How long to wait for your clicks before they are taken away.",
)
@click.option("--only-ask", is_flag=True, help="Show nothing: only tell what the notification server can do.")
@click.pass_context
def command(ctx: click.Context, seconds: int, only_ask: bool) -> None:
    """Show one notification of each kind, tell what this notification server can do, and what you click.

    Needs no account, and no running Heliograph. Exit code 1 if nothing can show them.

    \b
    Example:
      heliograph test --seconds 60
    """
    from heliograph.cli.test.trial import try_notifications
    from heliograph.config.reading import load_config

    ctx.exit(asyncio.run(try_notifications(load_config(), seconds, only_ask=only_ask)))
