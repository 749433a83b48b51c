"""Opens the access tokens of an account, for the daemon and for commands."""

from __future__ import annotations

import asyncio

from heliograph.accounts import Account, state_folder
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError
from heliograph.homeserver.lasting_token import LastingToken
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets.secret import Secret


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
