"""Whom the sync loop tells what its turns did, and the values that it tells."""

from __future__ import annotations

from typing import Protocol

from heliograph.core.encryption.values import Received, Rejected, RoomKey
from heliograph.core.ids import EventKey
from heliograph.core.value_type import value_type


@value_type
class ToDevice:
    """What one sync brought for this device alone. Room keys among it are in crypto.db already."""

    outcomes: tuple[Received | Rejected, ...] = ()
    """To-device events that are not about room keys, in their order."""
    one_time_keys: int | None = None
    """Unclaimed one-time keys of this device at the homeserver; None if the sync did not say."""
    has_unused_fallback_key: bool | None = None
    """Whether the homeserver has a fallback key of this device that nobody used; None if the sync did not say."""
    has_changed_devices: bool = False
    """The user's own devices or identity changed."""


@value_type
class Commit:
    """What one turn wrote into the ledger."""

    has_news: bool
    """Deliveries came, or changed."""
    is_catching_up: bool
    """More may be on its way: the homeserver has not yet told all that came during an absence."""
    silent: tuple[EventKey, ...]
    """Events that a push rule keeps silent here, whatever the homeserver made of them."""
    wanted_keys: frozenset[RoomKey]
    """Room keys that would open events which cannot be read yet."""


class SyncListener(Protocol):
    """Hears what the sync loop of one account does. Each call returns at once: what takes time is done in a task."""

    def to_device(self, came: ToDevice) -> None:
        """Called for every sync, before its events are judged."""
        ...

    def committed(self, commit: Commit) -> None:
        """Called after each transaction, since what was committed before is what the next start finds."""
        ...

    def caught_up(self) -> None:
        """Called once all that came during an absence is committed."""
        ...

    def alive(self) -> None:
        """Called after each turn, and in the midst of long ones, at least once a minute."""
        ...
