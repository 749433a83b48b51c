"""The ways to sign in, and what each of them brings."""

from __future__ import annotations

from dataclasses import field
from enum import Enum, auto

from heliograph.accounts import OAuth
from heliograph.core.oauth.token_answer import TokenGrant
from heliograph.core.value_type import value_type
from heliograph.homeserver.login import Device


class Way(Enum):
    """What the user asked for."""

    ANY = auto()
    """What the homeserver prefers and this machine can."""
    DEVICE_CODE = auto()
    SSO = auto()
    PASSWORD = auto()
    ACCESS_TOKEN = auto()

    @property
    def is_older(self) -> bool:
        """True for a way of /login, which a server with OAuth 2.0 may keep beside that."""
        return self in (Way.SSO, Way.PASSWORD)


@value_type
class OAuthTokens:
    """The first tokens of a device that was signed in by OAuth 2.0, and where."""

    oauth: OAuth
    grant: TokenGrant = field(repr=False)
    asked_ms: int
    """When the tokens were asked for, in milliseconds since 1970."""


@value_type
class Proven:
    """The device that the homeserver has signed in."""

    device: Device
    tokens: OAuthTokens | None = None
    """None: the device has an access token that lasts."""
