"""Opens the access tokens of an account, for the daemon and for commands, and loads OAuth 2.0 only for who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from heliograph.accounts import Account, state_folder
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError
from heliograph.homeserver.lasting_token import LastingToken
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets.secret import Secret

if TYPE_CHECKING:
    from heliograph.loops.renewal import RenewalLoop


def limit_poll(tokens: AccessTokens, poll_s: float) -> float:
    """How long a poll of `poll_s` seconds may be that is to end before its access token."""
    left_s, life_s = tokens.left_s(), tokens.life_s()
    if left_s is None or life_s is None:
        return poll_s
    from heliograph.core.oauth.token_life import longest_poll

    return longest_poll(poll_s, left_s, life_s)


def make_renewal(tokens: AccessTokens, jitter: Callable[[], float]) -> RenewalLoop | None:
    """The loop that renews these tokens; None: they last."""
    if tokens.life_s() is None:
        return None
    from heliograph.loops.renewal import RenewalLoop

    return RenewalLoop(tokens, jitter=jitter)


async def open_tokens(account: Account, secret: Secret) -> AccessTokens:
    """The tokens with which the account's device makes requests. Raises UserError if they are lost."""
    if account.oauth is None:
        return LastingToken(secret.access_token)
    # Only here: who signed in otherwise need not load all that.
    from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
    from heliograph.secrets.token_file import TokenFile
    from heliograph.secrets.tokens import SealedTokens

    oauth = account.oauth
    file = TokenFile(state_folder(account.user_id), account.user_id, secret.pickle_key)
    kept = await asyncio.to_thread(file.load)
    if kept is None:
        raise UserError(
            f"The tokens of {account.user_id} are gone from this machine.",
            f"Log in again: heliograph login {account.user_id}",
            exit_code=EXIT_NEEDS_LOGIN,
        )
    return SealedTokens(
        file, OAuthTokenEndpoint(oauth.token_endpoint, oauth.revocation_endpoint, oauth.client_id), kept
    )
