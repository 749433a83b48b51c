"""`heliograph history`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.cli.input.group import Group


@click.group("history", cls=Group, invoke_without_command=True, short_help="Tell what rang and what became of it.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), metavar="NUMBER", default=50, show_default=True, help="How many at most."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_context
def command(ctx: click.Context, limit: int, as_json: bool) -> None:
    """List what rang, the newest first: when, where, from whom, and what became of it. Never what it said.

    Heliograph remembers it for as many days as [history] in the configuration says, 7 by default.

    \b
    Example:
      heliograph history --limit 10
    """
    if ctx.invoked_subcommand is not None:
        return
    from heliograph.accounts import list_accounts
    from heliograph.cli.inbox.past import ask_quiet, read_history
    from heliograph.cli.inbox.table import show_history
    from heliograph.core.delivery import State

    accounts = list_accounts()
    rung = asyncio.run(read_history(accounts, limit))
    if as_json:
        click.echo(json.dumps([{"account": account, **each.as_json()} for account, each in rung], indent=2))
    else:
        is_waiting = any(each.state is State.PENDING for _, each in rung)
        # Only the daemon knows why it is quiet now, and only what waits is explained by that.
        quiet = asyncio.run(ask_quiet()) if is_waiting else ""
        click.echo("\n".join(show_history(rung, has_accounts=len(accounts) > 1, quiet=quiet)))


@command.command("clear")
@click.option("--all", "with_unread", is_flag=True, help="Also what is unread, unless it waits or is on screen.")
def clear(with_unread: bool) -> None:
    """Forget what rang: senders, rules, times, and with --all what the unread said. Nothing rings again by that.

    \b
    Example:
      heliograph history clear
    """
    from heliograph.accounts import list_accounts
    from heliograph.cli.inbox.past import erase_history

    count = asyncio.run(erase_history(list_accounts(), with_unread=with_unread))
    click.echo(f"Forgot {count} of what rang.")
