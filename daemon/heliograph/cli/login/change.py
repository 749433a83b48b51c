"""Offers a device that was signed in in an older way to change to OAuth 2.0, once its homeserver has moved to that."""

from __future__ import annotations

import asyncio
import sys

import click

from heliograph.accounts import Account, state_folder
from heliograph.cli.login.earlier import Earlier
from heliograph.cli.login.ways import Way
from heliograph.errors import UserError
from heliograph.homeserver.flows import ask_auth_server
from heliograph.homeserver.session import Session
from heliograph.store.lock import is_held
from heliograph.system.service_manager import to_stop


async def offer_change(earlier: Earlier, way: Way) -> None:
    """For a device that is signed in. Returns if it is to change to OAuth 2.0, and may; raises UserError for all else,
    since the user is signed in already."""
    account = earlier.account
    signed_in = f"{account.user_id} is signed in already, as device {account.device_id}"
    is_older = account.oauth is None and way in (Way.ANY, Way.DEVICE_CODE)
    if not is_older or not await _has_moved(account):
        raise UserError(f"{signed_in}.", f"To sign in anew: heliograph logout {account.user_id}")
    moved = f"{signed_in}, in the older way. Its homeserver signs in by OAuth 2.0 now"
    if (pid := is_held(state_folder(account.user_id))) is not None:
        raise UserError(
            f"{moved}, and the device can change to that, but not while Heliograph runs for it.",
            f"Stop it first: {await asyncio.to_thread(to_stop, pid)}",
        )
    if way is Way.DEVICE_CODE:  # Whoever asks for that has been told of the change, or knows.
        return
    if not sys.stdin.isatty():
        raise UserError(
            f"{moved}.", f"To have the device change to that: heliograph login {account.user_id} --device-code"
        )
    click.echo(f"{moved}.")
    click.echo(
        "The device can change to that, and keeps its id, its keys and its verification. As it is, it works, too."
    )
    if not await asyncio.to_thread(click.confirm, "Sign it in by OAuth 2.0?"):
        raise UserError("Nothing was changed.", "The device stays signed in, in the older way.")


async def _has_moved(account: Account) -> bool:
    session = Session(account.homeserver)
    try:
        return await ask_auth_server(session) is not None
    finally:
        await session.close()
