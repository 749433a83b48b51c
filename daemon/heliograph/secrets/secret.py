"""The secret of an account, as every store keeps it."""

from __future__ import annotations

import msgspec

from heliograph.errors import EXIT_NEEDS_LOGIN, UserError


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The device's access token and `pickle_key`, which encrypts its keys in crypto.db. Without both of them the device
    is lost, and the user has to sign in as a new one."""

    access_token: str = ""
    """Empty if the device was signed in by OAuth 2.0, whose tokens change: the account's folder holds these, sealed
    with the pickle key (`secrets.token_file`)."""
    pickle_key: str
    relay_token: str = ""
    """The password for a relay that is only a gateway; empty unless the fallback goes through one."""

    def __repr__(self) -> str:
        # The one that msgspec makes holds the token, which would end up in logs and tracebacks.
        return "Secret(...)"

    def encode(self) -> str:
        """The JSON text that a store keeps."""
        return msgspec.json.encode(self).decode()


def decode_secret(user_id: str, text: str, *, is_oauth: bool = False) -> Secret:
    """Reads what `Secret.encode` wrote for an account that was signed in by OAuth 2.0 or otherwise. Raises UserError,
    the text of which does not quote the secret."""
    try:
        secret = msgspec.json.decode(text, type=Secret)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        # Raised below, outside of this handler: a UnicodeEncodeError holds the whole text, and would be the context.
        secret = None
    if secret is None or not (secret.pickle_key if is_oauth else secret.access_token):
        raise UserError(
            f"The stored secret of {user_id} is damaged.",
            f"Log in again: heliograph login {user_id}",
            exit_code=EXIT_NEEDS_LOGIN,
        )
    return secret
