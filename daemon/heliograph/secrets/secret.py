"""What is kept secret of an account."""

from __future__ import annotations

import msgspec

from heliograph.errors import EXIT_NEEDS_LOGIN, UserError


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The device's access token, and the key that its encryption keys are kept under: losing one loses the device."""

    access_token: str
    pickle_key: str
    relay_token: str = ""
    """Of a relay that is a gateway only, if the fallback goes through one."""

    def __repr__(self) -> str:
        return "Secret(...)"

    def encode(self) -> str:
        """As JSON, the way every store keeps it."""
        return msgspec.json.encode(self).decode()


def decode_secret(user_id: str, text: str) -> Secret:
    """What `Secret.encode` wrote. Raises UserError, which does not repeat the text."""
    try:
        secret = msgspec.json.decode(text, type=Secret)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        secret = None
    if secret is None or not secret.access_token:
        raise UserError(
            f"The stored secret of {user_id} is damaged.",
            f"Log in again: heliograph login {user_id}",
            exit_code=EXIT_NEEDS_LOGIN,
        )
    return secret
