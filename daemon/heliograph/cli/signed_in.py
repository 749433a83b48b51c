"""For commands that speak to the homeserver: which account, and its session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from heliograph.cli.user_id import UserId
from heliograph.errors import EXIT_CONFIG, EXIT_NEEDS_LOGIN, EXIT_USAGE, LoggedOut, UserError

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.homeserver.session import Session
    from heliograph.secrets.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])


def account_option(function: F) -> F:
    """Adds `--account`, for `choose_account`."""
    return click.option(
        "--account", "user_id", type=UserId(), metavar="@USER:SERVER", help="Which one, if several have signed in."
    )(function)


def choose_account(user_id: str | None) -> Account:
    """The account of this user; without one, the only account there is. Raises UserError."""
    from heliograph.accounts import find_account, list_accounts

    if user_id is not None:
        if (account := find_account(user_id)) is None:
            raise UserError(
                f"{user_id} is not signed in on this machine.", "See `heliograph accounts`.", exit_code=EXIT_CONFIG
            )
        return account
    accounts = list_accounts()
    if not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    if len(accounts) > 1:
        raise UserError(
            f"Several accounts have signed in: {', '.join(account.user_id for account in accounts)}.",
            f"Say which one: --account {accounts[0].user_id}",
            exit_code=EXIT_USAGE,
        )
    return accounts[0]


@contextlib.asynccontextmanager
async def open_session(account: Account) -> AsyncIterator[Session]:
    """A session of the account's device. Raises SecretsLocked, and UserError if the device is signed out."""
    from heliograph.homeserver.session import Session

    token = (await load_secret(account)).access_token
    session = Session(account.homeserver, access_token=token, user_id=account.user_id, device_id=account.device_id)
    try:
        yield session
    except LoggedOut as gone:
        why = "its device waits for a new login" if gone.soft else "the homeserver no longer knows this device"
        raise _signed_out(account.user_id, why, soft=gone.soft) from gone
    finally:
        await session.close()


async def load_secret(account: Account) -> Secret:
    """Raises SecretsLocked, and UserError if there is none."""
    from heliograph.secrets import open_secrets
    from heliograph.secrets.secret import decode_secret

    text = await open_secrets(account.secrets).load(account.user_id)
    if text is None:
        raise _signed_out(account.user_id, "its access token is missing", soft=True)
    return decode_secret(account.user_id, text)


def _signed_out(user_id: str, why: str, *, soft: bool) -> UserError:
    return UserError(
        f"{user_id} is signed out: {why}.",
        f"Log in again: heliograph login {user_id}",
        exit_code=EXIT_NEEDS_LOGIN if soft else EXIT_CONFIG,
    )
