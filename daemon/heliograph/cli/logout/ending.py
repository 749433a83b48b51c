"""Ends the account's device at the homeserver."""

from __future__ import annotations

import asyncio

from heliograph.accounts import Account, state_folder
from heliograph.app.access_tokens import open_tokens
from heliograph.core.oauth.token_answer import Ended, Granted
from heliograph.errors import BadAnswer, LoggedOut, TokenRefused, Unreachable
from heliograph.homeserver.logout import log_out, remove_pushers, see_end
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.homeserver.session import Session
from heliograph.secrets.secret import Secret
from heliograph.secrets.token_file import TokenFile, keep_grant
from heliograph.system.clock import now_ms


async def end_device(account: Account, secret: Secret) -> None:
    """Ends the device and its pushers, and returns once the homeserver has shown that.

    Raises LoggedOut if the token is no longer good and the device lives on, another ServerError if nobody confirms the
    end, and UserError if the tokens are lost.
    """
    if account.oauth is not None:
        await _end_oauth_session(account, secret)
        return
    session = Session(account.homeserver, access_token=secret.access_token)
    try:
        await log_out(session, account.pushkey)
    finally:
        await session.close()


async def _end_oauth_session(account: Account, secret: Secret) -> None:
    assert account.oauth is not None
    oauth = account.oauth
    session = Session(account.homeserver, tokens=await open_tokens(account, secret))
    endpoint = OAuthTokenEndpoint(oauth.token_endpoint, oauth.revocation_endpoint, oauth.client_id)
    is_refused = False
    try:
        # Pushers first, while the token still works: not every server removes them with the device.
        await remove_pushers(session, account.pushkey)
    except LoggedOut:
        pass  # The session has ended before. What follows finds the same, or says otherwise.
    except TokenRefused:
        is_refused = True
    finally:
        await session.close()
    file = TokenFile(state_folder(account.user_id), account.user_id, secret.pickle_key)
    # Under the lock: the refresh token that another process just replaced ends nothing.
    async with file.locked():
        kept = await asyncio.to_thread(file.load)
        if kept is None:
            return
        await endpoint.revoke(kept.refresh_token or kept.access_token)
        if is_refused:
            await _see_no_renewal(endpoint, file, kept.refresh_token)
            return
    last = Session(account.homeserver, access_token=kept.access_token)
    try:
        await see_end(last)
    finally:
        await last.close()


async def _see_no_renewal(endpoint: OAuthTokenEndpoint, file: TokenFile, refresh_token: str) -> None:
    """Returns once the token endpoint renews the session no more. For an account whose access tokens are refused
    anyway, so that a 401 would show nothing. Raises Unreachable."""
    born_ms = now_ms()
    answer = await endpoint.refresh(refresh_token)
    if isinstance(answer, Ended):
        return
    if isinstance(answer, Granted):
        # The session lives, and only with these.
        await asyncio.to_thread(file.save, keep_grant(answer.grant, born_ms, earlier_refresh_token=refresh_token))
        raise BadAnswer(200, "says that the session has ended, and renews its tokens")
    raise Unreachable(f"whether the session has ended cannot be told: the token endpoint answered {answer.why}")
