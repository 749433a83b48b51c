"""`heliograph pushers`."""

from __future__ import annotations

import asyncio
import json

import click

from heliograph.cli.accounts.signed_in import account_option, choose_account
from heliograph.cli.input.group import Group


@click.group("pushers", cls=Group, short_help="See and switch what else of yours rings.")
def command() -> None:
    """List, switch or remove the pushers of your account: what the homeserver tells when something should ring.

    \b
    Example:
      heliograph pushers list
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@account_option
def list_(user_id: str | None, as_json: bool) -> None:
    """List the pushers, with the device that each belongs to and when that was last seen.

    \b
    Example:
      heliograph pushers list --json
    """
    from heliograph.cli.pushers.listing import fetch_rows, show_rows

    rows = asyncio.run(fetch_rows(choose_account(user_id)))
    click.echo(json.dumps([row.as_json() for row in rows], indent=2) if as_json else "\n".join(show_rows(rows)))


@command.command("enable")
@click.argument("name")
@account_option
def enable(user_id: str | None, name: str) -> None:
    """Switch a pusher on (MSC3881). NAME is its app, its device, its app id, or its id in the list.

    \b
    Example:
      heliograph pushers enable "Element Android"
    """
    _switch(user_id, name, is_enabled=True)


@command.command("disable")
@click.argument("name")
@account_option
def disable(user_id: str | None, name: str) -> None:
    """Switch a pusher off until it is switched on again (MSC3881). Heliograph never does that by itself.

    What should be off only while you are at this desktop belongs into the configuration instead: [handoff] quiet.

    \b
    Example:
      heliograph pushers disable "Element Android"
    """
    _switch(user_id, name, is_enabled=False)


@command.command("remove")
@click.argument("name")
@account_option
def remove(user_id: str | None, name: str) -> None:
    """Remove a pusher. Its app registers it again when it wants to.

    \b
    Example:
      heliograph pushers remove 1f3a9c04
    """
    from heliograph.cli.pushers.listing import describe_pusher, remove_pusher

    pusher = asyncio.run(remove_pusher(choose_account(user_id), name))
    click.echo(f"Removed {describe_pusher(pusher)}.")


def _switch(user_id: str | None, name: str, *, is_enabled: bool) -> None:
    from heliograph.cli.pushers.listing import describe_pusher, switch_pusher

    pusher, has_changed = asyncio.run(switch_pusher(choose_account(user_id), name, is_enabled=is_enabled))
    state = "on" if is_enabled else "off"
    click.echo(
        f"Switched {describe_pusher(pusher)} {state}."
        if has_changed
        else f"{describe_pusher(pusher)} is {state} already."
    )
