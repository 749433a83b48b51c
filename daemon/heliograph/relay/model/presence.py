"""What the relay knows of whether a direct device is there, as it is kept on disk."""

from __future__ import annotations

from heliograph.core.value_type import value_type


@value_type
class DevicePresence:
    """Times are milliseconds since 1970."""

    ended_ms: int | None = None
    """When the device's last request ended; None: one was open."""
    until_ms: int = 0
    """Until when the device said that it would be there; 0: it said nothing."""
