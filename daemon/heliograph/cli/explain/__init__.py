"""`heliograph explain`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from heliograph.cli.accounts.signed_in import account_option, choose_account
from heliograph.errors import EXIT_USAGE, UserError

if TYPE_CHECKING:
    from heliograph.cli.explain.evidence import Gathered
    from heliograph.core.room_uri import EventAddress


@click.command("explain", short_help="Tell why an event did or did not ring.")
@click.argument("event")
@click.option(
    "--room", metavar="ROOM", help="Its room: id, alias or name. Needed for an id alone that Heliograph does not know."
)
@account_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def command(event: str, room: str | None, user_id: str | None, as_json: bool) -> None:
    """Tell why an event did or did not ring: what was decided, what became of it, and how each push rule fared.

    EVENT is an event's id, or the link to it that your client copies (matrix:, matrix.to). Heliograph's ledger knows
    the events of the last days; others are asked of the homeserver. Rules and room are taken as they are now.

    \b
    Exit codes: 0 explained, 1 there is no such event or it cannot be had, 2 not an event

    \b
    Examples:
      heliograph explain '$Wd1_kYrJAZyJCoTI2Y7tXhQvQGvXfaFoCSGhkyd4hGs'
      heliograph explain 'https://matrix.to/#/!room:example.org/$event'
    """
    gathered = asyncio.run(_gather(read_address(event, room), user_id))
    from heliograph.cli.explain.answer import render_json, render_text

    if as_json:
        click.echo(json.dumps(render_json(gathered), indent=2))
    else:
        click.echo("\n".join(render_text(gathered)))


def read_address(event: str, room: str | None) -> EventAddress:
    """The event that the user named, by id, URI or link. Raises UserError."""
    from heliograph.core.room_uri import EventAddress, read_event_address

    # The ledger's own keys: an invite comes without an id, and `inbox --json` prints this one in its place.
    if event.startswith(("invite:", "malformed:")):
        return EventAddress(event)
    address = read_event_address(event)
    if address is None:
        raise UserError(
            f"{event[:100]!r} is neither an event's id nor a link to an event.",
            "Put it in single quotes: outside of them the shell takes $ for its own.",
            exit_code=EXIT_USAGE,
        )
    return address if room is None else EventAddress(address.event_id, room)


async def _gather(address: EventAddress, user_id: str | None) -> Gathered:
    from heliograph.accounts import list_accounts
    from heliograph.cli.explain.evidence import find_account_of, gather

    account = choose_account(user_id) if user_id else await find_account_of(list_accounts(), address.event_id)
    return await gather(account, address)
