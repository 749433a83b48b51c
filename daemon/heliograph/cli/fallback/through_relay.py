"""Leads the fallback through a relay that is only a gateway, and keeps the token for that relay."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from heliograph.accounts import Account, list_accounts
from heliograph.cli.accounts.signed_in import load_secret
from heliograph.core.finding import Finding, bad
from heliograph.core.pushers.fallback import Fallback, fallback_pusher, why_unfit, why_unfit_url
from heliograph.errors import EXIT_USAGE, SecretsLocked, ServerError, UserError
from heliograph.gateways.relay import PushRelayClient
from heliograph.secrets import open_secrets


async def lead_through(url: str, token: str, fallback: Fallback) -> Fallback:
    """Registers the fallback at the relay. Returns the fallback that homeservers have to know, with the relay as its
    gateway. The token is kept with the secret of each account. Raises UserError.
    """
    if (problem := why_unfit_url(url)) is not None:
        raise UserError(
            f"The relay's address {problem}.", "Give it like https://push.example.org.", exit_code=EXIT_USAGE
        )
    data = fallback_pusher(fallback, "").data
    try:
        async with PushRelayClient(url, token) as relay:
            pushkey, gateway = await relay.add(fallback.app_id, fallback.pushkey, data)
    except ServerError as error:
        raise UserError(
            f"The relay at {url} does not take the fallback: {error}.",
            "Is the address right, and is the token that of a user in its configuration? heliograph relay token NAME",
        ) from error
    # The relay is a stranger's program, too: what it gives is checked like what the user typed.
    led = replace(fallback, gateway=gateway, pushkey=pushkey)
    if (problem := why_unfit(led)) is not None:
        raise UserError(f"What the relay gave cannot be a fallback: {problem}.", "Look at its gateway_url.")
    for account in list_accounts():
        await _keep_token(account, token)
    return led


async def leave_relay(url: str, fallback: Fallback, *, is_left: bool) -> list[Finding]:
    """Has the relay forget the pusher. `is_left`: the token is deleted here as well. Returns a finding if that
    failed."""
    findings = []
    for account in list_accounts():
        try:
            token = (await load_secret(account)).relay_token
            if token:
                async with PushRelayClient(url, token) as relay:
                    await relay.remove(fallback.pushkey)
                if is_left:
                    await _keep_token(account, "")
        except (UserError, ServerError, SecretsLocked) as error:
            findings.append(bad(f"The relay at {url} may still know the pusher: {error}."))
    return findings


async def _keep_token(account: Account, token: str) -> None:
    secret = await load_secret(account)
    if secret.relay_token != token:
        changed = msgspec.structs.replace(secret, relay_token=token)
        await open_secrets(account.secrets).save(account.user_id, changed.encode())
