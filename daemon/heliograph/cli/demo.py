"""`heliograph demo`."""

from __future__ import annotations

import asyncio

import click


@click.command("demo", short_help="See it work, on a throwaway homeserver of its own.")
@click.option("--stay", is_flag=True, help="Go on until Ctrl-C, and say how to send more messages.")
@click.pass_context
def command(ctx: click.Context, stay: bool) -> None:
    """Start a throwaway homeserver on this machine, and let a message, a mention and an invite ring.

    Needs nothing and leaves nothing: no account, no network, no file. Needs the extra "demo", which brings Synapse.

    \b
    Example:
      heliograph demo --stay
    """
    from heliograph.demo import run_demo
    from heliograph.system import logs

    # The demo tells in its own words what happens; the daemon's usual lines would stand between them.
    logs.set_up_log("warning")
    ctx.exit(asyncio.run(run_demo(stay=stay)))
