"""Where the user manages an account of OAuth 2.0 in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph.accounts import Account


def device_page(account: Account, *, to_delete: bool) -> str:
    """The URL of the page on which the account's device can be seen, or signed out. Empty if the device was signed in
    otherwise, or if the server names no such page."""
    from heliograph.core.oauth.authorization import link_to_device

    oauth = account.oauth
    if oauth is None:
        return ""
    actions = oauth.account_management_actions
    return link_to_device(oauth.account_management_uri, actions, account.device_id, to_delete=to_delete)
