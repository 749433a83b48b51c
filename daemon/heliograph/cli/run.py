"""`heliograph run`."""

from __future__ import annotations

import asyncio

import click

from heliograph.errors import EXIT_CONFIG, UserError


@click.command("run", short_help="Show notifications until stopped (what the service runs).")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Stay connected to the homeserver of every account, and show what should ring.

    Runs in the foreground until it is interrupted. `heliograph service install` has it run in the background, from the
    next login on.

    \b
    Example:
      heliograph run
    """
    from heliograph import logs
    from heliograph.accounts import list_accounts
    from heliograph.config import load_config
    from heliograph.core_dumps import forbid_core_dumps

    forbid_core_dumps()
    config = load_config()
    logs.set_up(config.log.level)
    accounts = list_accounts()
    if not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    from heliograph import app

    ctx.exit(asyncio.run(app.run(config, accounts)))
