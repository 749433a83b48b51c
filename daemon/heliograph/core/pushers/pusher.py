"""A pusher: an address to which the homeserver sends what rings ("Push Notifications"; MSC3361, MSC3881)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from heliograph.core.events import Json
from heliograph.core.value_type import value_type

PusherKey = tuple[str, str]
"""The app id and the pushkey, which together name a pusher among those of a user."""


@value_type
class Pusher:
    """A pusher of the user, as GET /pushers lists it."""

    app_id: str
    pushkey: str
    kind: str
    app_display_name: str
    device_display_name: str
    lang: str
    data: Json
    profile_tag: str | None = None
    is_enabled: bool = True
    """`enabled` of MSC3881; True if the server does not say."""
    device_id: str | None = None

    @property
    def key(self) -> PusherKey:
        return self.app_id, self.pushkey

    @property
    def short_id(self) -> str:
        """A short name for people. Not the pushkey: whoever knows that may be able to make the device ring."""
        return hashlib.sha256("\0".join(self.key).encode(errors="replace")).hexdigest()[:8]

    @property
    def as_sent(self) -> Pusher:
        """The pusher without what the server adds: the device that registered it, and whether it is switched on."""
        return replace(self, is_enabled=True, device_id=None, profile_tag=self.profile_tag or None)


def is_called(pusher: Pusher, name: str) -> bool:
    """True if `name` is the name of its app or device, its app id or its short id, in upper or lower case."""
    wanted = name.strip().casefold()
    names = (pusher.app_display_name, pusher.device_display_name, pusher.app_id, pusher.short_id)
    return bool(wanted) and wanted in (each.strip().casefold() for each in names)
