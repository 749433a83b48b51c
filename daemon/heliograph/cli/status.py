"""`heliograph status`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, UserError


@click.command("status", short_help="Tell whether it runs, and how every account fares.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Tell since when every account is connected, what waits, what the server supports, which mode is used and why.

    Exit code 0 if Heliograph runs, 1 if it does not.

    \b
    Example:
      heliograph status --json
    """
    from heliograph.accounts import list_accounts
    from heliograph.cli.report import report_running, report_stopped
    from heliograph.cli.stopped import look_into_ledgers
    from heliograph.control.client import ask_status

    accounts = list_accounts()
    status = asyncio.run(ask_status())
    if status is None and not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    if status is not None:
        if as_json:
            click.echo(json.dumps({"running": True, **status}, indent=2))
        else:
            click.echo("\n".join(report_running(status, [account.user_id for account in accounts])))
        ctx.exit(EXIT_OK)
    ledgers = asyncio.run(look_into_ledgers(accounts))
    if as_json:
        click.echo(json.dumps({"running": False, "accounts": [ledger.as_json() for ledger in ledgers]}, indent=2))
    else:
        click.echo("\n".join(report_stopped(ledgers)))
    ctx.exit(EXIT_FAILED)
