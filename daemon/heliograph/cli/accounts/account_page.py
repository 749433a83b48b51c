"""Where an account was signed in by OAuth 2.0, and where its user manages it in a browser."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph.accounts import Account

_STORE_S = 2.0
"""How long a keyring may take that is asked for nothing but a time."""


def device_page(account: Account, *, to_delete: bool) -> str:
    """The URL of the page on which the account's device can be seen, or signed out. Empty if the device was signed in
    otherwise, or if the server names no such page."""
    from heliograph.core.oauth.authorization import link_to_device

    oauth = account.oauth
    if oauth is None:
        return ""
    actions = oauth.account_management_actions
    return link_to_device(oauth.account_management_uri, actions, account.device_id, to_delete=to_delete)


async def tell_sign_in(account: Account) -> dict[str, Any] | None:
    """What the daemon's status tells of this (`core.status.SignInStatus`), out of the account's folder. None: the
    device was signed in in one of the older ways. Nobody is asked to unlock a keyring: the expiry stays unknown
    then."""
    if account.oauth is None:
        return None
    page = device_page(account, to_delete=False)
    return {"issuer": account.oauth.issuer, "account_page": page, "token_until_ms": await _token_until_ms(account)}


async def _token_until_ms(account: Account) -> int | None:
    from heliograph.accounts import state_folder
    from heliograph.errors import SecretsLocked, UserError
    from heliograph.secrets import open_secrets
    from heliograph.secrets.secret import decode_secret
    from heliograph.secrets.token_file import TokenFile

    try:
        async with asyncio.timeout(_STORE_S):
            text = await open_secrets(account.secrets, may_prompt=False).load(account.user_id)
        if text is None:
            return None
        secret = decode_secret(account.user_id, text, is_oauth=True)
        file = TokenFile(state_folder(account.user_id), account.user_id, secret.pickle_key)
        kept = await asyncio.to_thread(file.load)
    except (SecretsLocked, UserError, TimeoutError):
        return None
    return None if kept is None or kept.life_s is None else kept.born_ms + round(1000 * kept.life_s)
