"""`heliograph rules list`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.cli.signed_in import account_option, choose_account, open_session
from heliograph.core.events import Json


@click.command("list", short_help="List the rules in the order in which they are tried.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@account_option
def command(user_id: str | None, as_json: bool) -> None:
    """List the push rules in the order in which they are tried: the first that matches decides.

    \b
    Example:
      heliograph rules list
    """
    rules = asyncio.run(_fetch(user_id))
    click.echo(json.dumps(rules, indent=2))


async def _fetch(user_id: str | None) -> Json:
    from heliograph.homeserver.client import HomeserverClient

    async with open_session(choose_account(user_id)) as session:
        return await HomeserverClient(session).push_rules()
