"""How an account stands with its homeserver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Connection(Enum):
    """The value is what `heliograph status` and the control interface say."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    OFFLINE = "offline"
    SIGNED_OUT = "signed out"
    WAITING_FOR_KEYRING = "waiting for keyring"


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection and the reason for its state, in words for the user."""

    state: Connection = Connection.CONNECTING
    why: str = ""
    since_ms: int | None = None
    """When the account was connected, in milliseconds since 1970; None: it is not."""
