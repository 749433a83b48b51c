"""Sessions and their tokens, with MAS's rules for refresh tokens."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

API, DEVICE = "urn:matrix:client:api:*", "urn:matrix:client:device:"
UNSTABLE_API = "urn:matrix:org.matrix.msc2967.client:api:*"
UNSTABLE_DEVICE = "urn:matrix:org.matrix.msc2967.client:device:"
MIN_DEVICE_ID = 10


class Refusal(Exception):
    """An answer in OAuth's form (RFC 6749, section 5.2)."""

    def __init__(self, error: str, status: int = 400, why: str = "") -> None:
        super().__init__(error)
        self.error, self.status, self.why = error, status, why


@dataclass(eq=False)
class Session:
    """A sign-in of one user on one device."""

    localpart: str
    device_id: str
    client_id: str = ""
    """Empty for one of the older ways to sign in, whose tokens last."""
    has_ended: bool = False


@dataclass(eq=False)
class AccessToken:
    session: Session
    expires: float | None
    """By the monotonic clock; None: never."""
    was_seen: bool = False
    """True once Synapse asked for it."""
    is_revoked: bool = False


@dataclass(eq=False)
class RefreshToken:
    session: Session
    access_token: str
    successor: str | None = None
    is_revoked: bool = False
    has_expired: bool = False


@dataclass
class Sessions:
    """Everything that was given out. Public fields may be changed by a test."""

    ttl_s: float = 300
    """How long the next access tokens live."""
    told_ttl_s: float | None = None
    """How long clients are told that these live, if not the truth."""
    rotates: bool = True
    """False: the refresh token stays the same."""
    is_strict: bool = False
    """True: a refresh token that comes a second time ends its session, as with the npm package oidc-provider."""
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    """Localparts."""
    refreshes: int = 0
    second_chances: int = 0
    """How often a refresh token was taken a second time, since the first answer was lost."""

    def restore(self) -> None:
        """Makes the settings what they were at the start."""
        self.ttl_s, self.told_ttl_s, self.rotates, self.is_strict = 300, None, True, False

    def grant(self, session: Session, *, lasts: bool) -> tuple[str, str]:
        """A new access token and refresh token."""
        access, refresh = _token("mct" if lasts else "mat"), _token("mar")
        self.access_tokens[access] = AccessToken(session, None if lasts else time.monotonic() + self.ttl_s)
        if not lasts:
            self.refresh_tokens[refresh] = RefreshToken(session, access)
        return access, "" if lasts else refresh

    def refresh(self, old: str, client_id: str) -> tuple[Session, str, str]:
        """The session, a new access token and the refresh token that goes with it. A refresh token that was replaced
        works until the new access token was seen, as with MAS. Raises Refusal."""
        mine = self.refresh_tokens.get(old)
        if mine is None or mine.session.client_id != client_id:
            raise Refusal("invalid_grant")
        if mine.is_revoked or mine.has_expired or mine.session.has_ended:
            raise Refusal("invalid_grant")
        if mine.successor is not None:
            self._take_again(mine, self.refresh_tokens[mine.successor])
        self.refreshes += 1
        self.access_tokens[mine.access_token].is_revoked = True
        access, refresh = self.grant(mine.session, lasts=False)
        if self.rotates:
            mine.successor = refresh
            return mine.session, access, refresh
        del self.refresh_tokens[refresh]
        mine.access_token = access
        return mine.session, access, old

    def find(self, token: str) -> Session | None:
        """The session of an access or refresh token that is good, whether the user is locked or not."""
        access, refresh = self.access_tokens.get(token), self.refresh_tokens.get(token)
        if access is not None and not access.is_revoked and not _has_expired(access):
            return None if access.session.has_ended else access.session
        if refresh is not None and not refresh.is_revoked and refresh.successor is None:
            return None if refresh.session.has_ended else refresh.session
        return None

    def of(self, localpart: str) -> list[Session]:
        """The user's sessions that have not ended."""
        found = dict.fromkeys(each.session for each in self.access_tokens.values())
        return [each for each in found if each.localpart == localpart and not each.has_ended]

    def introspect(self, token: str) -> Session | None:
        """What Synapse is told. The token counts as seen from then on."""
        access = self.access_tokens.get(token)
        if access is None or access.is_revoked or _has_expired(access) or access.session.has_ended:
            return None
        if access.session.localpart in self.locked:
            return None
        access.was_seen = True
        return access.session

    def _take_again(self, mine: RefreshToken, successor: RefreshToken) -> None:
        is_used = successor.successor is not None or self.access_tokens[successor.access_token].was_seen
        if self.is_strict:
            mine.session.has_ended = True
        if self.is_strict or successor.is_revoked or is_used:
            raise Refusal("invalid_grant")
        successor.is_revoked = self.access_tokens[successor.access_token].is_revoked = True
        self.second_chances += 1


def device_in(scope: str) -> str:
    """The device id that a scope asks for. Raises Refusal as MAS's policy does."""
    parts = scope.split()
    devices = [part.removeprefix(kind) for part in parts for kind in (DEVICE, UNSTABLE_DEVICE) if part.startswith(kind)]
    is_unknown = any(
        part not in (API, UNSTABLE_API) and not part.startswith((DEVICE, UNSTABLE_DEVICE)) for part in parts
    )
    if len(devices) != 1 or is_unknown or len(devices[0]) < MIN_DEVICE_ID or not {API, UNSTABLE_API} & {*parts}:
        raise Refusal("invalid_scope", 403, f"scope not allowed: {scope}")
    return devices[0]


def _has_expired(token: AccessToken) -> bool:
    return token.expires is not None and time.monotonic() >= token.expires


def _token(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(15)}_{secrets.token_hex(3)}"
