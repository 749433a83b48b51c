"""Push gateways as loops use them: a relay that delays pushes to the phone until the desktop had its chance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from heliograph.core.ids import EventId


class PushRelay(Protocol):
    """A relay that is only a gateway, which holds each push until we have shown its message, or for some seconds."""

    async def acknowledge(self, event_ids: Collection[EventId], present_ms: int) -> None:
        """Tells the relay that these events need not ring elsewhere, and that the user is at this desktop for the next
        `present_ms` milliseconds (0: not at all). Raises ServerError."""
        ...
