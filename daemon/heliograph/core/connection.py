"""How an account stands with its homeserver."""

from __future__ import annotations

from enum import Enum

from heliograph.core.value_type import value_type
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError


class Connection(Enum):
    """The value is what `heliograph status` and the control interface say."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    OFFLINE = "offline"
    SIGNED_OUT = "signed out"
    WAITING_FOR_KEYRING = "waiting for keyring"
    CANNOT_RUN = "cannot run"
    """The user has to mend something first, and then to start the daemon anew."""


@value_type
class ConnectionState:
    """A connection and the reason for its state, in words for the user."""

    state: Connection = Connection.CONNECTING
    why: str = ""
    since_ms: int | None = None
    """When the account was connected, in milliseconds since 1970; None: it is not."""
    cure: str = ""
    """What the user has to do about it; "": nothing, or `why` says it."""


def ended_by(error: UserError) -> ConnectionState:
    """How an account stands that this error has ended, until the daemon is started anew."""
    state = Connection.SIGNED_OUT if error.exit_code == EXIT_NEEDS_LOGIN else Connection.CANNOT_RUN
    return ConnectionState(state, str(error), cure=error.hint)
