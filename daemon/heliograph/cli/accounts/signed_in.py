"""Chooses the account for a command, and opens a session with its homeserver."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from heliograph.cli.input.user_id import UserIdType
from heliograph.errors import EXIT_CONFIG, EXIT_NEEDS_LOGIN, EXIT_USAGE, LoggedOut, ServerError, UserError

if TYPE_CHECKING:
    from heliograph.accounts import Account
    from heliograph.homeserver.session import Session
    from heliograph.secrets.secret import Secret

F = TypeVar("F", bound=Callable[..., Any])


def account_option(function: F) -> F:
    """Adds the option `--account` to a command, the value of which `choose_account` takes."""
    return click.option(
        "--account", "user_id", type=UserIdType(), metavar="@USER:SERVER", help="Which one, if several have signed in."
    )(function)


def choose_account(user_id: str | None, say: str = "--account {}") -> Account:
    """The account of this user. Without `user_id`: the only account there is, or the only one that is signed in.

    `say` tells in errors how to name an account on the command line. Raises UserError.
    """
    from heliograph.accounts import find_account, list_accounts
    from heliograph.store.sign_out_file import sign_out_of

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
    living = [account for account in accounts if sign_out_of(account) is None]
    if len(living) == 1 < len(accounts):
        gone = ", ".join(account.user_id for account in accounts if account not in living)
        click.echo(f"This is about {living[0].user_id}: signed out is {gone}.", err=True)
        return living[0]
    if len(accounts) > 1:
        names = [account.user_id for account in living or accounts]
        raise UserError(
            f"Several accounts have signed in: {', '.join(names)}.",
            f"Say which one: {say.format(names[0])}",
            exit_code=EXIT_USAGE,
        )
    return accounts[0]


@contextlib.asynccontextmanager
async def open_session(account: Account) -> AsyncIterator[Session]:
    """A session of the account's device, for the length of the block. Raises SecretsLocked, and UserError if the access
    token is refused.

    A refusal is reported and noted nowhere: only the daemon waits for the second confirmation, which comes a minute
    after the first, and a wrong note would have the next command choose another account. Test:
    test_a_command_that_is_told_of_a_sign_out_leaves_it_to_the_daemon_to_note_that.
    """
    from heliograph.app.access_tokens import open_tokens
    from heliograph.homeserver.session import Session

    tokens = await open_tokens(account, await load_secret(account))
    session = Session(account.homeserver, tokens=tokens, user_id=account.user_id, device_id=account.device_id)
    try:
        yield session
    except LoggedOut as gone:
        raise await _explain_refusal(session, account.user_id, gone) from gone
    finally:
        await session.close()


async def _explain_refusal(session: Session, user_id: str, gone: LoggedOut) -> UserError:
    """One refusal of the access token may be wrong, so whoami is asked, too."""
    from heliograph.homeserver.logout import knows_token

    try:
        is_known = await knows_token(session)
    except ServerError as error:
        return UserError(
            f"The homeserver refused the access token of {user_id}, and did not confirm that when it was asked: "
            f"it {error}.",
            "Run this again later.",
        )
    if is_known:
        return UserError(
            f"The homeserver refused the access token of {user_id} for this, and knows it all the same.",
            "Run this again later, or ask whoever runs the homeserver.",
        )
    why = "its device waits for a new login" if gone.soft else "the homeserver no longer knows this device"
    return _signed_out(user_id, why, soft=gone.soft)


async def load_secret(account: Account) -> Secret:
    """The account's secret. Raises SecretsLocked, and UserError if there is none."""
    from heliograph.secrets import open_secrets
    from heliograph.secrets.secret import decode_secret

    text = await open_secrets(account.secrets).load(account.user_id)
    if text is None:
        raise _signed_out(account.user_id, "its access token is missing", soft=True)
    return decode_secret(account.user_id, text, is_oauth=account.oauth is not None)


def _signed_out(user_id: str, why: str, *, soft: bool) -> UserError:
    return UserError(
        f"{user_id} is signed out: {why}.",
        f"Log in again: heliograph login {user_id}",
        exit_code=EXIT_NEEDS_LOGIN if soft else EXIT_CONFIG,
    )
