"""All that the tray item depends on, and what of that may be named."""

from __future__ import annotations

from dataclasses import field, replace

from heliograph.core.popups.privacy import SHOW_ALL, Level, Privacy
from heliograph.core.summary.bar import BarState
from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.core.value_type import value_type

HIDDEN_ROOM = "Hidden room"
"""Stands in place of the name of a room whose messages the configuration hides."""


@value_type
class TraySituation:
    """What the daemon knows at one moment."""

    summary: Summary = field(default_factory=Summary)
    quiet: str = ""
    """Why nothing pops up at the moment, and until when, in words; "": notifications pop up."""
    is_locked: bool = False
    """The session is locked, so that others may see the panel."""
    privacy: Privacy = SHOW_ALL

    @property
    def bar(self) -> BarState:
        """The same as for a status bar, without the names that may not be shown."""
        rooms = tuple(map(self._named, self.summary.rooms))
        return BarState(replace(self.summary, rooms=rooms), self.quiet)

    def _named(self, room: RoomCount) -> RoomCount:
        level = self.privacy.level({room.room_id, room.sender}, room.title, is_locked=self.is_locked)
        return replace(room, title=HIDDEN_ROOM) if level is Level.HIDDEN else room
