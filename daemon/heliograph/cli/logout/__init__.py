"""`heliograph logout`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from heliograph.cli.accounts.account_page import device_page
from heliograph.cli.input.user_id import UserIdType
from heliograph.cli.output.patience import saying
from heliograph.core.value_type import value_type
from heliograph.errors import (
    EXIT_CONFIG,
    LoggedOut,
    SecretsLocked,
    ServerError,
    StateError,
    StorageError,
    Unreachable,
    UserError,
)
from heliograph.system.service_manager import to_stop

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.ports.secrets import SecretStore


ENDING_S = 60.0
"""How long the homeserver may take to end the device, and to switch on again what was switched off."""


@click.command("logout", short_help="Sign out, and remove everything of an account.")
@click.argument("user_id", type=UserIdType(), metavar="@USER:SERVER")
@click.option("--force", is_flag=True, help="Remove what is here even if the server or the keyring cannot be reached.")
def command(user_id: str, force: bool) -> None:
    """End the device on the homeserver, and remove its pusher, its keys and everything kept here.

    \b
    Example:
      heliograph logout @alice:example.org
    """
    left = asyncio.run(_sign_out(user_id, force))
    if left.is_device_ended:
        click.echo(
            f"Signed out of {user_id}.{'' if left.is_anything_here else ' Nothing of it is left on this machine.'}"
        )
    elif left.is_anything_here:
        click.echo(f"Removed {user_id} from this machine.")
    else:
        click.echo(f"Nothing of {user_id} is left on this machine.")


@value_type
class _Left:
    """What is left of an account."""

    is_device_ended: bool
    """True if the homeserver has confirmed that."""
    is_anything_here: bool


async def _sign_out(user_id: str, force: bool) -> _Left:
    """Signs out, and removes what is here. Once the device has ended, nothing keeps the rest from being removed."""
    from heliograph.accounts import remove_account
    from heliograph.secrets import open_secrets

    account = await _account_at_rest(user_id)
    store = open_secrets(account.secrets, on_prompt=_say_prompt)
    is_ended = is_locked = is_token_here = False
    try:
        is_ended = await _end(account, store)
        if not is_ended:
            _warn_of_device(account, f"its secret is gone from the {store.name}")
    except (ServerError, StorageError, SecretsLocked, UserError) as error:
        if not force:
            raise _not_ended(account, error) from error
        is_locked = isinstance(error, SecretsLocked)
        _warn_of_device(account, str(error).removesuffix("."))
    try:
        if is_locked:
            # The user has just refused to unlock the keyring, or was away: not asked once more.
            raise SecretsLocked("the keyring is locked")
        await store.delete(user_id)
    except (SecretsLocked, UserError) as error:
        click.echo(f"Warning: the account's secret stays in the {store.name} ({error}).", err=True)
        is_token_here = True
    finally:
        # Removed even if the token stays: the user is told of that, and a listed account would only be half there.
        remove_account(user_id)
    are_numbers_gone = _forget_numbers(user_id)
    return _Left(is_ended, is_anything_here=is_token_here or not are_numbers_gone)


def _forget_numbers(user_id: str) -> bool:
    """Removes the account's rooms from the numbers of the inbox. Returns False if the disk keeps them."""
    from heliograph.cli.inbox.numbering import forget_rooms

    try:
        forget_rooms(user_id)
    except (OSError, StateError) as error:
        click.echo(f"Warning: the ids of rooms stay in the cache folder ({error}).", err=True)
        return False
    return True


def _warn_of_device(account: Account, why: str) -> None:
    page = device_page(account, to_delete=True)
    lists = "If another client still lists it under your sessions, remove it there."
    cure = f"Sign it out in a browser: {page}" if page else lists
    click.echo(f"Warning: nobody confirmed that the device {account.device_id} has ended ({why}). {cure}", err=True)


async def _account_at_rest(user_id: str) -> Account:
    """The account, for which no daemon runs. Raises UserError."""
    from heliograph.accounts import find_account, state_folder
    from heliograph.store.lock import is_held

    account = find_account(user_id)
    if account is None:
        raise UserError(
            f"{user_id} is not signed in on this machine.", "See `heliograph accounts`.", exit_code=EXIT_CONFIG
        )
    if (pid := is_held(state_folder(user_id))) is not None:
        raise UserError(
            f"Heliograph is running for {user_id}{f' (process {pid})' if pid else ''}.",
            f"Stop it first: {await asyncio.to_thread(to_stop, pid)}",
        )
    return account


def _say_prompt() -> None:
    from heliograph.secrets.secret_service import PROMPT_S

    click.echo(
        f"The keyring is locked. Unlock it where it asks you, within {PROMPT_S:.0f} s, or stop this with Ctrl-C: "
        "then you stay signed in.",
        err=True,
    )


def _not_ended(account: Account, error: Exception) -> UserError:
    user_id, page = account.user_id, device_page(account, to_delete=True)
    why, cure = str(error).removesuffix("."), "Try again later"
    match error:
        case LoggedOut():
            title = "The device was not ended: its access token has expired, and the device lives on at the homeserver."
            cure = f"Sign in again first (heliograph login {user_id}), and then out"
        case ServerError():
            # An answer may have been lost, so that the device has ended all the same.
            title = f"The homeserver did not confirm that the device has ended, so all is kept here: {why}."
        case _:
            title = f"The device was not ended, and you stay signed in: {why}."
            cure = "Unlock the keyring, and run this again" if isinstance(error, SecretsLocked) else cure
    rest = f"remove only what is here: heliograph logout {user_id} --force"
    if page and not isinstance(error, SecretsLocked):
        return UserError(title, f"{cure}. Or sign the device out in a browser ({page}), and {rest}")
    return UserError(title, f"{cure}, or {rest}")


async def _end(account: Account, store: SecretStore) -> bool:
    """Ends the device. Returns True once the homeserver has confirmed that; False: the access token for it is lost.
    Raises ServerError, StorageError, SecretsLocked, UserError."""
    from heliograph.cli.logout.ending import end_device
    from heliograph.secrets.secret import decode_secret

    async with saying(f"Waiting for the {store.name} to give the account's secret ..."):
        # May wait long: a locked keyring asks the user for its password.
        text = await store.load(account.user_id)
    if text is None:
        await _give_back(account)
        return False
    async with saying(f"Waiting for {account.homeserver} to end the device, for {ENDING_S:g} s at most ..."):
        try:
            async with asyncio.timeout(ENDING_S):
                # First, while the access token still works.
                await _give_back(account)
                secret = decode_secret(account.user_id, text, is_oauth=account.oauth is not None)
                await end_device(account, secret)
        except TimeoutError:
            raise Unreachable("the homeserver did not answer in time") from None
    return True


async def _give_back(account: Account) -> None:
    """Switches on again what a daemon that was killed had switched off. Only the ledger knows of that, and the ledger
    is about to be deleted."""
    from heliograph.cli.handoff.give_back import give_back

    try:
        await give_back(account)
    except UserError as error:
        # The device is gone, or the ledger cannot be read: another client has to do it.
        click.echo(
            f"Warning: what was switched off on your other devices stays off ({error.title.removesuffix('.')}). "
            "Switch on their notifications in another client.",
            err=True,
        )
