"""Composes the status of an account that is signed in, out of what each of its loops knows."""

from __future__ import annotations

from heliograph.accounts import Account
from heliograph.core.encryption.trust import Standing
from heliograph.core.status import AccountStatus, HandoffStatus, SignInStatus
from heliograph.loops.handoff.loop import HandoffState
from heliograph.loops.pushers import PusherLoop
from heliograph.loops.sync import SyncFacts


def tell_sign_in(account: Account, token_until_ms: int | None = None) -> SignInStatus | None:
    """Where the account was signed in by OAuth 2.0. `token_until_ms`: when its access token expires, if known."""
    oauth = account.oauth
    if oauth is None:
        return None
    from heliograph.core.oauth.authorization import link_to_device

    actions = oauth.account_management_actions
    page = link_to_device(oauth.account_management_uri, actions, account.device_id, to_delete=False)
    return SignInStatus(oauth.issuer, page, token_until_ms)


def compose_status(
    account: Account,
    sync: SyncFacts,
    pushers: PusherLoop,
    handoff: HandoffState,
    standing: Standing,
    relay: str,
    token_until_ms: int | None,
) -> AccountStatus:
    """What deliveries there are is left out: only the ledger knows. `relay`: as in `HandoffStatus`."""
    return AccountStatus(
        account.user_id,
        account.homeserver,
        sync.connection,
        sync.last_sync_ms,
        mode=sync.mode.value if sync.mode is not None else "",
        mode_reason=sync.mode_reason if sync.mode is not None else "",
        software=sync.features.software,
        versions=sync.features.versions,
        has_direct_push=sync.features.has_direct_push,
        has_remote_toggle=sync.features.has_remote_toggle,
        is_pusher_registered=pushers.is_registered,
        is_pusher_enabled=sync.account.is_pusher_enabled,
        is_silenced=sync.account.is_silenced,
        rules_problem=sync.rules_problem,
        standing=standing.value,
        sign_in=tell_sign_in(account, token_until_ms),
        handoff=HandoffStatus(
            handoff.set_up.value,
            handoff.why_away,
            handoff.is_hushed,
            handoff.quiet,
            pushers.fallback_state,
            relay,
            handoff.trouble,
        ),
    )
