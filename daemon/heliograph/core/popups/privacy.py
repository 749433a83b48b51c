"""How much of a message may stand on the screen, and what of it is kept until then."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from heliograph.core.notification import Category
from heliograph.core.record import Content, Delivery

HIDDEN_TEXT = "New message"


class Level(IntEnum):
    """From most to least that is shown."""

    FULL = 0
    SENDER = 1
    """Who wrote, and where."""
    HIDDEN = 2
    """That somebody wrote."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the configuration says."""

    show: Level = Level.FULL
    locked: Level = Level.FULL
    """While the session is locked, at the most."""
    rooms: Mapping[Level, frozenset[str]] = field(default_factory=dict)
    """Room ids, names of rooms and user ids of senders that have a level of their own, by level."""

    def level(self, names: Collection[str], *, is_locked: bool = False) -> Level:
        """Of what is known by these names; the strictest where it is named twice."""
        own = (level for level in sorted(self.rooms, reverse=True) if not self.rooms[level].isdisjoint(names))
        level = next(own, self.show)
        return max(level, self.locked) if is_locked else level

    def level_of(self, delivery: Delivery, *, is_locked: bool = False) -> Level:
        """Of a delivery; one of no room is a word of our own, and is shown whole."""
        if delivery.content is None or not delivery.room_id:
            return Level.FULL
        names = {delivery.room_id, delivery.content.room_title, delivery.sender}
        return self.level(names, is_locked=is_locked)


SHOW_ALL = Privacy()


def reduce(content: Content, level: Level) -> Content:
    """The content without what is not shown at this level, so that it is not kept either."""
    if level is Level.FULL:
        return content
    avatar = None if level is Level.HIDDEN else content.avatar
    thread = None if content.thread is None else ""
    if content.category is not Category.MESSAGE:
        # That somebody calls or invites is told by words of our own.
        return replace(content, avatar=avatar)
    return replace(content, text=HIDDEN_TEXT, markup="", avatar=avatar, thread=thread)
