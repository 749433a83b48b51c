"""A push gateway that waits for what the desktop has shown."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from heliograph.core.ids import EventId
from heliograph.core.pushers.pusher import Pusher as Pusher


class PushRelay(Protocol):
    """A relay that is a gateway only, and waits with pushes for what we have shown."""

    async def acknowledge(self, event_ids: Collection[EventId], present_ms: int) -> None:
        """These need not ring elsewhere, and we are here for so long; 0: the user is not. Raises ServerError."""
        ...
