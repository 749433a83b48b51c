"""Looks at what an earlier login of the same user left on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import field

from heliograph.accounts import Account, find_account, state_folder
from heliograph.app.access_tokens import open_tokens
from heliograph.core.ids import UserId
from heliograph.core.value_type import value_type
from heliograph.errors import LoggedOut, StateError, TokenRefused, UserError
from heliograph.homeserver.login import recognise
from heliograph.homeserver.session import Session
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from heliograph.secrets.token_file import TokenFile


@value_type
class Earlier:
    """What is left of an earlier login."""

    account: Account
    secret: Secret | None = field(repr=False)
    """None: it is lost, and the keys of the device with it."""
    is_signed_in: bool = False
    """True if the homeserver takes the device's access token."""
    is_device_kept: bool = False
    """True if the same device may be signed in again in any way: its sign-out was a soft one."""
    refresh_token: str = field(default="", repr=False)
    """The one of OAuth 2.0 that may still be good; else empty."""


async def look_back(user_id: UserId) -> Earlier | None:
    """What an earlier login left; None: this is the first. Raises UserError if that cannot be told: whether the device
    lives must not be guessed."""
    account = find_account(user_id)
    if account is None:
        return None
    text = await open_secrets(account.secrets).load(user_id)
    if text is None:
        return Earlier(account, None)
    is_oauth = account.oauth is not None
    try:
        secret = decode_secret(user_id, text, is_oauth=is_oauth)
    except UserError:
        return Earlier(account, None)
    try:
        tokens = await open_tokens(account, secret)
    except StateError:
        raise
    except UserError:
        return Earlier(account, secret, is_device_kept=True)
    session = Session(account.homeserver, tokens=tokens)
    try:
        await recognise(session, user_id)
    except LoggedOut as gone:
        return Earlier(account, secret, is_device_kept=gone.soft or is_oauth)
    except TokenRefused:
        # A locked account, or a device that is gone at the homeserver alone: only the second is mended by signing in,
        # and whether it is that, the server will say.
        return Earlier(account, secret, is_device_kept=True, refresh_token=await _refresh_token(account, secret))
    finally:
        await session.close()
    return Earlier(account, secret, is_signed_in=True, is_device_kept=True)


async def _refresh_token(account: Account, secret: Secret) -> str:
    file = TokenFile(state_folder(account.user_id), account.user_id, secret.pickle_key)
    kept = await asyncio.to_thread(file.load)
    return kept.refresh_token if kept is not None else ""
