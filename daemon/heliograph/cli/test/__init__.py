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
@click.option(
    "--walk",
    is_flag=True,
    help="Show one thing after the other, ask what you see, and write a report that you can send with a bug.",
)
@click.pass_context
def command(ctx: click.Context, seconds: int, only_ask: bool, walk: bool) -> None:
    """Show one notification of each kind, tell what this notification server can do, and what you click.

    Needs no account; it does not matter whether Heliograph runs. Exit code 1 if nothing can show them, and 2 if --walk
    has no terminal to ask in.

    \b
    Examples:
      heliograph test --seconds 60
      heliograph test --walk
    """
    from heliograph.config.reading import load_config

    if walk:
        from heliograph.cli.test.walk import walk as walk_through

        ctx.exit(asyncio.run(walk_through(load_config())))

    from heliograph.cli.test.trial import try_notifications

    ctx.exit(asyncio.run(try_notifications(load_config(), seconds, only_ask=only_ask)))
