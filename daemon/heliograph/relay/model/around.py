"""What stands around an event in its room, as the homeserver tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from heliograph.core.value_type import value_type


@value_type
class Around:
    """A stretch of a room's timeline without gaps."""

    stretch: Sequence[str] = ()
    """Event ids, oldest first."""
    threads: Mapping[str, str] = field(default_factory=dict)
    """By event id: the root of its thread, or `core.reading.MAIN`, as far as the stretch tells."""


NOTHING = Around()
