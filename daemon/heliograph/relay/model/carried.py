"""Notifications that /sync responses brought to a device, and which of them the device acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field

from heliograph.core.value_type import value_type

Key = tuple[str, str]
"""User id and device id."""


@value_type
class Carried:
    """A notification, as far as it must be remembered."""

    event_id: str
    room_id: str
    ts: int
    """When the homeserver received the event, in ms since 1970, by GET /notifications."""


@dataclass(slots=True)
class DeviceNotifications:
    """The notifications of one direct device."""

    since_ts: int
    """Events that the homeserver received before (ms since 1970) are of no interest to the device, or acknowledged."""
    open: dict[str, Carried] = field(default_factory=dict)
    """Carried and not acknowledged, by event id."""
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Event id and `ts`, in the order of acknowledgement."""
    responses: dict[str, frozenset[str]] = field(default_factory=dict)
    """Event ids by the next_batch of the response that carried them, the oldest first."""
